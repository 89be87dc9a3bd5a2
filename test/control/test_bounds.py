# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the arm may be and begin: nothing leads out of the box or of the joints' range."""
import numpy as np
import pytest

from sqap_vla_ros.control.command import Command, Measured
from sqap_vla_ros.control.limits import CommandLimits, JointLimits
from sqap_vla_ros.control.safety_gate import SafetyGate
from sqap_vla_ros.geometry.quaternions import from_rotation_vector
from sqap_vla_ros.geometry.transform_buffer import Pose

MS, S = 10**6, 10**9
BOX = {'workspace_low': [-0.5, -0.5, 0.05], 'workspace_high': [0.5, 0.5, 0.6]}
LIMITS = CommandLimits(0.25, 1.0, linear_acceleration=1.0, angular_acceleration=10.0, **BOX)
AHEAD = from_rotation_vector(np.zeros(3))


def at(x, y=0.0, z=0.3, stamp_ns=0, turn=AHEAD):
    return Measured(Pose(np.array([x, y, z]), turn, stamp_ns))


def twist(x, y=0.0, z=0.0, turn=0.0):
    return Command(np.array([x, y, z, 0.0, 0.0, turn]), 0.5)


def drive(gate, command, place, ticks=200, period_ns=20 * MS):
    """Return the places [T, 3] and velocities [T, 3] of an arm that does what it is told."""
    places, sent = [np.array(place)], []
    for tick in range(ticks):
        said = gate.admit(command, tick * period_ns, period_ns, at(*places[-1]))
        sent.append(np.zeros(3) if said is None else said.velocity[:3])
        places.append(places[-1] + sent[-1] * period_ns * 1e-9)
    return np.array(places), np.array(sent)


