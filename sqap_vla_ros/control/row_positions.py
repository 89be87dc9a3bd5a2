# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From the rows of a chunk to positions, and from positions to velocities.

All start from where the arm was when the image was taken, once a chunk: so what one chunk got
wrong is not carried on by the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.quaternions import (
    conjugate, from_rotation_vector, product, rotated, rotation_vector, slerp)
from ..geometry.transform_buffer import Pose


def moved(pose: Pose, step: np.ndarray, frame: str) -> Pose:
    """Return a pose after a step [6] (m, rotation vector in rad), in 'base' or 'end_effector'."""
    turn = from_rotation_vector(step[3:])
    if frame == 'base':
        translation, quaternion = step[:3], product(turn, pose.quaternion)
    else:
        translation = rotated(pose.quaternion, step[:3])
        quaternion = product(pose.quaternion, turn)
    return Pose(pose.translation + translation, quaternion / np.linalg.norm(quaternion))


def step_between(start: Pose, end: Pose, frame: str) -> np.ndarray:
    """Return the step [6] that `moved` takes from one pose to another, the shorter way round."""
    turn = rotation_vector(product(end.quaternion, conjugate(start.quaternion)))
    step = end.translation - start.translation
    if frame == 'end_effector':
        inverse = conjugate(start.quaternion)
        step, turn = rotated(inverse, step), rotated(inverse, turn)
    return np.concatenate([step, turn])


def pose_of(position: np.ndarray) -> Pose:
    """Return a position [7], x y z qx qy qz qw, as a Pose."""
    return Pose(position[:3], position[3:])


def position_of(pose: Pose) -> np.ndarray:
    """Return a Pose as a position [7], x y z qx qy qz qw."""
    return np.concatenate([pose.translation, pose.quaternion])


def integrated_poses(start: Pose, steps: np.ndarray, frame: str) -> np.ndarray:
    """Return positions [T, 7] at the ends of steps [T, 6] that are taken one after another."""
    poses = [start]
    for step in steps:
        poses.append(moved(poses[-1], step, frame))
    return np.stack([position_of(pose) for pose in poses[1:]])


def absolute_poses(start: Pose, rows: np.ndarray, frame: str) -> np.ndarray:
    """
    Return positions [T, 7] of rows [T, 6]: x y z and a rotation vector.

    frame: 'base', or 'end_effector' where they are told in the frame that it had at the start.
    """
    origin = start if frame == 'end_effector' else Pose(np.zeros(3), np.array([0, 0, 0, 1.0]))
    positions = np.zeros((len(rows), 7))
    for row, position in zip(rows, positions):
        position[:3] = origin.translation + rotated(origin.quaternion, row[:3])
        position[3:] = product(origin.quaternion, from_rotation_vector(row[3:]))
    return positions


def pose_steps(start: Pose, positions: np.ndarray, frame: str) -> np.ndarray:
    """Return the steps [T, 6] from the start to the first of positions [T, 7], and so on."""
    poses = [start, *map(pose_of, positions)]
    return np.stack([step_between(*pair, frame) for pair in zip(poses, poses[1:])])


@dataclass(frozen=True)
class JointPath:
    """How joint positions [n] lie between others: on straight lines."""

    def mix(self, first: np.ndarray, second: np.ndarray, ratio: float) -> np.ndarray:
        """Return what lies between two positions, ratio in 0..1."""
        return first + ratio * (second - first)

    def step(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the step [n] from one position to another."""
        return second - first


@dataclass(frozen=True)
class PosePath:
    """
    How poses [7], x y z qx qy qz qw, lie between others: on straight lines, turned by slerp.

    frame: 'base' or 'end_effector', of steps.
    """

    frame: str = 'base'

    def mix(self, first: np.ndarray, second: np.ndarray, ratio: float) -> np.ndarray:
        """Return what lies between two poses, ratio in 0..1."""
        return np.concatenate([first[:3] + ratio * (second[:3] - first[:3]),
                               slerp(first[3:], second[3:], ratio)])

    def step(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the step [6] (m, rotation vector in rad) from one pose to another."""
        return step_between(pose_of(first), pose_of(second), self.frame)
