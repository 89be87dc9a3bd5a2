# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
An emergency stop on a topic (std_msgs/Bool): true stops at once, and ~/resume is needed then.

It is an input beside the robot's own emergency stop and no substitute for one.
"""

from collections import deque
import time

from std_msgs.msg import Bool

from .. import qos

RHYTHM = 6  # messages of a topic that is repeated: it may not fall silent
SLOWEST_S, LATE = 2.0, 5  # between two of these, and how many times as long is too long
LEAST_S = 0.5


class EmergencyStop:
    """The newest of estop_topic; without a topic it never stops anything."""

    def __init__(self, node, topic: str, timeout_s: float):
        """timeout_s: how long the topic may be silent; 0: judged by its rhythm, if it has one."""
        self._node, self.timeout_s = node, timeout_s
        self.topic = topic and node.resolve_topic_name(topic)
        self._subscriptions = []
        self.is_pressed = None  # None: nothing heard yet
        self._last_s, self._heard_s = 0.0, deque(maxlen=RHYTHM)

    def setup(self, listener):
        """
        Subscribe.

        listener: has on_estop(pressed, is_first), is_first being whether nothing was known of it
        before, and on_topic_problem(topic, message).
        """
        if not self.topic:
            return
        self._listener = listener
        # both: what is latched reaches a late subscriber through one, what is not the other
        events = qos.subscription_events(self.topic, listener.on_topic_problem)
        for profile, heard, callbacks in (
                (qos.ESTOP, self._heard_live, events),
                (qos.ESTOP_LATCHED, self._heard, qos.SILENT_SUBSCRIPTION)):
            self._subscriptions.append(self._node.create_subscription(
                Bool, self.topic, heard, profile, event_callbacks=callbacks))

    def teardown(self):
        """Unsubscribe and forget."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        self.forget()

    @property
    def why_lost(self) -> str:
        """Return why what was heard last does not count any more; '' while it does."""
        if self.is_pressed is None:
            return ''
        if not self._node.count_publishers(self.topic):
            return f'the publisher of {self.topic} (parameter estop_topic) is gone'
        limit_s = self.timeout_s or self._by_rhythm()
        if 0 < limit_s < time.perf_counter() - self._last_s:
            return (f'no message on {self.topic} for more than {limit_s:.2g} s (parameters '
                    'estop_topic, estop_timeout)')
        return ''

    def _by_rhythm(self) -> float:
        """Return how long the topic may be silent, from how it was repeated; 0 for ever."""
        if len(self._heard_s) < RHYTHM:
            return 0.0
        heard_s = list(self._heard_s)
        longest_s = max(later - earlier for earlier, later in zip(heard_s, heard_s[1:]))
        return max(LEAST_S, LATE * longest_s) if longest_s < SLOWEST_S else 0.0

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
        self._heard_s.clear()

    def _heard_live(self, message):
        self._heard(message)
        self._heard_s.append(self._last_s)

    def _heard(self, message):
        is_first, self.is_pressed = self.is_pressed is None, bool(message.data)
        self._last_s = time.perf_counter()
        self._listener.on_topic_problem(self.topic, None)
        self._listener.on_estop(self.is_pressed, is_first)
