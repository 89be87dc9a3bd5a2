# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Twists, poses and joints to joint positions, in closed loop with an arm that lags behind."""
from copy import copy
from dataclasses import replace

from arms import five_joints, seven_joints, six_joints
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.control.command import Command, Measured
from sqap_vla_ros.control.joint_drive import JointDrive
from sqap_vla_ros.control.joint_settings import JointSettings
from sqap_vla_ros.control.row_positions import moved, position_of
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose

pytest.importorskip('pinocchio', reason='pip install pin, or apt install ros-*-pinocchio')
PERIOD_NS = 20_000_000
NOW_NS = 1_790_000_000_000_000_000
SETTINGS = JointSettings(margin=0.05, acceleration=10.0, tracking=0.1, apart_m=0.01,
                         apart_rad=0.05)
TWISTS = ActionSpace(kind='twist')
JOINTS = ActionSpace(kind='joint_position', names=('a', 'b', 'gripper'))
BENT = np.array([0.1, 0.4, 0.1, 1.4, 0.0, 1.2, 0.0])


def drive_of(text, space=TWISTS, **changes):
    return JointDrive.of(space, replace(SETTINGS, **changes), text, 'base_link', 'tool0')


def measured_at(drive, joints):
    return Measured(drive._inverse.kinematics.forward(joints), joints)


class Robot:
    """Joints that follow commanded positions with a lag, and what a drive makes of them."""

    def __init__(self, drive, joints, lag_s=0.06):
        self.drive, self.joints, self.lag_s = drive, np.array(joints, float), lag_s
        self.now_ns, self.commands, self.places = NOW_NS, [], []
        drive.begin(self.measured)

    @property
    def arm(self):
        return self.drive._inverse.kinematics

    @property
    def measured(self):
        return measured_at(self.drive, self.joints)

    def tick(self, said):
        asked = self.drive.toward(said, self.now_ns, PERIOD_NS)
        self.follow(self.drive.advance(asked, self.now_ns, PERIOD_NS))

    def follow(self, command):
        self.drive.watch(self.measured, self.now_ns)
        self.commands.append(command)
        for _ in range(20):
            share = 1e-9 * PERIOD_NS / 20 / self.lag_s
            self.joints = self.joints + share * (command.position - self.joints)
        self.places.append(self.arm.forward(self.joints).translation)
        self.now_ns += PERIOD_NS

    def told(self):
        """Return positions [T, n] that were told."""
        return np.stack([command.position for command in self.commands])


def off_line(places, start, direction):
    gone = np.array(places) - start
    along = np.array(direction) / np.linalg.norm(direction)
    return np.linalg.norm(gone - np.outer(gone @ along, along), axis=1).max(), gone[-1] @ along


@pytest.mark.parametrize('text, joints, direction, ticks', [
    (seven_joints(), BENT, (-0.1, 0.173, 0), 78),
    (six_joints(), [0.3, 0.2, 1.6, 0.02, -0.35, 0], (0.187, 0, 0.07), 50)],
    ids=['30 cm', 'through a wrist singularity'])
def test_a_straight_line_stays_within_a_millimetre(text, joints, direction, ticks):
    robot = Robot(drive_of(text), joints)
    start = robot.arm.forward(robot.joints).translation
    for _ in range(ticks):
        robot.tick(Command(np.append(direction, [0, 0, 0])))
    astray_m, gone_m = off_line(robot.places, start, direction)
    assert robot.drive.fault is None
    assert astray_m < 0.001 and gone_m > 0.2 * 0.02 * ticks - 0.025  # it lags
    speeds = np.diff(robot.told(), axis=0) / 0.02
    assert np.abs(np.diff(speeds, axis=0)).max() / 0.02 < 10.0 + 1e-6
    assert np.abs(speeds).max() <= 2.0 + 1e-9


