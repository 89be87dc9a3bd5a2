# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Velocities at points: those of the motion that was sampled, and nothing overshoots."""
from hypothesis import given, strategies as st
import numpy as np
from scipy.interpolate import CubicHermiteSpline
from sqap_vla_ros.control.spline import point_velocities

LIMITS = [2.0, 2.0]


def smooth(times_s):
    """Return a motion [M, 2] that begins and ends at rest after a second."""
    shape = 10 * times_s ** 3 - 15 * times_s ** 4 + 6 * times_s ** 5
    return np.outer(shape, [0.5, -0.2])


def test_a_smooth_motion_keeps_its_velocities():
    times_s = np.arange(1, 21) / 20
    velocities = point_velocities(np.zeros(2), times_s, smooth(times_s), LIMITS)
    speed = 30 * times_s ** 2 - 60 * times_s ** 3 + 30 * times_s ** 4
    np.testing.assert_allclose(velocities, np.outer(speed, [0.5, -0.2]), atol=0.02)
    assert not velocities[-1].any()
    spline = CubicHermiteSpline([0, *times_s], np.vstack([np.zeros(2), smooth(times_s)]),
                                np.vstack([np.zeros(2), velocities]))
    between = np.linspace(0, 1, 500)
    np.testing.assert_allclose(spline(between), smooth(between), atol=3e-4)


def test_uneven_times_give_the_parabola_through_three_points():
    times_s = np.array([0.1, 0.3, 0.4])
    velocities = point_velocities(np.zeros(1), times_s, times_s[:, None] ** 2 + times_s[:, None],
                                  [9.0])
    np.testing.assert_allclose(velocities[:2, 0], 2 * times_s[:2] + 1)


def test_velocities_are_within_the_limits_and_one_point_ends_at_rest():
    steep = point_velocities(np.zeros(2), [0.1, 0.2], np.array([[0.3, 0.1], [0.6, 0.2]]), LIMITS)
    np.testing.assert_allclose(steep, [[2.0, 1.0], [0.0, 0.0]])
    assert not point_velocities(np.zeros(2), [0.1], np.array([[0.3, 0.1]]), LIMITS).any()


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_nothing_overshoots_a_point(places):
    times_s = 0.1 * np.arange(1, len(places))
    positions = np.array(places)[:, None]
    velocities = point_velocities(positions[0], times_s, positions[1:], [np.inf])
    spline = CubicHermiteSpline([0, *times_s], positions[:, 0], [0, *velocities[:, 0]])
    for index in range(len(places) - 1):
        low, high = sorted(places[index:index + 2])
        inside = spline(np.linspace(0.1 * index, 0.1 * (index + 1), 20))
        assert low - 1e-9 <= inside.min() and inside.max() <= high + 1e-9
