# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Twists as joint velocities: exact where the arm can, within limits everywhere."""
from arms import five_joints, planar, seven_joints, six_joints
from hypothesis import given, strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sqap_vla_ros.control.inverse_kinematics import ANGLE_WEIGHT, InverseKinematics
from sqap_vla_ros.control.kinematics import Kinematics
from sqap_vla_ros.control.limits import JointLimits
from sqap_vla_ros.errors import ConfigError

pytest.importorskip('pinocchio', reason='pip install pin, or apt install ros-*-pinocchio')
PERIOD_S = 0.02
BENT = {'six': [0.1, 0.4, 1.2, 0.1, 0.9, 0.0], 'seven': [0.1, 0.4, 0.1, 1.4, 0.0, 1.2, 0.0]}


def solver(text, position_only=False, speed=2.0, **limits):
    kinematics = Kinematics.from_urdf(text, 'base_link', 'tool0')
    count = len(kinematics.names)
    return InverseKinematics(kinematics, JointLimits(
        velocity=[speed] * count, lower=kinematics.lower, upper=kinematics.upper,
        **{'margin': 0.05, 'acceleration': [8.0] * count, **limits}), position_only)


SIX, SEVEN = solver(six_joints()), solver(seven_joints())


class Drawn:
    """What a straight line came out as: from joints, along a direction, for so long."""

    def __init__(self, inverse, joints, direction, length, speed=0.2, ticks=400):
        arm, joints = inverse.kinematics, np.array(joints, float)
        start, along = arm.forward(joints), np.array(direction) / np.linalg.norm(direction)
        self.astray_m = self.turned_rad = self.fastest = 0.0
        for self.ticks in range(1, ticks + 1):
            self.step = inverse.step(joints, np.append(speed * along, np.zeros(3)), PERIOD_S)
            joints = joints + PERIOD_S * self.step.velocity
            pose = arm.forward(joints)
            gone = pose.translation - start.translation
            turn = Rotation.from_quat(pose.quaternion) * Rotation.from_quat(start.quaternion).inv()
            self.gone_m, self.joints = float(gone @ along), joints
            self.astray_m = max(self.astray_m, np.linalg.norm(gone - along * self.gone_m))
            self.turned_rad = max(self.turned_rad, turn.magnitude())
            self.fastest = max(self.fastest, np.abs(self.step.velocity).max())
            if self.gone_m >= length:
                break
        self.ideal_ticks = length / speed / PERIOD_S


@pytest.mark.parametrize('inverse, joints', [(SIX, BENT['six']), (SEVEN, BENT['seven'])])
@pytest.mark.parametrize('frame', ['base', 'end_effector'])
def test_a_twist_is_done_as_it_was_said(inverse, joints, frame):
    twist = np.array([0.05, -0.1, 0.08, 0.2, 0.1, -0.3])
    step = inverse.step(np.array(joints), twist, 1e-6, frame)
    done = inverse.kinematics.jacobian(np.array(joints), frame) @ step.velocity
    np.testing.assert_allclose(done, twist, atol=1e-6)
    assert step.share == 1.0 and not step.blocked and not step.singular


def test_redundant_joints_move_as_little_as_they_can():
    joints, twist = np.array(BENT['seven']), np.array([0.1, 0, 0, 0, 0, 0.2])
    least = np.linalg.pinv(SEVEN.kinematics.jacobian(joints)) @ twist
    np.testing.assert_allclose(SEVEN.step(joints, twist, 1e-6).velocity, least, atol=1e-5)


def test_a_long_step_ends_where_the_twist_leads():
    joints, twist = np.array(BENT['six']), np.array([0.2, 0.1, 0, 0, 0, 0])
    step = SIX.step(joints, twist, 0.05)
    gone = (SIX.kinematics.forward(joints + 0.05 * step.velocity).translation
            - SIX.kinematics.forward(joints).translation)
    np.testing.assert_allclose(gone, 0.05 * twist[:3], atol=2e-5)  # the first joint alone: 3e-4


