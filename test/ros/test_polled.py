# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Streams that are read when somebody looks: what a look costs, and whether anything can come."""
from types import SimpleNamespace

import pytest
from rclpy.qos import ReliabilityPolicy
from sqap_vla_ros.ros import qos
from sqap_vla_ros.ros.qos_overrides import STREAM
from sqap_vla_ros.ros.vla.joint_states import JointStates
from sqap_vla_ros.ros.vla.polled import PolledSubscription


class Queue:
    """A topic whose messages were asked for so often, each time as bytes or not."""

    def __init__(self):
        self.raw = []

    def take(self, most=None, raw=False):
        self.raw.append(raw)
        return [b'']


def test_joint_states_that_are_forgotten_are_not_made_into_messages_first():
    states = JointStates(None, ['joint'])
    states._topic = queue = Queue()
    states.forget()
    assert queue.raw == [True]


class Graph:
    """A node in whose graph one node publishes; what it subscribes to gets a reliability."""

    def __init__(self, published, asked):
        self._published, self._asked = published, asked

    def create_subscription(self, kind, topic, callback, qos_profile, **options):
        qos_profile.reliability = self._asked  # as rclpy does with what users ask for
        return SimpleNamespace(topic_name='/tf')

    def get_publishers_info_by_topic(self, topic):
        return [SimpleNamespace(node_name='state_publisher', qos_profile=SimpleNamespace(
            reliability=self._published))]


@pytest.mark.parametrize('published, asked, text', [
    ('RELIABLE', 'BEST_EFFORT', None), ('BEST_EFFORT', 'BEST_EFFORT', None),
    ('RELIABLE', 'RELIABLE', ''), ('BEST_EFFORT', 'RELIABLE', '(state_publisher) is best effort')])
def test_a_stream_that_users_made_reliable_tells_who_is_not_heard(published, asked, text):
    node = Graph(ReliabilityPolicy[published], ReliabilityPolicy[asked])
    found = PolledSubscription(node, None, '/tf', qos.TF_POLLED, STREAM).misfits()
    if text:
        assert text in found['/tf'] and 'qos_overrides./tf.subscription' in found['/tf']
    else:
        assert found == ({} if text is None else {'/tf': None})
