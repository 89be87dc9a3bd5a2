# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Poses against SciPy."""
from hypothesis import given, strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry import poses


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
    lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions_become_scipys_matrices(quaternion):
    quaternion = np.array(quaternion) / np.linalg.norm(quaternion)
    expected = Rotation.from_quat(quaternion).as_matrix()
    np.testing.assert_allclose(poses.quaternion_matrix(quaternion), expected, atol=1e-12)


@pytest.mark.parametrize('quaternion', [(0, 0, 0, 0), (0, 0, 0, 1.1), (0, 0, 0, np.nan)])
def test_a_quaternion_of_another_norm_is_refused(quaternion):
    with pytest.raises(ObservationError, match='norm'):
        poses.quaternion_matrix(quaternion)


def test_a_translation_that_is_not_finite_is_refused():
    with pytest.raises(ObservationError, match='finite'):
        poses.pose_matrix([0, np.inf, 0], [0, 0, 0, 1])


def test_points_of_the_base_come_into_the_camera_as_numpys_inverse_says():
    rotation = Rotation.from_euler('xyz', [0.3, -1.0, 2.0])
    pose = poses.pose_matrix([0.5, -0.2, 1.1], rotation.as_quat())
    points = np.random.default_rng(3).uniform(-1, 1, (10, 3))
    np.testing.assert_allclose(poses.invert_pose(pose), np.linalg.inv(pose), atol=1e-12)
    in_camera = poses.points_in_camera(points, pose)
    np.testing.assert_allclose(
        in_camera, rotation.inv().apply(points - [0.5, -0.2, 1.1]), atol=1e-12)
    np.testing.assert_allclose(poses.transform_points(pose, in_camera), points, atol=1e-12)
