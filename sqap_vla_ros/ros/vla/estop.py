# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
An emergency stop on a topic (std_msgs/Bool): true stops at once, and ~/resume is needed then.

It is an input beside the robot's own emergency stop and no substitute for one.
"""

import time

from std_msgs.msg import Bool

from .. import qos


class EmergencyStop:
    """The newest of estop_topic; without a topic it never stops anything."""

    def __init__(self, node, topic: str, timeout_s: float):
        """timeout_s: how long the topic may be silent, 0 for ever; may be changed."""
        self._node, self.timeout_s = node, timeout_s
        self.topic = topic and node.resolve_topic_name(topic)
        self._subscriptions = []
        self.is_pressed = None  # None: nothing heard yet
        self._heard_s = 0.0

    def setup(self, listener):
        """Subscribe; listener: has on_estop(pressed) and on_topic_problem(topic, message)."""
        if not self.topic:
            return
        self._listener = listener
        # both: what is latched reaches a late subscriber through one, what is not the other
        events = qos.subscription_events(self.topic, listener.on_topic_problem)
        for profile, callbacks in ((qos.ESTOP, events),
                                   (qos.ESTOP_LATCHED, qos.SILENT_SUBSCRIPTION)):
            self._subscriptions.append(self._node.create_subscription(
                Bool, self.topic, self._heard, profile, event_callbacks=callbacks))

    def teardown(self):
        """Unsubscribe and forget."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        self.is_pressed = None

    @property
    def why_lost(self) -> str:
        """Return why what was heard last does not count any more; '' while it does."""
        if self.is_pressed is None:
            return ''
        if not self._node.count_publishers(self.topic):
            return f'the publisher of {self.topic} (parameter estop_topic) is gone'
        if 0 < self.timeout_s < time.perf_counter() - self._heard_s:
            return (f'no message on {self.topic} for more than {self.timeout_s:g} s (parameters '
                    'estop_topic, estop_timeout)')
        return ''

    @property
    def why_not_move(self) -> str:
        """Return why nothing may move now, '' if the topic does not forbid it."""
        if not self.topic or self.is_pressed is False:
            return ''
        if self.is_pressed:
            return f'the emergency stop on {self.topic} is pressed'
        return f'nothing is known of the emergency stop: no message yet on {self.topic}'

    def forget(self):
        """Wait for a message before anything moves again."""
        self.is_pressed = None

    def _heard(self, message):
        self.is_pressed, self._heard_s = bool(message.data), time.perf_counter()
        self._listener.on_topic_problem(self.topic, None)
        self._listener.on_estop(self.is_pressed)