def test_a_way_of_poses_is_caught_up_with_where_joints_held_it_back():
    robot = Robot(drive_of(six_joints(), speed_factor=0.1), [0.1, 0.4, 1.2, 0.1, 0.9, 0.0])
    pose = start = robot.arm.forward(robot.joints)
    twist = np.array([0.1, 0.1, 0, 0, 0, 0.2])
    for _ in range(60):
        pose = moved(pose, twist * 0.02, 'base')
        robot.tick(Command(twist, None, position_of(pose)))
    held = np.linalg.norm(robot.arm.forward(robot.told()[-1]).translation - pose.translation)
    assert robot.drive.share < 1 and held > 0.01
    for _ in range(300):
        robot.tick(Command(np.zeros(6), None, position_of(pose)))
    end = robot.arm.forward(robot.told()[-1])
    np.testing.assert_allclose(end.translation, pose.translation, atol=1e-6)
    np.testing.assert_allclose(np.abs(end.quaternion @ pose.quaternion), 1, atol=1e-9)
    assert off_line(robot.places, start.translation, [1, 1, 0])[0] < 0.002


def test_twists_in_the_frame_of_the_end_effector_go_its_way():
    space = ActionSpace(kind='delta', names=DELTA_NAMES, frame='end_effector', rotation='rotvec',
                        execute_steps=1)
    robot = Robot(drive_of(six_joints(), space), [0.1, 0.4, 1.2, 0.1, 0.9, 0.0])
    start = robot.arm.forward(robot.joints)
    for _ in range(25):
        robot.tick(Command(np.array([0, 0, 0.1, 0, 0, 0.5])))
    end = robot.arm.forward(robot.told()[-1])
    far = moved(start, np.array([0, 0, 0.1, 0, 0, 0.5]) * 0.5, 'end_effector')
    np.testing.assert_allclose(end.translation, far.translation, atol=0.002)  # it began at rest
    assert abs(end.quaternion @ far.quaternion) > 0.9999


def test_at_a_joint_limit_the_arm_stops_and_says_which():
    robot = Robot(drive_of(six_joints(limits=(-1.3, 1.3))), [0, 0.2, 1.1, 0, 0.9, 0])
    for _ in range(150):
        robot.tick(Command(np.array([-0.2, 0, 0, 0, 0, 0])))
    assert 'joint3 is at its limit' in robot.drive.note
    assert robot.told().max() <= 1.25 + 1e-9 and robot.drive.share < 0.01
    told = robot.told()[-1]
    robot.tick(Command(np.array([0.2, 0, 0, 0, 0, 0])))
    for _ in range(20):
        robot.tick(Command(np.array([0.2, 0, 0, 0, 0, 0])))
    assert robot.told()[-1][2] < told[2] - 0.01 and robot.drive.note == ''


def test_acceleration_of_joints_is_limited_and_so_is_braking():
    robot = Robot(drive_of(seven_joints(), acceleration=2.0), BENT)
    for _ in range(30):
        robot.tick(Command(np.array([0.2, 0.2, 0, 0, 0, 0])))
    while True:
        command = robot.drive.brake(robot.now_ns, PERIOD_NS)
        if command is None:
            break
        robot.follow(command)
    told = np.vstack([BENT, BENT, robot.told(), robot.told()[-1:]])
    acceleration = np.diff(told, 2, axis=0) / 0.02 ** 2
    assert 1.9 < np.abs(acceleration).max() <= 2.0 + 1e-6
    assert len(robot.commands) > 35


def test_the_reference_begins_at_the_measured_joints_and_is_not_pulled_after_them():
    robot = Robot(drive_of(seven_joints()), BENT, lag_s=0.3)
    robot.tick(Command(np.array([0.1, 0, 0, 0, 0, 0])))
    assert np.abs(robot.told()[0] - BENT).max() < 0.005
    for _ in range(20):
        robot.tick(Command(np.array([0.1, 0, 0, 0, 0, 0])))
    reached = robot.arm.forward(robot.told()[-1]).translation - robot.arm.forward(BENT).translation
    assert reached[0] == pytest.approx(0.1 * 21 * 0.02, abs=0.003)
    assert np.abs(robot.told()[-1] - robot.joints).max() > 0.02