def test_the_worst_joint_slows_all_of_them():
    slow = solver(six_joints(), speed=0.3)
    twist = np.array([0.4, 0.2, 0.1, 0.5, 0, 0])
    step, free = (inverse.step(np.array(BENT['six']), twist, 1e-6) for inverse in (slow, SIX))
    assert np.abs(step.velocity).max() == pytest.approx(0.3)
    assert step.share == pytest.approx(0.3 / np.abs(free.velocity).max())
    np.testing.assert_allclose(step.velocity, step.share * free.velocity, atol=1e-6)


@pytest.mark.parametrize('elbow_off', [1e-6, 1e-3, 0.02])
def test_a_line_past_a_wrist_singularity_stays_a_line(elbow_off):
    drawn = Drawn(SIX, [0.3, 0.2, 1.6, elbow_off, -0.35, 0], [0.8, 0, 0.3], 0.2)
    assert drawn.joints[4] > 0.0  # the hand went through the forearm's axis
    assert drawn.fastest <= 2.0 + 1e-9
    assert drawn.astray_m < 0.002 and drawn.turned_rad < 0.12
    assert drawn.ticks < 1.2 * drawn.ideal_ticks


@pytest.mark.parametrize('direction', [(1, 0, 0.3), (1, 0.5, 0.3)])
def test_at_the_end_of_its_reach_the_arm_stops_on_the_line(direction):
    drawn = Drawn(SIX, [0, 0.3, 0.8, 0, 0.9, 0], direction, 0.6)
    assert 0.05 < drawn.gone_m < 0.1
    assert np.abs(drawn.step.velocity).max() < 1e-3
    assert drawn.astray_m < 0.001 and drawn.turned_rad < 0.02


@pytest.mark.parametrize('joints', [
    [0, 0.7, 0.0, 0, 0.9, 0], [0, 0.7, 1e-5, 0, 0.9, 0], [0, 0, 0, 0, 0, 0]])
def test_a_stretched_arm_can_be_drawn_back(joints):
    direction = (-1, 0, -0.3) if joints[1] else (0, 0, -1)
    drawn = Drawn(SIX, joints, direction, 0.3)
    assert drawn.gone_m >= 0.3 and drawn.ticks < 1.3 * drawn.ideal_ticks
    assert drawn.astray_m < 0.002 and drawn.turned_rad < 0.04


def test_a_joint_at_its_limit_is_left_to_the_others():
    drawn = Drawn(SEVEN, [2.84, 0.4, 0, 1.4, 0, 1.2, 0], [-0.2, -1, 0], 0.1)
    assert drawn.step.blocked == (0,) and drawn.joints[0] <= 2.85 + 1e-9
    assert drawn.gone_m >= 0.1 and drawn.ticks < 1.1 * drawn.ideal_ticks
    assert drawn.astray_m < 0.001 and drawn.turned_rad < 0.01


def test_no_joint_is_driven_into_its_limit_and_each_can_go_back():
    tight = solver(six_joints(limits=(-1.3, 1.3)))
    into = Drawn(tight, [0, 0.2, 1.1, 0, 0.9, 0], [-1, 0, 0], 0.3)
    assert into.joints.max() <= 1.25 + 1e-9 and into.step.blocked
    assert np.abs(into.step.velocity).max() < 1e-3
    back = Drawn(tight, into.joints, [1, 0, 0], 0.1)
    assert back.gone_m >= 0.1


def test_a_joint_behind_its_limit_is_not_pulled_back():
    tight = solver(six_joints(limits=(-1.3, 1.3)))
    behind = np.array([0, 0.2, 1.34, 0, 0.9, 0])
    into = tight.step(behind, np.array([-0.1, 0, 0, 0, 0, 0]), PERIOD_S)
    away = tight.step(behind, np.array([0.1, 0, 0, 0, 0, 0]), PERIOD_S)
    still = tight.step(behind, np.zeros(6), PERIOD_S)
    assert into.blocked[0] == 2 and into.velocity[2] == 0.0
    assert away.velocity[2] < -0.1 and not away.blocked
    assert not still.velocity.any()


