# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the safety gate lets through: the shape of twists, faults, the speed scale."""

from dataclasses import replace
import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.limits import CommandLimits, LEAST_ABSURD
from sqap_vla_ros.control.safety_gate import SafetyGate
from sqap_vla_ros.errors import ConfigError

MS = 10**6
LIMITS = CommandLimits(linear=0.25, angular=1.0, reject_factor=4.0)
HALVES = [(slice(0, 3), 0.25, 'linear', 'm/s'), (slice(3, 6), 1.0, 'angular', 'rad/s')]
any_float = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(arrays(np.float64, 6, elements=any_float), any_float)
def test_whatever_comes_in_what_goes_out_is_finite_and_within_limits(twist, gripper):
    admitted = SafetyGate(LIMITS).admit(Command(twist, gripper))
    if admitted is not None:
        assert admitted.is_finite and 0.0 <= admitted.gripper <= 1.0
        assert np.linalg.norm(admitted.velocity[:3]) <= LIMITS.linear * (1 + 1e-9)
        assert np.linalg.norm(admitted.velocity[3:]) <= LIMITS.angular * (1 + 1e-9)


@given(arrays(np.float64, 6, elements=st.floats(-0.14, 0.14)))
def test_a_command_within_the_limits_passes_bit_for_bit(twist):
    gate = SafetyGate(LIMITS)
    np.testing.assert_array_equal(gate.admit(Command(twist, 0.5)).velocity, twist)
    assert gate.clamped == 0 and gate.fault is None


@pytest.mark.parametrize('half, limit, name, unit', HALVES)
@given(direction=arrays(np.float64, 3, elements=st.floats(-1, 1)), factor=st.floats(0, 6.3))
def test_each_half_is_shortened_to_its_own_limit_and_keeps_its_direction(
        half, limit, name, unit, direction, factor):
    length = np.linalg.norm(direction)
    asked = np.zeros(6)
    asked[half] = direction / length * factor * limit if length > 1e-6 else 0.0
    gate = SafetyGate(LIMITS)
    twist = gate.admit(Command(asked)).velocity
    np.testing.assert_allclose(twist, asked / max(1.0, np.linalg.norm(asked) / limit), atol=1e-12)
    if abs(factor - 1.0) > 2e-4:
        assert gate.clamped == int(np.linalg.norm(asked) > limit)


def test_one_half_over_its_limit_leaves_the_other_as_it_is():
    gate = SafetyGate(LIMITS)
    fast_turn = gate.admit(Command(np.array([0.1, 0, 0, 0, 3.0, 0]))).velocity
    fast_move = gate.admit(Command(np.array([0.5, 0, 0, 0, 0.9, 0]))).velocity
    np.testing.assert_allclose(fast_turn, [0.1, 0, 0, 0, 1.0, 0])
    np.testing.assert_allclose(fast_move, [0.25, 0, 0, 0, 0.9, 0])
    assert gate.clamped == 2


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', range(7))
def test_a_non_finite_number_anywhere_latches_a_fault(bad, place):
    numbers = np.zeros(7)
    numbers[place] = bad
    gate = SafetyGate(LIMITS)
    assert gate.admit(Command(numbers[:6], numbers[6])) is None
    assert 'not finite' in gate.fault
    assert gate.admit(Command(np.zeros(6), 1.0)) is None


@pytest.mark.parametrize('half, limit, name, unit', HALVES)
@pytest.mark.parametrize('share', [0.1, 1.0, 4.0])
def test_an_absurd_speed_latches_a_fault_that_only_resume_clears(half, limit, name, unit, share):
    """And a careful limit does not make what the policy says absurd."""
    limits = CommandLimits(0.25 * share, share, 4.0)
    most = 4.0 * max(limit * share, LEAST_ABSURD[unit])
    gate, twist = SafetyGate(limits), np.zeros(6)
    twist[half] = [0.0, 0.0, 0.999 * most]
    assert gate.admit(Command(twist)) is not None
    twist[half] = [0.0, 0.0, 1.001 * most]
    assert gate.admit(Command(twist)) is None
    assert f'{name} speed of {1.001 * most:.3g} {unit}' in gate.fault
    assert f'limit of {limit * share:g} {unit}' in gate.fault
    assert gate.admit(Command(np.zeros(6))) is None
    assert name in gate.resume() and gate.resume() is None
    assert gate.admit(Command(np.zeros(6))) is not None


