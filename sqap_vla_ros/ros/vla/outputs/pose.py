# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Poses for Cartesian controllers and Servo's pose mode: target_pose, in the base frame."""

from geometry_msgs.msg import PoseStamped
from sqap_vla_ros.control.row_positions import position_of

from .positions import PositionOutput
from ...messages import pose_message


class PoseOutput(PositionOutput):
    """target_pose (geometry_msgs/PoseStamped): where the end effector is to be a period on."""

    topic, kind = 'target_pose', PoseStamped

    def __init__(self, node, frame_id: str, arm, lockstep: bool):
        """Keep frame_id, of the poses; for the others see PositionOutput."""
        super().__init__(node, arm, lockstep)
        self._frame_id = frame_id

    def position_message(self, position, time_ns: int) -> PoseStamped:
        """Return the message of a position [7]."""
        return pose_message(position, time_ns, self._frame_id)

    def position_of(self, measured):
        """Return where the end effector is [7]; None where that is not known."""
        return None if measured.pose is None else position_of(measured.pose)
