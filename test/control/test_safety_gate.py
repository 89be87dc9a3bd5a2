# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the safety gate lets through, for both halves of a twist."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.limits import CommandLimits, LEAST_ABSURD
from sqap_vla_ros.control.safety_gate import SafetyGate
from sqap_vla_ros.errors import ConfigError

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
    if abs(factor - 1.0) > 1e-6:
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


@pytest.mark.parametrize('changes', [{'linear': 0.0}, {'angular': float('nan')},
                                     {'linear': -1.0}, {'reject_factor': 0.5}])
def test_limits_that_limit_nothing_are_refused(changes):
    with pytest.raises(ConfigError):
        CommandLimits(**{'linear': 0.1, 'angular': 0.1, **changes})
