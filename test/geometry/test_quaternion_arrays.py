# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Many quaternions at once: as SciPy has them, and as the functions for one."""
import numpy as np
import pytest
from sqap_vla_ros.control.row_positions import moved, pose_of, position_of, step_between
from sqap_vla_ros.geometry import quaternion_arrays as many

Rotation = pytest.importorskip('scipy.spatial.transform').Rotation
Slerp = pytest.importorskip('scipy.spatial.transform').Slerp
FRAMES = ('base', 'end_effector')


@pytest.fixture
def turns():
    """Return two arrays of quaternions [50, 4] and their Rotations."""
    one, other = Rotation.random(50, random_state=1), Rotation.random(50, random_state=2)
    return one.as_quat(), other.as_quat(), one, other


def test_products_and_turned_vectors_are_scipys(turns):
    left, right, one, other = turns
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    product = Rotation.from_quat(many.product(left, right))
    np.testing.assert_allclose(product.as_matrix(), (one * other).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(many.rotated(left, vectors), one.apply(vectors), atol=1e-12)
    np.testing.assert_allclose(many.rotated(many.conjugate(left), vectors),
                               one.inv().apply(vectors), atol=1e-12)


def test_rotation_vectors_are_scipys_and_the_shorter_way(turns):
    left, _, one, _ = turns
    for sign in (1.0, -1.0):
        np.testing.assert_allclose(many.rotation_vectors(sign * left), one.as_rotvec(),
                                   atol=1e-12)
    small = np.array([[0.0, 0, 0], [1e-9, 0, 0], [1e-3, 2e-3, -1e-3]])
    np.testing.assert_allclose(many.from_rotation_vectors(small),
                               Rotation.from_rotvec(small).as_quat(), atol=1e-15)
    np.testing.assert_allclose(many.rotation_vectors(many.from_rotation_vectors(small)), small,
                               atol=1e-15)


@pytest.mark.parametrize('frame', FRAMES)
def test_steps_are_those_of_the_function_for_one(turns, frame):
    rng = np.random.default_rng(3)
    starts = np.concatenate([rng.normal(size=(50, 3)), turns[0]], 1)
    ends = np.concatenate([rng.normal(size=(50, 3)), turns[1]], 1)
    steps = many.steps_between(starts, ends, frame)
    for start, end, step in zip(starts, ends, steps):
        np.testing.assert_allclose(step, step_between(pose_of(start), pose_of(end), frame),
                                   atol=1e-12)
        reached = position_of(moved(pose_of(start), step, frame))
        np.testing.assert_allclose(reached[:3], end[:3], atol=1e-12)
        assert abs(reached[3:] @ end[3:]) == pytest.approx(1.0)


def test_poses_between_are_turned_by_slerp(turns):
    left, right, one, other = turns
    starts = np.concatenate([np.zeros((50, 3)), left], 1)
    ends = np.concatenate([np.ones((50, 3)), right], 1)
    found = many.poses_between(starts, ends, np.full(50, 0.3))
    np.testing.assert_allclose(found[:, :3], 0.3)
    for index in range(50):
        expected = Slerp([0, 1], Rotation.concatenate([one[index], other[index]]))(0.3)
        assert abs(found[index, 3:] @ expected.as_quat()) == pytest.approx(1.0)


def test_what_is_not_known_stays_so():
    unknown = np.full((2, 7), np.nan)
    assert np.isnan(many.steps_between(unknown, unknown, 'end_effector')).all()
    assert np.isnan(many.poses_between(unknown, unknown, np.zeros(2))).all()
