# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The gripper's opening on a topic: gripper_command, 0 closed .. 1 open."""

from std_msgs.msg import Float64

from ..diagnostics import OK
from ..publishers import Publishers
from ... import qos


class GripperTopic(Publishers):
    """gripper_command (std_msgs/Float64)."""

    topic, state = 'gripper_command', (OK, '')

    def setup(self, listener):
        """Create the publisher; listener: has on_topic_problem(topic, message)."""
        self._gripper = self.publisher(Float64, self.topic, qos.COMMAND, qos.publisher_events(
            self.topic_name, listener.on_topic_problem))

    @property
    def topic_name(self) -> str:
        """Return the resolved name of the topic."""
        return self._node.resolve_topic_name(self.topic)

    def use(self, config):
        """Take changed parameters, of which none are of interest here."""

    def begin(self):
        """Begin to command; there is nothing to forget."""

    def send(self, opening: float):
        """Publish an opening, 0 closed .. 1 open."""
        self._gripper.publish(Float64(data=opening))

    def stop(self):
        """Send nothing more; nothing waits to be sent."""

    def check(self):
        """Look at nothing: a topic does not tell what became of it."""

    def why_not(self):
        """Return (level, text) if nothing may move for want of a gripper; never."""
        return None
