# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Poses: 4x4 homogeneous matrices, quaternions (x, y, z, w) as in ROS, lengths in metres."""

import numpy as np

from ..errors import ObservationError

QUATERNION_NORM_TOLERANCE = 0.01  # what tf2 tolerates


def quaternion_matrix(quaternion_xyzw):
    """
    Return the rotation matrix float64 [3, 3] of a unit quaternion (x, y, z, w).

    Raises ObservationError when the norm is off 1 by more than 0.01 or not finite.
    """
    quaternion = np.asarray(quaternion_xyzw, np.float64).reshape(4)
    norm = np.linalg.norm(quaternion)
    if not abs(norm - 1.0) <= QUATERNION_NORM_TOLERANCE:
        raise ObservationError(f'quaternion {quaternion.tolist()} has norm {norm:.4g}, not 1: '
                               'the transform is broken or was never set')
    x, y, z, w = quaternion / norm
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def pose_matrix(translation, quaternion_xyzw):
    """
    Return the 4x4 matrix of a pose: it takes points of the child into the parent frame.

    translation: [3], m. Raises ObservationError for a non-finite or unnormalised pose.
    """
    translation = np.asarray(translation, np.float64).reshape(3)
    if not np.isfinite(translation).all():
        raise ObservationError(f'translation {translation.tolist()} is not finite')
    matrix = np.eye(4)
    matrix[:3, :3] = quaternion_matrix(quaternion_xyzw)
    matrix[:3, 3] = translation
    return matrix


def invert_pose(matrix):
    """Return the inverse of a rigid 4x4 matrix."""
    matrix = np.asarray(matrix, np.float64)
    inverse = np.eye(4)
    inverse[:3, :3] = matrix[:3, :3].T
    inverse[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return inverse


def transform_points(matrix, points):
    """Return points float64 [M, 3] moved by a 4x4 matrix."""
    points = np.asarray(points, np.float64).reshape(-1, 3)
    return points @ np.asarray(matrix)[:3, :3].T + np.asarray(matrix)[:3, 3]


def points_in_camera(points_base, camera_in_base):
    """Return points [M, 3] of the base frame in the camera's, whose 4x4 pose in base is given."""
    return transform_points(invert_pose(camera_in_base), points_base)
