# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing unsafe comes out of a commander, and wrong positions are found out."""
from dataclasses import replace

import numpy as np
import pytest
from sqap_vla_ros.bench.safety.commander_trial import try_commander
from sqap_vla_ros.bench.safety.following_arm import (
    BASE, Chain, HAND, HAS_PINOCCHIO, SEVEN, SIX)
from sqap_vla_ros.bench.safety.trials import try_many
from sqap_vla_ros.control.bounds import _Bounds
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.drives import PoseDrive, TwistDrive
from sqap_vla_ros.control.inverse_kinematics import InverseKinematics
from sqap_vla_ros.control.joint_drive import JointDrive
from sqap_vla_ros.control.kinematics import Kinematics
from sqap_vla_ros.control.row_positions import position_of
from sqap_vla_ros.control.safety_gate import SafetyGate

SEED = 12
HALF_TURN = np.array([0.0, 0.0, 1.0, 0.0])
BEFORE = {kind: kind.advance for kind in (PoseDrive, JointDrive, TwistDrive)}


def sends(change):
    """Return an advance whose command is changed on its way out."""
    def advance(self, admitted, now_ns, period_ns):
        return change(self, BEFORE[type(self)](self, admitted, now_ns, period_ns))
    return advance


def moved(step):
    return sends(lambda drive, sent: replace(sent, position=sent.position + step(sent)))


def turned(drive, sent):
    return replace(sent, position=np.concatenate([sent.position[:3], HALF_TURN]))


def scaled(factor):
    """Send what leads further than was admitted, and believe it."""
    def advance(self, admitted, now_ns, period_ns):
        return BEFORE[type(self)](self, replace(admitted, velocity=factor * admitted.velocity),
                                  now_ns, period_ns)
    return advance


def to_the_other_side(sent):
    return np.array([3.0]) - 2 * sent.position


def at_once(self, now_ns, measured):
    self._rest()


def goes_on(self, measured):
    START[type(self)](self, None if measured is None else replace(
        measured, joints=None if measured.joints is None else measured.joints + 0.3,
        pose=None if measured.pose is None else replace(
            measured.pose, translation=measured.pose.translation + 0.3)))


def after_all(self, now_ns, count, dt_ns, measured=None):
    return PREVIEW(self, now_ns, count, dt_ns, measured)[1:]


def on_the_way(self, now_ns, count, dt_ns, measured=None):
    commands = PREVIEW(self, now_ns, count, dt_ns, measured)
    if commands and self._moving is not None:
        self.drive.advance(commands[-1], now_ns, dt_ns)
    return commands


def shifted(step):
    def step_of(self, joints, twist, period_s, frame='base'):
        made = STEP(self, joints, twist, period_s, frame)
        return replace(made, velocity=step(self, made.velocity))
    return step_of


