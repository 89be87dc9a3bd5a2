# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is remembered of joint_states: the newest, the nearest, and between two."""
import random
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


@pytest.mark.parametrize('steps_ms', [[2], [2, 2, 2, -3], [2, 0], [2, 2, 700, -650]])
def test_what_is_beside_a_time_is_found_also_where_stamps_do_not_go_on(steps_ms):
    chance, history, heard, time_ms = random.Random(1), JointHistory(['elbow']), [], 10_000
    for count in range(300):
        time_ms += chance.choice(steps_ms)
        while heard and abs(heard[0][0] - time_ms * MS) > 2 * 10**9:
            del heard[0]
        heard.append((time_ms * MS, count * 1e-3))
        history.add(message(time_ms, elbow=count * 1e-3))
        asked_ns = time_ms * MS - chance.randrange(10**9)
        found_ns, position = min(heard, key=lambda item: abs(item[0] - asked_ns))
        assert history.nearest('elbow', asked_ns) == (
            position, abs(found_ns - asked_ns) * 1e-9)
        before = max((item for item in heard if item[0] <= asked_ns), default=None)
        after = min((item for item in heard if item[0] >= asked_ns), default=before)
        low, high = sorted(item[1] for item in (before or after, after))
        assert low - 1e-12 <= history.at('elbow', asked_ns)[0] <= high + 1e-12


def test_names_that_change_are_learnt_again():
    history = JointHistory(['a', 'b'])
    history.add(message(0, a=1.0, b=2.0))
    history.add(message(10, b=2.1, a=1.1))
    assert (history.newest('a')[1], history.newest('b')[1]) == (1.1, 2.1)
    history.add(message(20, c=9.0))
    history.take(30 * MS, ('a', 'a'), (1.2, 1.3))
    assert "name 'a' 2 times" in history.refused
    history.add(message(40, a=1.4))
    assert not history.refused and history.newest('a') == (40 * MS, 1.4)