def test_one_bad_row_rejects_the_whole_chunk_before_any_is_played():
    gate = SafetyGate(LIMITS)
    good = Command(np.zeros(6))
    assert gate.admit_chunk([good])
    assert not gate.admit_chunk([good, Command(np.full(6, np.nan))])
    assert gate.fault.startswith('row 1 of the action chunk is not finite')
    assert not gate.admit_chunk([good])


def test_the_first_fault_is_the_one_that_is_kept():
    gate = SafetyGate(LIMITS)
    gate.latch('first')
    gate.latch('second')
    assert gate.resume() == 'first'


def steady(gate, velocity, ticks, now_ns=0, **place):
    """Return the last of so many commands, 20 ms apart."""
    for tick in range(ticks):
        sent = gate.admit(Command(np.array(velocity)), now_ns + tick * 20 * MS, 20 * MS, **place)
    return sent


FORWARD = [0.2, 0, 0, 0, 0, 0]


def test_a_slow_run_needs_a_scale_and_no_low_limit_that_is_a_fault():
    gate = SafetyGate(CommandLimits(0.25, 1.0, linear_acceleration=1.0, trip_count=1))
    gate.speed_scale = 0.1
    np.testing.assert_allclose(steady(gate, FORWARD, 50).velocity[0], 0.025)
    assert gate.fault is None and gate.clamped == 0
    gate.speed_scale = 1.0
    np.testing.assert_allclose(steady(gate, FORWARD, 1, 1000 * MS).velocity[0], 0.045)
    gate.speed_scale = 0.0  # reached within the acceleration limit
    np.testing.assert_allclose(steady(gate, FORWARD, 1, 1020 * MS).velocity[0], 0.025)
    assert not steady(gate, FORWARD, 2, 1040 * MS).velocity.any()
    low = SafetyGate(CommandLimits(0.03, 1.0))
    assert low.admit(Command(np.array([0.24, 0, 0, 0, 0, 0]))).velocity[0] == pytest.approx(0.03)
    assert low.fault is None and low.clamped == 1


@pytest.mark.parametrize('scale', [-0.1, 1.1, math.nan])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ConfigError, match='speed_scale is .*, expected 0 to 1'):
        SafetyGate(LIMITS).speed_scale = scale


def test_too_many_shortened_commands_within_a_window_are_a_fault_with_numbers_and_cure():
    gate = SafetyGate(CommandLimits(0.1, 1.0, trip_count=3, trip_window_s=1.0))
    fast = Command(np.array(FORWARD))
    for now_s in (0.0, 0.9, 1.1):  # never three within a second
        assert gate.admit(fast, round(now_s * 1e9))
    assert gate.admit(fast, round(1.3e9)) is None
    assert '3 commands within 1 s were shortened' in gate.fault and 'trip_shortened' in gate.fault
    gate.resume()
    assert gate.admit(fast, round(1.4e9))  # counted anew


def test_per_axis_limits_shorten_the_half_and_keep_its_direction():
    gate = SafetyGate(CommandLimits(1.0, 1.0, axes=[1, 1, 0.1, 1, 1, 0.2]))
    sent = gate.admit(Command(np.array([0.4, 0, 0.2, 0, 0.1, 0.1])))
    np.testing.assert_allclose(sent.velocity, [0.2, 0, 0.1, 0, 0.1, 0.1])


