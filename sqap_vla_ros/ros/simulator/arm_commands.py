# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The ways to command the simulated arm: which topic, what is refused, what the arm then does.

All four take the newest message. A twist is in force for a while, and then the arm stands still;
a pose and joint positions are approached and then held, and a trajectory is followed to its end,
as the controllers of real arms do: they go on without the node that commanded them.
"""
from collections.abc import Callable

from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from scipy.spatial.transform import Rotation
from sqap_vla_ros.ros.messages import nanoseconds_of, tick_of
from sqap_vla_ros.sim.arm_control import joint_ramp, JointSetpoint, pose_ramp
from sqap_vla_ros.sim.joint_trajectory import (
    read_trajectory, TrajectoryError, TrajectoryFollower)
from sqap_vla_ros.sim.sensors import JOINT_NAMES
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

ARM_JOINTS = JOINT_NAMES[:7]
QUATERNION_TOLERANCE = 0.01


class Refused(Exception):
    """A command that the arm does not take; reason: a word to count it by."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


class TwistCommands:
    """delta_twist_cmds: m/s and rad/s in the base frame, for one control step."""

    kind, topic = TwistStamped, 'delta_twist_cmds'
    holds = False  # whether the arm goes on when commands cease
    has_age = True  # whether a stamp tells how old a command is

    def __init__(self, base_frame: str, period_s: float):
        """Take commands in a frame; period_s: in which positions are approached."""
        self._frame, self._period_s = base_frame, period_s
        self._env = self._said = None

    def restart(self, env) -> None:
        """Begin an episode: nothing has been said, the arm stands."""
        self._env, self._said = env, None

    def read(self, message, now_ns: int):
        """Return what a message says; raise Refused."""
        self._check_frame(message)
        linear, angular = message.twist.linear, message.twist.angular
        return self._finite([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])

    def stamp_ns(self, message) -> int:
        """Return a message's stamp."""
        return nanoseconds_of(message.header.stamp)

    def take(self, said, now_ns: int) -> None:
        """Do from now on what a message said; None: nothing that holds any more."""
        self._said = said

    def move(self, gripper_open: float, now_ns: int, duration_s: float) -> bool:
        """Move the arm for a time; return whether the instruction is fulfilled."""
        twist = np.zeros(6) if self._said is None else self._said
        return self._env.step(twist, gripper_open)

    def _check_frame(self, message) -> None:
        frame = message.header.frame_id
        if frame != self._frame:
            raise Refused('wrong_frame', f'{self.topic} is in frame {frame!r}, expected '
                          f'{self._frame!r}')

    def _finite(self, numbers) -> np.ndarray:
        values = np.array(numbers, np.float64)
        if not np.isfinite(values).all():
            raise Refused('non_finite', f'{self.topic} is not finite')
        return values


class PoseCommands(TwistCommands):
    """target_pose: of the end effector in the base frame, approached evenly and held."""

    kind, topic = PoseStamped, 'target_pose'
    holds = True

    def restart(self, env) -> None:
        """Begin an episode: hold the arm where it is."""
        self._env, self._started_ns = env, 0
        self._approach = pose_ramp(*2 * (env.end_effector_pose(),), self._period_s)

    def read(self, message, now_ns: int) -> np.ndarray:
        """Return a pose 4x4; raise Refused."""
        self._check_frame(message)
        place, turn = message.pose.position, message.pose.orientation
        numbers = self._finite([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
        length = np.linalg.norm(numbers[3:])
        if abs(length - 1) > QUATERNION_TOLERANCE:
            raise Refused('no_rotation', f'{self.topic} has a quaternion of length {length:.3g}')
        pose = np.eye(4)
        pose[:3, 3], pose[:3, :3] = numbers[:3], Rotation.from_quat(numbers[3:]).as_matrix()
        return pose

    def take(self, said, now_ns: int) -> None:
        """Approach a pose from the one wanted now."""
        if said is not None:
            wanted = self._approach(self._passed_s(now_ns)).pose
            self._approach, self._started_ns = pose_ramp(wanted, said, self._period_s), now_ns

    def move(self, gripper_open: float, now_ns: int, duration_s: float) -> bool:
        """Move the arm for a time; return whether the instruction is fulfilled."""
        passed_s = self._passed_s(now_ns)
        return self._env.follow(lambda time_s: self._approach(passed_s + time_s), gripper_open,
                                duration_s)

    def _passed_s(self, now_ns: int) -> float:
        """
        Return the time since an approach began; behind a clock that jumped back it is over.

        A little before it, what is due now began a moment later than it was due.
        """
        passed_s = (now_ns - self._started_ns) * 1e-9
        return max(0.0, passed_s) if passed_s > -self._period_s else self._period_s


class JointPositionCommands(PoseCommands):
    """joint_commands: rad, in the order of joint_states, approached evenly and held."""

    kind, topic = Float64MultiArray, 'joint_commands'
    has_age = False

    def restart(self, env) -> None:
        """Begin an episode: hold the arm where it is."""
        self._env, self._started_ns = env, 0
        self._approach = joint_ramp(*2 * (joints_of(env)[0],), self._period_s)

    def read(self, message, now_ns: int) -> np.ndarray:
        """Return joint positions [7]; raise Refused."""
        if len(message.data) != len(ARM_JOINTS):
            raise Refused('sizes', f'{self.topic} has {len(message.data)} numbers, expected '
                          f'{len(ARM_JOINTS)}: {", ".join(ARM_JOINTS)}')
        return self._finite(message.data)

    def stamp_ns(self, message) -> int | None:
        """Return the tick that a message answers, None if it names none."""
        return tick_of(message)

    def take(self, said, now_ns: int) -> None:
        """Approach joint positions from those wanted now."""
        if said is not None:
            wanted = self._approach(self._passed_s(now_ns)).positions
            self._approach, self._started_ns = joint_ramp(wanted, said, self._period_s), now_ns


class TrajectoryCommands(TwistCommands):
    """joint_trajectory: followed as a joint_trajectory_controller does, to its end and held."""

    kind, topic = JointTrajectory, 'joint_trajectory'
    holds, has_age = True, False

    def restart(self, env) -> None:
        """Begin an episode: hold the arm where it is."""
        self._env, self._follower = env, TrajectoryFollower(joints_of(env)[0])

    def read(self, message, now_ns: int):
        """Return a Trajectory; raise Refused for what the controller would refuse."""
        try:
            return read_trajectory(message, ARM_JOINTS, now_ns)
        except TrajectoryError as error:
            raise Refused(error.reason, f'{self.topic}: {error}') from error

    def take(self, said, now_ns: int) -> None:
        """Follow a trajectory from the measured state on."""
        if said is not None:
            self._follower.replace(said, now_ns, *joints_of(self._env))

    def move(self, gripper_open: float, now_ns: int, duration_s: float) -> bool:
        """Move the arm for a time; return whether the instruction is fulfilled."""
        return self._env.follow(
            lambda time_s: JointSetpoint(*self._follower.at(now_ns + round(time_s * 1e9))),
            gripper_open, duration_s)


INTERFACES: dict[str, Callable] = {
    'twist': TwistCommands, 'pose': PoseCommands, 'joint_trajectory': TrajectoryCommands,
    'joint_position': JointPositionCommands}


def joints_of(env) -> tuple[np.ndarray, np.ndarray]:
    """Return the arm's joint positions [7] rad and velocities [7] rad/s."""
    _, positions, velocities = env.joint_state()
    return np.array(positions[:7]), np.array(velocities[:7])