START = {kind: kind.begin for kind in (PoseDrive, JointDrive)}
PREVIEW, STEP = Commander.preview, InverseKinematics.step
BOTH = (PoseDrive, JointDrive)
FAULTS = {
    'poses are a metre off': [(PoseDrive, 'advance', moved(lambda sent: np.eye(7)[0]))],
    'poses are a millimetre off': [(PoseDrive, 'advance', moved(
        lambda sent: 1e-3 * np.eye(7)[2]))],
    'poses are turned': [(PoseDrive, 'advance', sends(turned))],
    'poses have the orientation in another order': [(PoseDrive, 'advance', sends(
        lambda drive, sent: replace(sent, position=sent.position[[0, 1, 2, 6, 3, 4, 5]])))],
    'orientations are not of length 1': [(PoseDrive, 'advance', sends(
        lambda drive, sent: replace(sent, position=sent.position * [1, 1, 1, 2, 2, 2, 2])))],
    'poses are told in another frame': [(PoseDrive, '__init__', lambda drive, frame: (
        setattr(drive, '_frame', 'base' if frame == 'end_effector' else 'end_effector'),
        drive.rest()) and None)],
    'joints are 3 less themselves': [(JointDrive, 'advance', moved(to_the_other_side))],
    'joints are in another order': [(JointDrive, 'advance', sends(
        lambda drive, sent: replace(sent, position=sent.position[::-1])))],
    'positions go further than velocities': [(kind, 'advance', scaled(1.1)) for kind in BOTH],
    'positions stand still': [(PoseDrive, 'advance', sends(
        lambda drive, sent: replace(sent, position=position_of(drive._reference))))],
    'positions are not told': [(kind, 'advance', sends(
        lambda drive, sent: replace(sent, position=None))) for kind in BOTH],
    'positions are NaN': [(kind, 'advance', moved(lambda sent: np.nan)) for kind in BOTH],
    'motion begins elsewhere': [(kind, 'begin', goes_on) for kind in BOTH],
    'velocities are negative': [(TwistDrive, 'advance', scaled(-1.0))],
    'the box does not hold for the reference': [
        (_Bounds, 'cut', lambda self, velocity, reach_s: velocity)],
    'a preview moves the reference': [(Commander, 'preview', on_the_way)],
    'a preview leaves out the first': [(Commander, 'preview', after_all)],
    'a late chunk stops the arm at once': [(Commander, '_braked', at_once)],
    'stop is forgotten': [(SafetyGate, 'latch', lambda gate, reason: gate.rest())]}
HAND_FAULTS = {
    'a hand goes elsewhere': [
        (InverseKinematics, 'step', shifted(lambda inverse, velocity: velocity[::-1]))],
    'joints have no limits': [(JointDrive, '_limited', lambda drive, reference, twist, now_ns,
                               period_ns: 3 * STEP(drive._inverse, reference, twist,
                                                   period_ns * 1e-9, drive._frame).velocity)],
    'joints are off by the margin and more': [
        (JointDrive, 'advance', moved(lambda sent: 0.03))]}
FOUND_AT = {  # the scenario to begin with, to save time
    'joints are 3 less themselves': 6,
    'joints are in another order': 11,
    'velocities are negative': 49,
    'a preview moves the reference': 31,
    'a preview leaves out the first': 31}


def is_found(index):
    return try_commander(SEED, index).counts['unsafe'] > 0


def test_nothing_unsafe_comes_out_of_a_commander():
    tally = try_many(try_commander, SEED, 24)
    assert tally.unsafe == []
    assert tally.counts['inputs'] == 4800 and tally.counts['moving'] > 1000


@pytest.mark.parametrize('fault', FAULTS)
def test_a_commander_with_a_fault_is_found_out(monkeypatch, fault):
    for place, *change in FAULTS[fault]:
        monkeypatch.setattr(place, *change)
    first = FOUND_AT.get(fault, 1)
    assert any(map(is_found, range(first, first + 60)))


@pytest.mark.skipif(not HAS_PINOCCHIO, reason='pip install pin, or apt install ros-*-pinocchio')
@pytest.mark.parametrize('fault', HAND_FAULTS)
def test_a_fault_of_joints_that_move_a_hand_is_found_out(monkeypatch, fault):
    for place, *change in HAND_FAULTS[fault]:
        monkeypatch.setattr(place, *change)
    first = FOUND_AT.get(fault, 4)
    assert any(map(is_found, range(first, first + 60)))


@pytest.mark.skipif(not HAS_PINOCCHIO, reason='pip install pin, or apt install ros-*-pinocchio')
@pytest.mark.parametrize('parts', [SIX, SEVEN])
def test_the_judge_puts_the_hand_where_pinocchio_does(parts):
    chain = Chain(parts, (False,) * (len(parts) - 1))
    arm = Kinematics.from_urdf(chain.urdf(2.0), BASE, HAND)
    for joints in np.random.default_rng(0).uniform(-2, 2, (20, chain.size)):
        hand, pose = chain.hand(joints), arm.forward(joints)
        assert hand[:3] == pytest.approx(pose.translation, abs=1e-12)
        assert abs(hand[3:] @ pose.quaternion) == pytest.approx(1.0, abs=1e-12)
