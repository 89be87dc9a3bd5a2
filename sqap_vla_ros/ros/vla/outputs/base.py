# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What every output that commands an arm has: one topic, messages that move, and one that stops.

Commands are reliable and one deep: a robot must get the newest, never an old one. All publishers
are silent unless the lifecycle node is active, so nothing moves before activation or after
deactivation.
"""

from rclpy.duration import Duration

from ..publishers import Publishers
from ... import qos

ACKNOWLEDGE_S = 0.5  # how long a last stop command may take to arrive


class ArmOutput(Publishers):
    """
    A topic on which an arm is commanded.

    Subclasses have `topic` (before remapping) and `kind` (its message class), send(command,
    time_ns) and stop(time_ns).  repeats: whether each control period has a message.  period_s:
    the time between them, None where none is promised.
    """

    topic = ''
    kind = None
    repeats = True
    period_s = None

    def setup(self, listener):
        """Create the publisher; listener: has on_topic_problem(topic, message)."""
        profile = qos.repeated_command(self.period_s) if self.period_s else qos.COMMAND
        self._arm = self.publisher(self.kind, self.topic, profile, qos.publisher_events(
            self.topic_name, listener.on_topic_problem))

    @property
    def topic_name(self) -> str:
        """Return the resolved name of the topic."""
        return self._node.resolve_topic_name(self.topic)

    @property
    def subscribers(self) -> int:
        """Return how many listen, with a QoS that fits."""
        return self._arm.get_subscription_count()

    def begin(self):
        """Forget what was sent before this activation."""

    def flush(self):
        """Wait until those who listen have the last command."""
        self._arm.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
