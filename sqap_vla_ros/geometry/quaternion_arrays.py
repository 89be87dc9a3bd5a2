# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Unit quaternions float64 [..., 4], (x, y, z, w), many at once; quaternions.py is for one."""

import numpy as np

from .quaternions import SMALL_RAD


def product(left, right):
    """Return the rotations that do `right`, then `left`."""
    vector = (left[..., 3:] * right[..., :3] + right[..., 3:] * left[..., :3]
              + np.cross(left[..., :3], right[..., :3]))
    real = left[..., 3] * right[..., 3] - (left[..., :3] * right[..., :3]).sum(-1)
    return np.concatenate([vector, real[..., None]], -1)


def conjugate(quaternions):
    """Return the inverse rotations."""
    return quaternions * np.array([-1.0, -1.0, -1.0, 1.0])


def rotated(quaternions, vectors):
    """Return vectors [..., 3] turned by quaternions."""
    axis, real = quaternions[..., :3], quaternions[..., 3:]
    twice = 2.0 * np.cross(axis, vectors)
    return vectors + real * twice + np.cross(axis, twice)


def rotation_vectors(quaternions):
    """Return the rotation vectors [..., 3], of length 0..pi: the shorter way round."""
    shorter = np.where(quaternions[..., 3:] < 0, -quaternions, quaternions)
    length = np.linalg.norm(shorter[..., :3], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(length, shorter[..., 3:])
    ratio = np.divide(angle, length, out=np.full_like(length, 2.0), where=length > SMALL_RAD)
    return shorter[..., :3] * ratio


def from_rotation_vectors(vectors):
    """Return the quaternions of rotations about vectors [..., 3] by their lengths in rad."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    factor = np.divide(np.sin(angle / 2), angle, out=0.5 - angle * angle / 48,
                       where=angle > SMALL_RAD)
    return np.concatenate([vectors * factor, np.cos(angle / 2)], -1)


def steps_between(starts, ends, frame):
    """
    Return steps [..., 6] (m, rotation vector in rad) from poses [..., 7] to poses [..., 7].

    frame: 'base' or 'end_effector', whose axes at the start they are along.  As step_between of
    control/row_positions.py, which takes one.
    """
    turn = rotation_vectors(product(ends[..., 3:], conjugate(starts[..., 3:])))
    move = ends[..., :3] - starts[..., :3]
    if frame == 'end_effector':
        inverse = conjugate(starts[..., 3:])
        move, turn = rotated(inverse, move), rotated(inverse, turn)
    return np.concatenate([move, turn], -1)


def poses_between(starts, ends, ratios):
    """Return poses [..., 7] at ratios [...] of the way: on straight lines, turned by slerp."""
    ratios = ratios[..., None]
    turn = rotation_vectors(product(ends[..., 3:], conjugate(starts[..., 3:])))
    return np.concatenate([
        starts[..., :3] + ratios * (ends[..., :3] - starts[..., :3]),
        product(from_rotation_vectors(ratios * turn), starts[..., 3:])], -1)
