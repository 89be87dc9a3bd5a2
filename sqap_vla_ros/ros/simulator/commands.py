# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the simulator accepts: twists and gripper commands, checked, counted, kept."""
from collections import Counter
import math

from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sqap_vla_ros.ros.messages import nanoseconds_of
from std_msgs.msg import Float64


class SimCommands:
    """
    The latest command, and why others were refused.

    Only the thread that spins the node touches this object, so it needs no lock. The gripper's
    subscription is made first: messages that are there together are then read in the order in
    which the policy node sends them, gripper before twist. has_heard_gripper: whether the
    gripper's topic is connected.
    """

    def __init__(self, node: Node, base_frame: str):
        self._base_frame = base_frame
        self._twist: TwistStamped | None = None
        self._executed = False
        self._logger = node.get_logger()
        self.gripper_open = 1.0
        self.has_heard_gripper = False
        self.refused: Counter = Counter()
        self._subscriptions = [
            node.create_subscription(Float64, 'gripper_command', self._on_gripper, 1),
            node.create_subscription(
                TwistStamped, 'delta_twist_cmds', self._on_twist, QoSProfile(depth=10))]

    def restart(self) -> None:
        """Forget the last command and the refusals: a new episode begins, gripper open."""
        self._twist = None
        self.gripper_open = 1.0
        self.refused.clear()

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """
        Take the twist [6] (m/s, rad/s) stamped exactly stamp_ns; None if there is none yet.

        Lockstep: a twist for an earlier tick came late, one for any other time is a mistake;
        both are refused.
        """
        if self._twist is None:
            return None
        message, self._twist = self._twist, None
        found_ns = nanoseconds_of(message.header.stamp)
        if found_ns == stamp_ns:
            return _twist_vector(message)
        self._refuse('late' if found_ns < stamp_ns else 'wrong_stamp',
                     f'stamp {found_ns / 1e9:.3f} s at tick {stamp_ns / 1e9:.3f} s')
        return None

    def recent(self, now_ns: int, max_age_ns: int) -> np.ndarray | None:
        """
        Return the latest twist [6] (m/s, rad/s) if its age is at most max_age_ns, else None.

        Real time: a twist stays in force until it is too old. Stamps further than max_age_ns
        in the future are refused.
        """
        if self._twist is None:
            return None
        age_ns = now_ns - nanoseconds_of(self._twist.header.stamp)
        if abs(age_ns) <= max_age_ns:
            self._executed = True
            return _twist_vector(self._twist)
        if not self._executed:
            self._refuse('late' if age_ns > 0 else 'wrong_stamp',
                         f'stamp {age_ns / 1e9:.3f} s before now')
        self._twist = None
        return None

    def _on_twist(self, message: TwistStamped) -> None:
        frame = message.header.frame_id
        if not np.isfinite(_twist_vector(message)).all():
            self._refuse('non_finite', 'delta_twist_cmds is not finite')
        elif frame != self._base_frame:
            self._refuse('wrong_frame', f'delta_twist_cmds is in frame {frame!r}, '
                         f'expected {self._base_frame!r}')
        else:
            self._twist, self._executed = message, False

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


def _twist_vector(message: TwistStamped) -> np.ndarray:
    linear, angular = message.twist.linear, message.twist.angular
    return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
