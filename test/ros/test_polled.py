# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Streams that are read when somebody looks: what a look costs, and whether anything can come."""
from sqap_vla_ros.ros.vla.joint_states import JointStates


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