@pytest.mark.parametrize('acceleration', [2.0, 8.0])
def test_a_joint_brakes_before_its_limit(acceleration):
    inverse = solver(six_joints(limits=(-1.3, 1.3)), margin=0.0, acceleration=[acceleration] * 6)
    joints, speeds = np.array([0.9, 0.2, 1.1, 0, 0.9, 0]), []
    for _ in range(100):  # turn about the base's axis, which the first joint does alone
        x, y, _ = inverse.kinematics.forward(joints).translation
        step = inverse.step(joints, 0.8 * np.array([-y, x, 0, 0, 0, 1]), PERIOD_S)
        joints = joints + PERIOD_S * step.velocity
        speeds.append(step.velocity[0])
    assert speeds[0] == pytest.approx(0.8, abs=1e-4) and speeds[-1] < 0.01
    assert 1.25 < joints[0] <= 1.3
    way_of_braking = speeds[0] ** 2 / (2 * acceleration)
    began = 0.9 + PERIOD_S * sum(speed > 0.79 for speed in speeds) * 0.8
    assert 1.3 - 2.5 * way_of_braking - 0.03 < began < 1.3 - way_of_braking


def test_an_arm_of_five_joints_follows_positions_alone():
    with pytest.raises(ConfigError, match='arm has 5 joints.*pan.*set position_only'):
        solver(five_joints())
    drawn = Drawn(solver(five_joints(), True), [0, 0.4, 1.0, 0.8, 0.2], [0.3, 1, 0.2], 0.15)
    assert drawn.gone_m >= 0.15 and drawn.astray_m < 1e-4
    with pytest.raises(ConfigError, match='2 joints.*at least 3'):
        solver(planar([0.4, 0.3]), True)


@pytest.mark.parametrize('acceleration', [8.0, np.inf])
def test_a_joint_that_turns_for_ever_is_at_no_limit(acceleration):
    endless = solver(six_joints(kind='continuous', limits=(0.0, 0.0)),
                     acceleration=[acceleration] * 6)
    bounded = solver(six_joints(), acceleration=[acceleration] * 6)
    twist = np.array([0.05, -0.1, 0.08, 0.2, 0.1, -0.3])
    for joints in (np.array(BENT['six']), np.array(BENT['six']) + 2 * np.pi):
        step = endless.step(joints, twist, PERIOD_S)
        expected = bounded.step(np.array(BENT['six']), twist, PERIOD_S)
        np.testing.assert_allclose(step.velocity, expected.velocity, atol=1e-9)
        assert step.share == 1.0 and not step.blocked


def test_limits_have_to_be_of_the_arm():
    with pytest.raises(ConfigError, match='limits of 2 joints for the 6'):
        InverseKinematics(SIX.kinematics, JointLimits([1.0, 1.0]))


@given(joints=st.lists(st.floats(-2.8, 2.8), min_size=6, max_size=6),
       twist=st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6))
def test_anywhere_joints_stay_within_their_limits(joints, twist):
    joints, twist = np.array(joints), np.array(twist)
    step = SIX.step(joints, twist, PERIOD_S)
    ahead = joints + PERIOD_S * step.velocity
    assert np.isfinite(step.velocity).all()
    assert np.abs(step.velocity).max() <= 2.0 + 1e-9
    assert 0.0 <= step.share <= 1.0 and np.abs(ahead).max() <= 2.95 + 1e-9
    # and never against what was asked, beyond what a step off an exact singularity is worth
    weights = np.repeat([1 / SIX.kinematics.reach, ANGLE_WEIGHT], 3)
    now = SIX.step(joints, twist, 1e-6)
    done, asked = SIX.kinematics.jacobian(joints) @ now.velocity * weights, weights * twist
    assert done @ asked >= -5e-3 * np.linalg.norm(asked)
