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


def boxed(half_m=0.1, **changes):
    """Return LIMITS with a box round where BENT puts the end effector."""
    middle = Kinematics.from_urdf(six_joints(), 'base_link', 'tool0').forward(BENT).translation
    return replace(LIMITS, workspace_low=middle - half_m, workspace_high=middle + half_m,
                   **changes)


def out_of(loop):
    """Return how far [m] told joints have led out of the box."""
    low, high = loop.control.gate.limits.box
    places = np.array([loop.arm.forward(joints).translation for joints in loop.told])
    return float(np.maximum(low - places, places - high).max()), places


@pytest.mark.parametrize('frame', ['base', 'end_effector'])
@pytest.mark.parametrize('acceleration', [2.0, 5.0, np.inf])
def test_joints_stay_in_the_workspace_whatever_is_asked(frame, acceleration):
    rng = np.random.default_rng(4)
    loop = Loop(boxed(), settings=replace(SETTINGS, acceleration=acceleration), frame=frame)
    for way in ([1, 0.2, 0], [-1, 1, 0], [0, 0.3, -1], [0.5, -1, 0.5], [0, 0, -1]):
        twist = np.append(0.25 * np.array(way), rng.uniform(-0.6, 0.6, 3))
        for _ in range(45):
            loop.tick(twist)
    while loop.go(loop.control.brake):
        pass
    out_m, places = out_of(loop)
    assert -1e-3 < out_m <= 1e-9, f'{1e3 * out_m} mm'  # it was at a wall
    assert np.ptp(places, axis=0).min() > 0.05 and loop.control.gate.fault is None


@pytest.mark.parametrize('text, twist', [
    (six_joints(), [0.2, 0, 0, 0, 0, 0]), (six_joints(limits=(-1.3, 1.3)), [-0.2, 0, 0, 0, 0, 0])],
    ids=['end of its reach', 'limit of a joint'])
@pytest.mark.parametrize('rows', [1, 8])
def test_an_arm_that_is_held_asks_for_the_next_image_all_the_same(text, twist, rows):
    loop = Loop(text=text, rows=rows)
    for _ in range(150):
        loop.tick(twist, rows)
    assert loop.drive.share < 0.01 and loop.drive.note
    asked = loop.asked
    for _ in range(100):
        loop.tick(twist, rows)
    assert loop.asked - asked >= 3
    stood = loop.arm.forward(loop.joints).translation
    for _ in range(40):
        loop.tick(-np.array(twist), rows)
    assert np.linalg.norm(loop.arm.forward(loop.joints).translation - stood) > 0.01


def test_an_arm_whose_joints_are_not_known_any_more_is_slowed_down():
    loop = Loop()
    for _ in range(11):  # of 20 that the chunk has
        command = loop.tick([0.0, 0.15, 0, 0, 0, 0])
    fast, speeds = np.abs(command.velocity).max(), []
    for _ in range(40):
        command = loop.control.command(loop.now_ns, Measured(loop.measured.pose, None))
        speeds.append(np.zeros(6) if command is None else command.velocity)
        loop.now_ns += PERIOD_NS
    changes = np.abs(np.diff(speeds, axis=0)).max(1) / 0.02
    assert fast > 0.1 and not speeds[-1].any() and changes.max() <= 10.0 + 1e-6
    sizes = np.abs(speeds).max(1)
    assert sizes[3] > 0.3 * fast and loop.control.gate.fault is None
    assert (np.diff(sizes[1:]) <= 1e-3).all() and not sizes[10:].any()  # at once, and at 1 m/s2
    for _ in range(20):
        command = loop.tick([0.2, 0, 0, 0, 0, 0])
    assert np.abs(command.velocity).max() > 0.1  # it began again


def test_an_arm_that_kinematics_hold_for_long_trips():
    loop = Loop(replace(LIMITS, trip_count=20))
    for _ in range(250):
        loop.tick([0.2, 0, 0, 0, 0, 0])
    assert '20 commands within 10 s were shortened' in loop.control.gate.fault
