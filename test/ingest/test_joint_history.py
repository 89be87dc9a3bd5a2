# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is remembered of joint_states: the newest, the nearest, and between two."""
from types import SimpleNamespace

import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.joints import JointHistory

MS = 10**6


def message(time_ms, **positions):
    """Return a JointState of a time."""
    stamp = SimpleNamespace(sec=time_ms // 1000, nanosec=time_ms % 1000 * MS)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), name=list(positions),
                           position=list(positions.values()))


@pytest.fixture
def history():
    """Return positions of a joint at 0, 200 and 400 ms, as from an arm at 5 Hz."""
    history = JointHistory(['elbow'])
    for time_ms, position in ((0, 1.0), (200, 2.0), (400, 1.0)):
        history.add(message(time_ms, wrist=9.0, elbow=position))
    return history


def test_a_position_between_two_lies_on_the_line_and_tells_how_far_they_are(history):
    assert history.at('elbow', 50 * MS) == pytest.approx((1.25, 0.05))
    assert history.at('elbow', 200 * MS) == pytest.approx((2.0, 0.0))
    assert history.at('elbow', 340 * MS) == pytest.approx((1.3, 0.06))


def test_before_and_behind_all_the_nearest_holds(history):
    assert history.at('elbow', 450 * MS) == pytest.approx((1.0, 0.05))
    assert history.at('elbow', -100 * MS) == pytest.approx((1.0, 0.1))


def test_the_newest_is_what_was_heard_last(history):
    history.add(message(300, elbow=5.0))
    assert history.newest('elbow') == (300 * MS, 5.0)


def test_joints_of_another_robot_are_named(history):
    other = JointHistory(['elbow'])
    other.add(message(0, left=1.0, right=2.0))
    for look in (other.newest, lambda name: other.at(name, 0)):
        with pytest.raises(ObservationError, match="position of 'elbow': they tell left, right"):
            look('elbow')
    other.clear()
    with pytest.raises(ObservationError, match="position of 'elbow'$"):
        other.newest('elbow')
