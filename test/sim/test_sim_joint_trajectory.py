# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The trajectory controller against SciPy's splines, and what it refuses, as JTC does."""
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from sqap_vla_ros.sim.joint_trajectory import (
    read_trajectory, TrajectoryError, TrajectoryFollower)

JOINTS = ('a', 'b')
NOW = 50 * 10**9
MS = 10**6
START, SPEED = np.array([0.1, -0.2]), np.array([0.5, 0.0])


def message(times_ms=(100, 200), rows=((1, 2), (3, 1)), velocities=(), names=JOINTS, stamp_ns=0,
            **fields):
    """Return a JointTrajectory's fields; velocities: one row a point, or none."""
    points = [SimpleNamespace(
        positions=list(row), velocities=list(speed), accelerations=fields.get('accelerations', ()),
        effort=(), time_from_start=time(ms * MS))
        for ms, row, speed in zip(times_ms, rows, velocities or [()] * len(rows))]
    return SimpleNamespace(joint_names=list(names), points=points,
                           header=SimpleNamespace(stamp=time(stamp_ns)))


def time(ns):
    return SimpleNamespace(sec=ns // 10**9, nanosec=ns % 10**9)


def follower(told, now_ns=NOW):
    """Return a follower that has taken a message, the arm at START with SPEED."""
    result = TrajectoryFollower(START)
    result.replace(read_trajectory(told, JOINTS, now_ns), now_ns, START, SPEED)
    return result


def test_positions_alone_are_joined_by_lines_from_the_measured_state():
    found = follower(message())
    grid = np.arange(0, 200, 7)
    expected = [np.interp(grid, [0, 100, 200], [start, *column])
                for start, column in zip(START, ((1, 3), (2, 1)))]
    np.testing.assert_allclose(
        [found.at(NOW + ms * MS)[0] for ms in grid], np.transpose(expected))
    np.testing.assert_allclose(found.at(NOW + 50 * MS)[1], (np.array([1, 2]) - START) / 0.1)


def test_velocities_make_a_cubic_spline_that_begins_with_the_measured_velocity():
    found = follower(message(velocities=((4, -1), (0, 0))))
    oracle = CubicHermiteSpline(
        [0, 0.1, 0.2], [START, (1, 2), (3, 1)], [SPEED, (4, -1), (0, 0)])
    for ms in range(0, 200, 7):
        position, velocity = found.at(NOW + ms * MS)
        np.testing.assert_allclose(position, oracle(ms / 1000), atol=1e-12)
        np.testing.assert_allclose(velocity, oracle.derivative()(ms / 1000), atol=1e-9)


def test_joints_may_come_in_another_order():
    found = follower(message(names=('b', 'a')))
    np.testing.assert_array_equal(found.at(NOW + 100 * MS)[0], [2, 1])


def test_the_last_point_is_held_at_rest():
    position, velocity = follower(message()).at(NOW + 10**9)
    assert position.tolist() == [3, 1] and not velocity.any()


def test_a_newer_trajectory_replaces_the_rest_of_the_old_one():
    found = follower(message())
    later = NOW + 50 * MS
    found.replace(read_trajectory(message((100,), ((0, 0),)), JOINTS, later), later, START, SPEED)
    np.testing.assert_allclose(found.at(later)[0], START)
    np.testing.assert_allclose(found.at(NOW + 100 * MS)[0], START / 2)
    assert not found.at(later + 100 * MS)[0].any()


def test_a_stamp_now_is_like_none():
    stamped, unstamped = follower(message(stamp_ns=NOW)), follower(message())
    for ms in (0, 30, 130, 250):
        np.testing.assert_array_equal(stamped.at(NOW + ms * MS)[0], unstamped.at(NOW + ms * MS)[0])


def test_with_a_stamp_in_the_future_the_arm_crawls_to_the_first_point():
    found = follower(message(stamp_ns=NOW + 10**9))
    np.testing.assert_allclose(found.at(NOW + 110 * MS)[0],
                               START + 0.1 * (np.array([1, 2]) - START))
    np.testing.assert_allclose(found.at(NOW + 1100 * MS)[0], [1, 2])


def test_a_stamp_in_the_past_goes_on_where_the_trajectory_should_be():
    found = follower(message(stamp_ns=NOW - 150 * MS))
    np.testing.assert_allclose(found.at(NOW)[0], [2, 1.5])


@pytest.mark.parametrize('reason, told', [
    ('joints', message(names=('a',), rows=((1,), (2,)))),
    ('joints', message(names=('a', 'c'))),
    ('joints', message(names=('a', 'a'))),
    ('empty', message((), ())),
    ('sizes', message(rows=((1, 2), (3,)))),
    ('sizes', message(rows=((), ()))),
    ('sizes', message(velocities=((1, 1), ()))),
    ('times', message((100, 100))),
    ('times', message((200, 100))),
    ('non_finite', message(rows=((1, 2), (np.nan, 0)))),
    ('non_finite', message(velocities=((np.inf, 1), (0, 0)))),
    ('moving_end', message(velocities=((0, 0), (0, 0.1)))),
    ('accelerations', message(accelerations=(0, 0))),
    ('late', message(stamp_ns=NOW - 201 * MS))])
def test_what_jtc_refuses_is_refused(reason, told):
    with pytest.raises(TrajectoryError) as error:
        read_trajectory(told, JOINTS, NOW)
    assert error.value.reason == reason


def test_without_a_trajectory_the_arm_is_held_where_it_is():
    position, velocity = TrajectoryFollower(START).at(NOW)
    np.testing.assert_array_equal(position, START)
    assert not velocity.any()
