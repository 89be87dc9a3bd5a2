# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks of twists to joints, with the Commander: what joints can't do, and the workspace."""
from dataclasses import replace

from arms import six_joints
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, TWIST_NAMES
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.joint_drive import JointDrive
from sqap_vla_ros.control.joint_settings import JointSettings
from sqap_vla_ros.control.kinematics import Kinematics
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.observation import ActionChunk

pytest.importorskip('pinocchio', reason='pip install pin, or apt install ros-*-pinocchio')
PERIOD_NS, NOW_NS = 20_000_000, 1_790_000_000_000_000_000
BENT = np.array([0.1, 0.4, 1.2, 0.1, 0.9, 0.0])
SETTINGS = JointSettings(margin=0.05, acceleration=10.0, tracking=0.1)
LIMITS = CommandLimits(0.25, 1.0, linear_acceleration=1.0, angular_acceleration=4.0)


class Loop:
    """A Commander of joints, and joints that are where they were told to be."""

    def __init__(self, limits=LIMITS, text=None, settings=SETTINGS, joints=BENT, rows=8,
                 frame='base'):
        space = ActionSpace(names=TWIST_NAMES, execute_steps=rows, frame=frame)
        self.drive = JointDrive.of(space, settings, text or six_joints(), 'base_link', 'tool0')
        self.arm = Kinematics.from_urdf(text or six_joints(), 'base_link', 'tool0')
        self.control = Commander(space, limits, period_ns=PERIOD_NS, drive=self.drive)
        self.joints, self.now_ns, self.told, self.asked = np.array(joints, float), NOW_NS, [], 0

    @property
    def measured(self):
        pose = self.arm.forward(self.joints)
        return Measured(replace(pose, stamp_ns=self.now_ns), self.joints)

    def tick(self, twist, rows=8):
        """Ask and be answered at once where an image is due, then go on for a period."""
        if self.control.player.wants_image(self.now_ns):
            self.control.player.ask(self.now_ns)
            self.asked += 1
            actions = np.tile(np.asarray(twist, np.float32), (rows, 1))
            self.control.take(ActionChunk(actions, 0.05, TWIST_NAMES, self.now_ns, {}),
                              self.now_ns, self.measured)
        return self.go(self.control.command)

    def go(self, speak):
        command = speak(self.now_ns, self.measured)
        if command is not None:
            self.joints = command.position
            self.told.append(command.position)
        self.now_ns += PERIOD_NS
        return command


def test_a_joint_that_turns_for_ever_is_commanded_like_any_other():
    loop = Loop(text=six_joints(kind='continuous', limits=(0.0, 0.0)))
    start = loop.arm.forward(BENT).translation
    for _ in range(20):
        loop.tick([0, 0.1, 0, 0, 0, 0])
    gone = loop.arm.forward(loop.joints).translation - start
    assert gone[1] > 0.03 and np.abs(gone[[0, 2]]).max() < 1e-3
    assert loop.control.gate.fault is None
