# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the simulator accepts: commands of the arm and of the gripper, checked, counted, kept."""
from collections import Counter
import math

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sqap_vla_ros.ros.simulator.arm_commands import INTERFACES, Refused
from sqap_vla_ros.ros.simulator.gripper_server import GripperServer
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from std_msgs.msg import Float64


class SimCommands:
    """
    The latest command, and why others were refused.

    Only the thread that spins the node touches this object, so it needs no lock. The gripper's
    subscription is made first: messages that are there together are then read in the order in
    which the policy node sends them, gripper before arm. has_heard_gripper: whether the
    gripper's topic is connected.  now_ns: the simulator's time, set by the pacing.
    """

    def __init__(self, node: Node, settings: SimSettings):
        """Subscribe, or serve the gripper's action."""
        self._arm = INTERFACES[settings.command_interface](
            settings.base_frame, settings.command_period)
        self._latest = None  # (stamp, what is said) of a message that is to be taken
        self._stamp_ns = None  # of the command in force
        self._logger = node.get_logger()
        self.now_ns = lambda: 0
        self.gripper_open = 1.0
        self.has_heard_gripper = False
        self.refused: Counter = Counter()
        self._server = None if settings.gripper_interface == 'topic' else GripperServer(
            node, settings.gripper_interface, settings.gripper_action, self._set_gripper)
        self._subscriptions = [] if self._server else [
            node.create_subscription(Float64, 'gripper_command', self._on_gripper, 1)]
        self._subscriptions += [
            node.create_subscription(self._arm.kind, self._arm.topic, self._on_arm,
                                     QoSProfile(depth=10))]

    @property
    def topic(self) -> str:
        """Return the name of the arm's topic."""
        return self._arm.topic

    @property
    def holds(self) -> bool:
        """Return whether the arm goes on with its last command when no more come."""
        return self._arm.holds

    def restart(self, env) -> None:
        """Forget the last command and the refusals: a new episode begins, gripper open."""
        self._latest = self._stamp_ns = None
        self.gripper_open = 1.0
        self.refused.clear()
        self._arm.restart(env)
        if self._server:
            self._server.restart()

    def close(self) -> None:
        """End the gripper's action server."""
        if self._server:
            self._server.close()

    def at(self, stamp_ns: int) -> bool:
        """
        Take the command stamped exactly stamp_ns; return whether there was one.

        Lockstep: a command for an earlier tick came late, one for any other time is a mistake;
        both are refused.
        """
        if self._latest is None:
            return False
        (found_ns, said), self._latest = self._latest, None
        if found_ns == stamp_ns:
            self._arm.take(said, stamp_ns)
            return True
        self._refuse('late' if found_ns is not None and found_ns < stamp_ns else 'wrong_stamp',
                     f'stamp {_seconds(found_ns)} at tick {_seconds(stamp_ns)}')
        return False

    def recent(self, now_ns: int, max_age_ns: int) -> bool:
        """
        Take the latest command, if there is a new one; return whether one is fresh.

        Real time: a command stays fresh until its age is more than max_age_ns, and only then a
        twist ends. One that is older when it comes, or further in the future, is refused.
        A trajectory's stamp is its controller's business, and joint_commands have none: those
        are as old as the time since they came.
        """
        if self._latest is not None:
            self._begin(now_ns, max_age_ns)
        is_fresh = self._stamp_ns is not None and abs(now_ns - self._stamp_ns) <= max_age_ns
        if not is_fresh and self._stamp_ns is not None:
            self._stamp_ns = None
            self._arm.take(None, now_ns)
        return is_fresh

    def move(self, duration_s: float) -> bool:
        """Let the arm do for a time what it was told; return whether that fulfils the task."""
        return self._arm.move(self.gripper_open, self.now_ns(), duration_s)

    def look(self, opening: float) -> None:
        """Look whether the gripper, 0 closed .. 1 open, is where its goal wants it."""
        if self._server:
            self._server.step(opening)

    def _begin(self, now_ns: int, max_age_ns: int) -> None:
        (stamp_ns, said), self._latest = self._latest, None
        if self._arm.has_age:
            age_ns = now_ns - stamp_ns
            if abs(age_ns) > max_age_ns:
                self._refuse('late' if age_ns > 0 else 'wrong_stamp',
                             f'stamp {_seconds(age_ns)} before now')
                return
        self._stamp_ns = stamp_ns if self._arm.has_age else now_ns
        self._arm.take(said, self.now_ns())

    def _on_arm(self, message) -> None:
        try:
            self._latest = self._arm.stamp_ns(message), self._arm.read(message, self.now_ns())
        except Refused as refusal:
            self._refuse(refusal.reason, str(refusal))

    def _set_gripper(self, opening: float) -> None:
        self.gripper_open = opening

    def _on_gripper(self, message: Float64) -> None:
        self.has_heard_gripper = True
        if math.isfinite(message.data):
            self.gripper_open = min(max(message.data, 0.0), 1.0)
        else:
            self._refuse('non_finite', 'gripper_command is not finite')

    def _refuse(self, reason: str, text: str) -> None:
        self.refused[reason] += 1
        if reason != 'late':
            self._logger.warning(f'refused a command: {text}', throttle_duration_sec=2.0)


def _seconds(time_ns: int | None) -> str:
    return 'none' if time_ns is None else f'{time_ns / 1e9:.3f} s'
