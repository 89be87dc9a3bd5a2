# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Roll, pitch and yaw as rotation vectors, judged by SciPy."""

import math

from hypothesis import example, given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sqap_vla_ros.control.rotation import rotation_vector_from_rpy

angles = st.tuples(*3 * [st.floats(-2 * math.pi, 2 * math.pi)])


@given(angles)
@example((0.0, 0.0, 0.0))
@example((1e-9, -2e-9, 1e-12))
@example((0.1, -0.05, 0.08))
@example((math.pi, 0.0, 0.0))
@example((0.0, math.pi / 2, 1e-9))
@example((math.pi - 1e-9, 1e-9, 0.0))
@example((0.0, math.pi, math.pi))
def test_the_vector_turns_as_far_as_the_angles_and_never_the_long_way(rpy):
    vector = rotation_vector_from_rpy(np.array(rpy))
    gap = Rotation.from_rotvec(vector).inv() * Rotation.from_euler('xyz', rpy)
    assert gap.magnitude() < 1e-12
    assert np.linalg.norm(vector) <= math.pi + 1e-12


@given(st.tuples(*3 * [st.floats(-1e-5, 1e-5)]))
def test_small_angles_are_their_own_vector(rpy):
    np.testing.assert_allclose(rotation_vector_from_rpy(np.array(rpy)), rpy, atol=2e-10)


@pytest.mark.parametrize('rpy, off', [  # q99 of the published statistics: off by, in rad
    ((0.589, 0.353, 0.448), 0.193),  # fractal20220817_data
    ((0.693, 0.635, 1.628), 0.828),  # taco_play
    ((0.742, 0.796, 0.740), 0.538)])  # toto
def test_large_angles_of_public_data_are_no_rotation_vector(rpy, off):
    vector = rotation_vector_from_rpy(np.array([rpy]))
    np.testing.assert_allclose(vector, Rotation.from_euler('xyz', [rpy]).as_rotvec(), atol=1e-12)
    assert np.linalg.norm(vector - rpy) == pytest.approx(off, abs=0.01)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_what_is_not_finite_stays_so_and_spoils_no_other_row(bad):
    vectors = rotation_vector_from_rpy(np.array([[0.1, bad, 0.2], [0.3, 0.0, 0.0]]))
    assert np.isnan(vectors[0]).all()
    np.testing.assert_allclose(vectors[1], [0.3, 0.0, 0.0])
