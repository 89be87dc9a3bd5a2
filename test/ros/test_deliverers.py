# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Two cameras on one topic are never believed in turns, however slow one of them is."""

import pytest
from sqap_vla_ros.ros.vla import deliverers
from sqap_vla_ros.ros.vla.deliverers import Deliverers, NO_NUMBER


class Probe:
    """Stands in for the subscription: gives what was put into its queue."""

    def __init__(self, *_):
        self.queue = []

    def take_numbers(self):
        """Return the numbers since the last time."""
        numbers, self.queue = self.queue, []
        return numbers

    def destroy(self):
        """Do nothing."""


@pytest.fixture
def topic(monkeypatch):
    """Return a topic with a clock, now_s."""
    monkeypatch.setattr(deliverers, 'PolledSubscription', Probe)
    looked_at = Deliverers(None, None, 'image')
    looked_at.now_s = 100.0
    monkeypatch.setattr(deliverers.time, 'monotonic', lambda: looked_at.now_s)
    return looked_at


def looks(topic, first, seconds, others=(), publishers=2):
    """Return what is said each 0.2 s while one publishes at 30 Hz, others {second: number}."""
    others, said = dict(others), []
    for look in range(int(seconds * 5)):
        topic.now_s += 0.2
        if topic._probe is not None:
            topic._probe.queue += list(range(first + 6 * look, first + 6 * look + 6))
            if look % 5 == 0 and look // 5 in others:
                topic._probe.queue.insert(3, others[look // 5])
        said.append(topic.only_one(publishers))
    return said


@pytest.mark.parametrize('number', [3, 10**6])
def test_a_second_camera_that_delivers_once_in_long_ends_the_belief_until_it_is_gone(
        topic, number):
    assert all(looks(topic, 1, 1, publishers=1))
    said = looks(topic, 100, 60, {3: number})
    assert said[12] and not any(said[16:])  # not a minute later, either
    assert all(looks(topic, 2000, 1, publishers=1))
    assert looks(topic, 3000, 3)[-1]


def test_a_driver_that_was_killed_is_a_publisher_that_delivers_nothing(topic):
    said = looks(topic, 1, 3)
    assert not any(said[:5]) and all(said[7:])


@pytest.mark.parametrize('numbers, taken', [
    ([5, 6, 7, 11], [True] * 4), ([5, 6, 2, 7, 3, 8], [True, True, False, True, False, True]),
    ([700, 1, 2], [True, False, True]), ([None, None], [True] * 2), ([NO_NUMBER] * 2, [True] * 2),
    ([5, 10**6, 10**6 + 1], [True, False, True])])
def test_the_first_picture_of_another_publisher_is_not_taken(topic, numbers, taken):
    topic.only_one(2)
    assert [topic.takes(number) for number in numbers] == taken


def test_of_one_publisher_many_messages_may_get_lost(topic):
    topic.only_one(1)
    assert topic.takes(1) and topic.takes(1000)
