# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Joint positions for a forward_command_controller: joint_commands, at control_rate."""

from std_msgs.msg import Float64MultiArray

from .positions import PositionOutput
from ...messages import positions_message


class JointPositionOutput(PositionOutput):
    """joint_commands (std_msgs/Float64MultiArray): rad or m, in the order of the joints."""

    topic, kind = 'joint_commands', Float64MultiArray

    def position_message(self, position, time_ns: int) -> Float64MultiArray:
        """Return the message of joint positions [n]."""
        return positions_message(position, time_ns if self._lockstep else None)

    def position_of(self, measured):
        """Return the measured joints [n]; None where they are not known."""
        return measured.joints