def test_a_brake_slows_along_the_line_of_travel_then_stands():
    limits = CommandLimits(0.25, 1.0, linear_acceleration=2.0, angular_acceleration=1e3)
    gate = SafetyGate(limits)
    steady(gate, [0.12, 0.16, 0, 0, 0, 0.5], 20)
    gate.limits = replace(limits, linear_jerk=1.0)  # which does not hold for a brake
    first = gate.brake(400 * MS, 20 * MS)
    np.testing.assert_allclose(first.velocity, [0.096, 0.128, 0, 0, 0, 0])
    assert first.gripper is None
    sent = [gate.brake((400 + 20 * tick) * MS, 20 * MS) for tick in range(1, 6)]
    np.testing.assert_allclose(sent[2].velocity[:2], [0.024, 0.032])
    assert sent[3:] == [None, None] and gate.stands


def test_without_an_acceleration_limit_a_brake_stops_at_once():
    gate = SafetyGate(LIMITS)
    steady(gate, FORWARD, 1)
    assert gate.brake(20 * MS, 20 * MS) is None and gate.stands


@pytest.mark.parametrize('pause_ms, begins_at', [(20, 0.22), (40, 0.22), (99, 0.22), (130, 0.02),
                                                 (5000, 0.02), (-20, 0.02), (0, 0.2), (5, 0.205)])
def test_late_and_early_ticks(pause_ms, begins_at):
    """Late ones give no more than a period's acceleration; after a silence the arm stands."""
    gate = SafetyGate(CommandLimits(0.5, 1.0, linear_acceleration=1.0))
    steady(gate, FORWARD, 11)
    sent = gate.admit(Command(np.array([0.4, 0, 0, 0, 0, 0])), (200 + pause_ms) * MS, 20 * MS)
    assert sent.velocity[0] == pytest.approx(begins_at)


@pytest.mark.parametrize('stop', [lambda gate: gate.rest(), lambda gate: (
    gate.latch('stopped'), gate.resume())])
def test_what_comes_after_a_stop_begins_at_rest(stop):
    gate = SafetyGate(CommandLimits(0.5, 1.0, linear_acceleration=1.0))
    steady(gate, FORWARD, 11)
    stop(gate)
    assert steady(gate, FORWARD, 1, 220 * MS).velocity[0] == pytest.approx(0.02)


def test_a_lowered_limit_holds_at_once_and_a_change_of_others_changes_nothing():
    limits = CommandLimits(0.25, 1.0, linear_acceleration=1.0, linear_jerk=20.0)
    gate, other = SafetyGate(limits), SafetyGate(limits)
    for each in (gate, other):
        steady(each, FORWARD, 5)
    other.limits = CommandLimits(0.25, 1.0, linear_acceleration=1.0, linear_jerk=20.0)
    np.testing.assert_array_equal(steady(gate, FORWARD, 1, 100 * MS).velocity,
                                  steady(other, FORWARD, 1, 100 * MS).velocity)
    gate.limits = CommandLimits(0.02, 1.0, linear_acceleration=1.0)
    assert steady(gate, FORWARD, 1, 120 * MS).velocity[0] == pytest.approx(0.02)


def test_the_wrong_number_of_velocities_is_a_fault():
    gate = SafetyGate(LIMITS)
    assert gate.admit(Command(np.zeros(7))) is None
    assert gate.fault == 'the command has 7 velocities, expected 6'


def test_a_velocity_that_leads_to_a_position_is_limited_and_not_called_absurd():
    """A target that is far because the arm may not go faster is no nonsense of the policy's."""
    gate, pose = SafetyGate(LIMITS), np.array([9.0, 0, 0, 0, 0, 0, 1])
    sent = gate.admit(Command(np.array([9.0, 0, 0, 0, 0, 0]), None, pose))
    assert sent.velocity[0] == pytest.approx(0.25) and sent.position is None
    assert gate.fault is None
