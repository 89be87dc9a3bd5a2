# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the arm is going to be, for those who watch: ~/planned_trajectory, after each action chunk.

Not what the policy said but what will be commanded if nothing changes: within the limits, and
slower where the arm has to be. Poses for RViz, or joints where an output tells joints; of those
~/planned_poses has the poses, where a URDF tells them.
"""

from geometry_msgs.msg import PoseArray
from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.row_positions import moved, position_of
from sqap_vla_ros.errors import ObservationError
from trajectory_msgs.msg import JointTrajectory

from .publishers import Publishers
from .. import qos
from ..messages import pose_message, time_message, trajectory_message
from ..qos_overrides import RESULT

TOPIC = '~/planned_trajectory'
POSES = '~/planned_poses'


class PlannedTrajectory(Publishers):
    """
    ~/planned_trajectory: geometry_msgs/PoseArray, or trajectory_msgs/JointTrajectory.

    ~/planned_poses: geometry_msgs/PoseArray beside the latter.
    """

    def __init__(self, node, config, space, drive, transforms):
        """Keep what tells where the arm is; nothing is computed while nobody subscribes."""
        super().__init__(node)
        self._base, self._frame = config.base_frame, config.end_effector_frames[0]
        self._space, self._drive, self._transforms = space, drive, transforms
        self._joints, self._poses = drive.joint_names, None

    def setup(self):
        """Create the publisher."""
        self._planned = self.publisher(
            JointTrajectory if self._joints else PoseArray, TOPIC, qos.RESULT,
            qos.SILENT_PUBLISHER, RESULT)
        if self._joints:
            self._poses = self.publisher(
                PoseArray, POSES, qos.RESULT, qos.SILENT_PUBLISHER, RESULT)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return any(_is_heard(topic) for topic in (self._planned, self._poses) if topic)

    def publish(self, commands: list[Command], dt_ns: int, time_ns: int):
        """Publish where commands lead to, each of which lasts dt_ns, the first from time_ns on."""
        if self._joints:
            times_ns = [dt_ns * (index + 1) for index in range(len(commands))]
            names = self._joints[:len(commands[0].position)] if commands else ()
            self._planned.publish(trajectory_message(
                names, times_ns, [command.position for command in commands], time_ns))
            if _is_heard(self._poses):
                self._poses.publish(self._pose_array(self._hand(commands, len(names)), time_ns))
            return
        self._planned.publish(self._pose_array(
            self._positions(commands, dt_ns * 1e-9), time_ns))

    def _pose_array(self, positions, time_ns) -> PoseArray:
        message = PoseArray(poses=[
            pose_message(position, time_ns, self._base).pose for position in positions])
        message.header.frame_id, message.header.stamp = self._base, time_message(time_ns)
        return message

    def _hand(self, commands, count):
        """Return poses [7] of the end effector; none where nothing tells where joints have it."""
        poses = [self._drive.hand_at(command.position[:count]) for command in commands]
        return [position_of(pose) for pose in poses if pose is not None]

    def _positions(self, commands, dt_s):
        """Return poses [7]; those of twists begin where TF has the end effector, if it does."""
        if all(command.position is not None for command in commands):
            return [command.position for command in commands]
        try:
            pose, positions = self._transforms.latest(self._base, self._frame), []
        except ObservationError:
            return []
        for command in commands:
            pose = moved(pose, command.velocity * dt_s, self._space.frame)
            positions.append(position_of(pose))
        return positions


def _is_heard(topic) -> bool:
    return topic.get_subscription_count() > 0
