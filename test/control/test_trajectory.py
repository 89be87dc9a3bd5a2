# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A way of positions over time: between points, compared, and as points evenly apart."""
import numpy as np
import pytest
from sqap_vla_ros.control.trajectory import step_ns_of, Trajectory

MS = 10**6
# far from 0, where a float of nanoseconds no longer tells them apart
START = 1_790_000_000_123_456_789
WAY = Trajectory(START + MS * np.array([0, 20, 70, 120]),
                 np.array([[0.0, 1.0], [0.2, 1.0], [0.7, 1.5], [0.7, 1.5]]))


def test_positions_between_two_lie_on_a_line_and_ends_are_held():
    assert WAY.at(START + 45 * MS) == pytest.approx([0.45, 1.25])
    assert WAY.at(START - MS) == pytest.approx([0, 1])
    assert WAY.at(START + 500 * MS) == pytest.approx([0.7, 1.5])


def test_a_position_is_so_within_a_bound_and_while_it_is_covered():
    assert WAY.is_so(START + 45 * MS, np.array([0.459, 1.25]), 0.01)
    assert not WAY.is_so(START + 45 * MS, np.array([0.461, 1.25]), 0.01)
    assert not WAY.is_so(START + 45 * MS, np.array([0.45, 1.239]), 0.01)
    assert not WAY.is_so(START + 121 * MS, np.array([0.7, 1.5]), 0.01)
    assert not WAY.is_so(START - 1, np.array([0.0, 1.0]), 0.01)


@pytest.mark.parametrize('step_ms, expected', [
    (50, [0.5, 0.7, 0.7]), (120, [0.7]), (200, [0.7]), (40, [0.4, 0.7, 0.7])])
def test_points_are_evenly_apart_from_the_first_step_to_the_end(step_ms, expected):
    times_ns, positions = WAY.points(step_ms * MS)
    assert list(times_ns) == [step_ms * MS * (i + 1) for i in range(len(expected))]
    assert positions[:, 0] == pytest.approx(expected)


@pytest.mark.parametrize('dt_ms, period_ms, step_ms', [
    (50, 20, 50), (50, 50, 50), (200, 20, 100), (250, 20, 250 / 3), (20, 50, 50)])
def test_the_step_is_the_rows_or_an_even_part_of_them_and_never_below_a_period(
        dt_ms, period_ms, step_ms):
    assert step_ns_of(dt_ms * MS, period_ms * MS) == int(step_ms * MS)
