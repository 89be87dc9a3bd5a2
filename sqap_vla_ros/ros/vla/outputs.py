# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node says: commands to the robot, and what it thought, for those who watch.

Commands are twists for MoveIt Servo and an opening for the gripper, reliable and one deep: a
robot must get the newest, never an old one. All publishers are silent unless the lifecycle
node is active, so nothing moves before activation or after deactivation.
"""

from geometry_msgs.msg import TwistStamped
from rclpy.duration import Duration
from sensor_msgs.msg import Image
from sqap_vla_ros.control.command import STOP
from sqap_vla_ros.msg import ActionChunk, TokenSelection
from std_msgs.msg import Float64

from .. import messages, qos

ACKNOWLEDGE_S = 0.5  # how long a last stop command may take to arrive


class _Outputs:
    """Lifecycle publishers that come and go together."""

    def __init__(self, node):
        self._node = node
        self._publishers = []

    def teardown(self):
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def _publisher(self, kind, topic, profile, events):
        self._publishers.append(self._node.create_lifecycle_publisher(
            kind, topic, profile, event_callbacks=events))
        return self._publishers[-1]


class TwistOutput(_Outputs):
    """delta_twist_cmds (geometry_msgs/TwistStamped) and gripper_command (std_msgs/Float64)."""

    def __init__(self, node, frame_id: str):
        """Keep what setup() needs; frame_id: of the twists."""
        super().__init__(node)
        self._frame_id = frame_id

    def setup(self, listener):
        """Create the publishers; listener: has on_topic_problem(topic, message)."""
        self._twist, self._gripper = (
            self._publisher(kind, topic, qos.COMMAND, qos.publisher_events(
                self._node.resolve_topic_name(topic), listener.on_topic_problem))
            for kind, topic in ((TwistStamped, 'delta_twist_cmds'), (Float64, 'gripper_command')))

    def send(self, command, time_ns: int):
        """Publish a command, stamped; the gripper goes first, for a twist ends a tick."""
        if command.gripper is not None:
            self._gripper.publish(Float64(data=command.gripper))
        self._twist.publish(messages.twist_message(command, time_ns, self._frame_id))

    def stop(self, time_ns: int):
        """Publish a zero twist; the gripper keeps what it holds."""
        self.send(STOP, time_ns)

    def flush(self):
        """Wait until those who listen have the last command."""
        self._twist.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))


class Results(_Outputs):
    """~/action_chunk, ~/token_selection and ~/overlay."""

    def setup(self):
        """Create the publishers."""
        self.chunk, self.selection, self.overlay = (
            self._publisher(kind, topic, qos.RESULT, qos.SILENT_PUBLISHER)
            for kind, topic in ((ActionChunk, '~/action_chunk'),
                                (TokenSelection, '~/token_selection'), (Image, '~/overlay')))

    @property
    def overlay_is_wanted(self) -> bool:
        """Whether somebody subscribes to ~/overlay."""
        return self.overlay.get_subscription_count() > 0
