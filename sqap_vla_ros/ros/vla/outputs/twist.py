# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Twists for MoveIt Servo: delta_twist_cmds, in m/s and rad/s or without units."""

from geometry_msgs.msg import TwistStamped
from sqap_vla_ros.control.command import Command, STOP

from .base import ArmOutput
from ...messages import twist_message


class TwistOutput(ArmOutput):
    """delta_twist_cmds (geometry_msgs/TwistStamped)."""

    topic, kind = 'delta_twist_cmds', TwistStamped

    def __init__(self, node, frame_id: str, units: tuple[float, float] = (1.0, 1.0)):
        """Keep frame_id, of the twists, and what one unit of each half is, in m/s and rad/s."""
        super().__init__(node)
        self._frame_id, self._units = frame_id, units

    def send(self, command: Command, time_ns: int):
        """Publish a command's twist, stamped."""
        self._arm.publish(twist_message(command, time_ns, self._frame_id, self._units))

    def stop(self, time_ns: int):
        """Publish a zero twist."""
        self.send(STOP, time_ns)