@pytest.mark.parametrize('sag, goes_on', [(0.005, True), (0.05, False)])
def test_an_arm_that_sags_a_little_does_not_sink_with_every_start(sag, goes_on):
    robot = Robot(drive_of(seven_joints()), BENT)
    for _ in range(10):
        robot.tick(Command(np.array([0.1, 0, 0, 0, 0, 0])))
    told = robot.told()[-1]
    robot.drive.rest()
    robot.drive.begin(measured_at(robot.drive, told + sag))
    begun = robot.drive.reference(robot.now_ns).joints
    np.testing.assert_allclose(begun, told if goes_on else told + sag, atol=1e-12)


def test_an_arm_that_does_not_follow_is_told_of_with_numbers():
    robot = Robot(drive_of(seven_joints()), BENT, lag_s=1e9)
    for ticks in range(200):
        robot.tick(Command(np.array([0, 0.2, 0, 0, 0, 0])))
        if robot.drive.fault:
            break
    assert 25 < ticks < 75  # half a second, and the way of a tenth of a rad
    assert 'does not follow: joint7 is at 0.000, but was told to be at 0.1' in robot.drive.fault
    robot.drive.rest()
    assert robot.drive.fault is None


def test_joint_states_that_end_while_the_arm_moves_are_lost_until_they_are_back():
    robot = Robot(drive_of(seven_joints()), BENT)
    robot.tick(Command(np.array([0, 0.2, 0, 0, 0, 0])))
    robot.drive.watch(Measured(), robot.now_ns)
    assert 'joint_states published' in robot.drive.lost and robot.drive.fault is None
    robot.drive.watch(robot.measured, robot.now_ns)
    assert robot.drive.lost is None


def test_what_is_not_finite_is_a_fault_until_the_arm_rests():
    robot = Robot(drive_of(seven_joints()), BENT)
    sent = robot.drive.advance(Command(np.full(6, np.nan)), robot.now_ns, PERIOD_NS)
    assert 'not finite' in robot.drive.fault and sent.position.tolist() == BENT.tolist()
    robot.drive.rest()
    robot.drive.begin(robot.measured)
    robot.tick(Command(np.array([0.1, 0, 0, 0, 0, 0])))
    assert robot.drive.fault is None and robot.commands[-1].velocity.any()


def test_what_is_ahead_is_seen_without_moving_the_reference():
    robot = Robot(drive_of(seven_joints()), BENT)
    said = Command(np.array([0.1, 0, 0, 0, 0, 0]))
    robot.tick(said)
    twin = copy(robot.drive)
    ahead = []
    for index in range(100):
        time_ns = robot.now_ns + index * PERIOD_NS
        ahead.append(twin.advance(said, time_ns, PERIOD_NS).position)
        twin.watch(robot.measured, time_ns)
    assert twin.fault is None
    for _ in range(10):
        robot.tick(said)
    np.testing.assert_array_equal(robot.told()[1:], ahead[:10])


@pytest.mark.parametrize('measured, message', [
    (None, 'positions of the joints are not known'),
    (Measured(None, BENT[:6]), 'expected 7 finite'),
    (Measured(None, np.full(7, np.nan)), 'finite numbers'),
    (Measured(None, BENT + 6), 'beyond its limits'),
    (Measured(None, BENT), 'TF does not tell where tool0 is in base_link'),
    (Measured(Pose(np.zeros(3), np.array([0, 0, 0, 1.0])), BENT), 'TF disagree')])
def test_motion_does_not_begin_where_the_arm_is_in_doubt(measured, message):
    with pytest.raises(ObservationError, match=message):
        drive_of(seven_joints()).begin(measured)


def test_joints_that_others_move_come_with_the_measured_ones():
    drive = drive_of(six_joints(), names=tuple(f'joint{n}' for n in range(2, 7)),
                     position_only=True)
    assert drive.names == ('joint2', 'joint3', 'joint4', 'joint5', 'joint6')
    assert drive.joint_names == (*drive.names, 'joint1')
    joints = np.array([0.4, 1.2, 0.1, 0.9, 0.0])
    drive._inverse.kinematics.lock({'joint1': 1.0})
    pose = drive._inverse.kinematics.forward(joints)
    drive._inverse.kinematics.lock({})
    drive.begin(Measured(pose, np.append(joints, 1.0)))
    assert drive.reference(NOW_NS).joints.tolist() == joints.tolist()
    drive.rest()
    with pytest.raises(ObservationError, match='disagree'):
        drive.begin(Measured(pose, np.append(joints, 0.5)))