@pytest.mark.parametrize('rate_hz', [20, 50, 100, 1000])
@pytest.mark.parametrize('jerk', [5.0, np.inf])
def test_the_arm_slows_down_to_the_wall_within_its_acceleration_and_stays_inside(rate_hz, jerk):
    limits = CommandLimits(0.25, 1.0, linear_acceleration=1.0, linear_jerk=jerk, **BOX)
    places, sent = drive(SafetyGate(limits), twist(0.25), (0.3, 0, 0.3), 4 * rate_hz, S // rate_hz)
    assert places[:, 0].max() <= 0.5 + 1e-9 and places[-1, 0] == pytest.approx(0.5, abs=1e-3)
    assert np.abs(np.diff(sent[:, 0])).max() <= 1.0 / rate_hz * (1 + 1e-6)
    assert sent[:, 0].max() > 0.2


def test_what_leads_along_the_wall_goes_on():
    gate = SafetyGate(LIMITS)
    places, sent = drive(gate, twist(0.15, 0.1), (0.4, 0, 0.3))
    assert places[-1, 0] == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(sent[-1], [0.0, 0.1, 0.0], atol=1e-3)
    assert gate.fault is None and gate.clamped > 50


@pytest.mark.parametrize('speed, goes', [(0.1, 0.0), (-0.1, -0.1)])
def test_from_outside_only_the_way_back_is_open(speed, goes):
    _, sent = drive(SafetyGate(LIMITS), twist(speed), (0.6, 0, 0.3), 50)
    np.testing.assert_allclose(sent[-1], [goes, 0.0, 0.0])


@pytest.mark.parametrize('measured', [None, Measured(), at(0.0, stamp_ns=S)])
def test_where_the_place_is_not_known_the_arm_slows_down_and_says_why(measured):
    """The last one: a pose of 1 s, when it is 2 s."""
    gate = SafetyGate(LIMITS)
    assert gate.admit(twist(0.1), 2 * S, 20 * MS, measured) is None
    assert 'workspace is not known' in gate.hold and gate.fault is None
    for tick in range(10):
        sent = gate.admit(twist(0.1, turn=0.5), tick * 20 * MS, 20 * MS, at(0.0))
    assert gate.hold is None
    slower = gate.admit(twist(0.1, turn=0.5), 200 * MS, 20 * MS, Measured())
    np.testing.assert_allclose(slower.velocity, [0.08, 0, 0, 0, 0, 0.3])
    np.testing.assert_allclose(sent.velocity, [0.1, 0, 0, 0, 0, 0.5])


def test_a_twist_of_the_end_effector_is_judged_in_the_base():
    turn = from_rotation_vector(np.array([0.0, 0.0, np.pi / 2]))  # its x is the base's y
    gate = SafetyGate(LIMITS, 'end_effector')
    for tick in range(20):
        sent = gate.admit(twist(0.2, 0.1), tick * 20 * MS, 20 * MS, at(0.499, turn=turn))
    np.testing.assert_allclose(sent.velocity[:2], [0.2, 0.1], atol=1e-9)
    for tick in range(20, 40):
        sent = gate.admit(twist(0.2, -0.1), tick * 20 * MS, 20 * MS, at(0.5, turn=turn))
    np.testing.assert_allclose(sent.velocity[:2], [0.2, 0.0], atol=1e-9)


def test_a_pose_that_is_late_counts_as_where_the_arm_has_got_to():
    gate = SafetyGate(CommandLimits(0.25, 1.0, **BOX))
    for now_ns in (S, S + 60 * MS):
        gate.admit(twist(0.2), now_ns, 20 * MS, at(0.40, stamp_ns=S))
    late = at(0.48, stamp_ns=S + 20 * MS)  # 100 ms ago, at 0.2 m/s: it is there by now
    assert gate.admit(twist(0.2), S + 120 * MS, 20 * MS, late).velocity[0] < 1e-9


def test_a_target_that_runs_ahead_of_the_arm_stays_inside_too():
    gate = SafetyGate(CommandLimits(0.25, 1.0, **BOX))
    assert gate.admit(twist(0.2), 0, 20 * MS, at(0.3)).velocity[0] == pytest.approx(0.2)
    sent = gate.admit(twist(0.2), 20 * MS, 20 * MS, at(0.3), at(0.4999))
    assert sent.velocity[0] * 0.02 == pytest.approx(0.0001)


def joints(**options):
    return SafetyGate(JointLimits([1.0, 1.0], [2.0, 2.0], None, [-1.0, -2.0], [1.0, 2.0],
                                  margin=0.1, **options))


@pytest.mark.parametrize('whole, other', [(False, 0.5), (True, 0.0)])
def test_a_joint_at_its_limit_stops_alone_or_stops_all(whole, other):
    gate = joints(whole=whole)
    for tick in range(50):
        sent = gate.admit(Command(np.array([0.5, 0.5])), tick * 20 * MS, 20 * MS,
                          Measured(joints=np.array([0.9, 0.0])))
    np.testing.assert_allclose(sent.velocity, [0.0, other], atol=1e-9)


@pytest.mark.parametrize('speed, goes', [(0.5, 0.0), (-0.5, -0.5)])
def test_a_joint_beyond_its_limit_may_only_come_back(speed, goes):
    gate = joints()
    for tick in range(50):
        sent = gate.admit(Command(np.array([speed, 0.2])), tick * 20 * MS, 20 * MS,
                          Measured(joints=np.array([1.3, 0.0])))
    np.testing.assert_allclose(sent.velocity, [goes, 0.2])


@pytest.mark.parametrize('place', [None, [0.0], [np.nan, 0.0], [np.inf, 0.0]])
def test_joints_that_are_not_known_let_nothing_move(place):
    gate = joints()
    measured = Measured(joints=None if place is None else np.array(place))
    assert gate.admit(Command(np.array([0.1, 0.1])), 0, 20 * MS, measured) is None
    assert 'joints are' in gate.hold and gate.fault is None


FIRST = CommandLimits(0.25, 1.0, first_linear=0.1, first_angular=0.5)


@pytest.mark.parametrize('offset, turn, is_near', [
    (0.099, 0.49, True), (0.101, 0.0, False), (0.0, 0.51, False), (0.0, -3.0, False)])
def test_the_first_target_has_to_be_near_the_measured_pose(offset, turn, is_near):
    target = np.concatenate([[0.3 + offset, 0, 0.3], from_rotation_vector(
        np.array([0.0, turn, 0.0]))])
    said = Command(np.zeros(6), None, target)
    gate = SafetyGate(FIRST)
    assert (gate.admit(said, 0, 20 * MS, at(0.3)) is not None) == is_near
    chunk_gate = SafetyGate(FIRST)
    assert chunk_gate.admit_chunk([said], at(0.3)) == is_near
    if not is_near:
        assert 'from the measured pose, more than 0.1 m or 0.5 rad' in gate.fault
        assert f'{offset:.3g} m and {abs(turn):.3g} rad' in chunk_gate.fault


def test_the_first_target_of_joints_names_the_joint_and_its_way():
    gate = SafetyGate(JointLimits([1.0, 1.0], first=0.3, names=['lift', 'elbow']))
    assert not gate.admit_chunk([Command(np.zeros(2), None, np.array([0.2, -0.4]))],
                                Measured(joints=np.zeros(2)))
    assert 'begins with elbow 0.4 rad from where it is measured, more than 0.3 rad' in gate.fault


def test_a_first_target_without_a_measurement_is_no_motion():
    gate = SafetyGate(FIRST)
    said = Command(np.zeros(6), None, np.array([0.3, 0, 0.3, 0, 0, 0, 1.0]))
    assert not gate.admit_chunk([said]) and 'where it is was not measured' in gate.fault
