# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Unit quaternions float64 [4], (x, y, z, w) as in ROS: products, interpolation, rotations."""

import numpy as np

SMALL_RAD = 1e-6


def product(left, right):
    """Return the rotation that does `right`, then `left`."""
    x1, y1, z1, w1 = left.tolist()
    x2, y2, z2, w2 = right.tolist()
    return np.array([
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2])


def conjugate(quaternion):
    """Return the inverse rotation."""
    return quaternion * np.array([-1.0, -1.0, -1.0, 1.0])


def rotated(quaternion, vector):
    """Return a vector [3] turned by a quaternion."""
    (x, y, z, w), (a, b, c) = quaternion.tolist(), vector.tolist()  # np.cross is slow for one
    p, q, r = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return np.array([a + w * p + y * r - z * q, b + w * q + z * p - x * r,
                     c + w * r + x * q - y * p])


def from_rotation_vector(vector):
    """Return the quaternion of a rotation about a vector [3] by its length in rad."""
    angle = float(np.linalg.norm(vector))
    factor = np.sin(angle / 2) / angle if angle > SMALL_RAD else 0.5 - angle * angle / 48
    return np.append(vector * factor, np.cos(angle / 2))


def rotation_vector(quaternion):
    """Return the rotation vector [3], of length 0..pi: the shorter way round."""
    vector, real = quaternion[:3], quaternion[3]
    if real < 0:
        vector, real = -vector, -real
    length = float(np.linalg.norm(vector))
    angle = 2 * np.arctan2(length, real)
    return vector * (angle / length if length > SMALL_RAD else 2.0)


def slerp(first, second, ratio):
    """Interpolate between two unit quaternions on the shorter arc, ratio in 0..1."""
    cosine = float(first @ second)
    if cosine < 0:
        second, cosine = -second, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < SMALL_RAD:
        mixed = first + ratio * (second - first)
    else:
        mixed = np.sin((1 - ratio) * angle) * first + np.sin(ratio * angle) * second
    return mixed / np.linalg.norm(mixed)