def test_an_arm_of_five_joints_does_not_ask_for_the_turn_of_its_hand():
    robot = Robot(drive_of(five_joints(), position_only=True), [0, 0.4, 1.0, 0.8, 0.2])
    pose = robot.arm.forward(robot.joints)
    far = replace(pose, translation=pose.translation + [0, 0.02, 0.01],
                  quaternion=np.array([1.0, 0, 0, 0]))
    for _ in range(100):
        said = Command(np.zeros(6), None, position_of(far))
        asked = robot.drive.toward(said, robot.now_ns, PERIOD_NS)
        short = 0.1 / max(0.1, np.linalg.norm(asked.velocity))
        robot.follow(robot.drive.advance(replace(asked, velocity=short * asked.velocity),
                                         robot.now_ns, PERIOD_NS))
        assert not asked.velocity[3:].any()
    np.testing.assert_allclose(robot.arm.forward(robot.told()[-1]).translation, far.translation,
                               atol=1e-5)


def test_joints_of_a_policy_pass_straight_through():
    drive = JointDrive.of(JOINTS, replace(SETTINGS, speeds=(1.0, 2.0)), None, '', '')
    assert drive.names == ('a', 'b') and drive.needs == {'joints'}
    assert drive.limits.velocity == (1.0, 2.0)
    drive.begin(Measured(None, np.array([0.5, -0.5])))
    said = Command(np.array([0.2, 0.0]), 1.0, np.array([0.51, -0.49]))
    asked = drive.toward(said, NOW_NS, PERIOD_NS)
    np.testing.assert_allclose(asked.velocity, [0.5, 0.5])
    sent = drive.advance(asked, NOW_NS, PERIOD_NS)
    np.testing.assert_allclose(sent.position, said.position)
    assert sent.gripper == 1.0 and drive.share == 1.0 and drive.brake(NOW_NS, PERIOD_NS) is None
    later = drive.advance(Command(np.zeros(2)), NOW_NS + PERIOD_NS // 2, PERIOD_NS)
    np.testing.assert_allclose(later.position, [0.505, -0.495])
    drive.advance(asked, NOW_NS + PERIOD_NS, PERIOD_NS)
    late = drive.advance(Command(np.zeros(2)), NOW_NS + 9 * PERIOD_NS, PERIOD_NS)
    np.testing.assert_allclose(late.position, [0.515, -0.485])  # a period's way, not eight


def test_without_speed_limits_nothing_moves():
    with pytest.raises(ConfigError, match='joints a, b have no velocity limit: there is no URDF'):
        JointDrive.of(JOINTS, SETTINGS, None, '', '')
    with pytest.raises(ConfigError, match=r'joint1.*no velocity limit in the URDF \(<limit'):
        drive_of(six_joints(speed=None))
    assert drive_of(six_joints(speed=None), speeds=(0.5,)).limits.velocity == (0.5,) * 6
    with pytest.raises(ConfigError, match=r'max_joint_speeds is \[1.0, 2.0\]: expected .*, or 6'):
        drive_of(six_joints(), speeds=(1.0, 2.0))


def test_a_urdf_gives_a_joint_policy_its_limits():
    space = ActionSpace(kind='joint_delta', names=('joint2', 'joint1'))
    drive = JointDrive.of(space, replace(SETTINGS, speed_factor=0.5, lower=(-9.0, -1.0),
                                         upper=(1.0, 9.0)),
                          six_joints(), '', '')
    assert drive.limits.velocity == (1.0, 1.0) and drive.limits.names == ('joint2', 'joint1')
    assert drive.limits.lower == (-3.0, -1.0) and drive.limits.upper == (1.0, 3.0)
    with pytest.raises(ConfigError, match="no joint 'joint_1'.*did you mean 'joint1'"):
        JointDrive.of(ActionSpace(kind='joint_delta', names=('joint_1',)), SETTINGS, six_joints(),
                      '', '')
