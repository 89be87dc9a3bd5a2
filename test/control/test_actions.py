# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Actions: units, and what the safety gate lets through."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES, TWIST_NAMES
from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.safety_gate import CommandLimits, SafetyGate
from sqap_vla_ros.errors import ConfigError

LIMITS = CommandLimits(linear=0.25, angular=1.0, reject_factor=4.0)
any_float = st.floats(allow_nan=True, allow_infinity=True, width=64)


def twist_space(**changes):
    """Return the bundled policy's action space."""
    return ActionSpace(**{'kind': 'twist', 'names': TWIST_NAMES + ('gripper',), 'dt': 0.05,
                          **changes})


def rows(count):
    """Return commands that name their own row in vx."""
    return [Command(np.array([row, 0, 0, 0, 0, 0], dtype=float)) for row in range(count)]


def test_twists_pass_unchanged_and_the_gripper_is_its_opening():
    actions = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75]], dtype=np.float32)
    command, = twist_space().commands(actions)
    np.testing.assert_allclose(command.twist, actions[0, :6])
    assert command.gripper == 0.75


def test_deltas_become_speeds_by_the_control_period():
    space = ActionSpace(kind='delta', names=DELTA_NAMES, dt=0.2)
    command, = space.commands(np.full((1, 6), 0.01))
    np.testing.assert_allclose(command.twist, 0.05)
    assert command.gripper is None


def test_columns_are_found_by_name_and_the_gripper_sign_by_the_checkpoint():
    names = ('gripper',) + TWIST_NAMES[::-1]
    space = twist_space(names=names, gripper_open=-1.0, gripper_closed=1.0)
    opened, closed = space.commands(np.array([[-1, 6, 5, 4, 3, 2, 1], [1, 0, 0, 0, 0, 0, 0]]))
    np.testing.assert_allclose(opened.twist, [1, 2, 3, 4, 5, 6])
    assert (opened.gripper, closed.gripper) == (1.0, 0.0)


@pytest.mark.parametrize('changes, message', [
    ({'kind': 'joints'}, 'kind'), ({'names': TWIST_NAMES[:5]}, 'names'),
    ({'names': TWIST_NAMES + ('lift',)}, 'names'), ({'names': TWIST_NAMES + ('vx',)}, 'names'),
    ({'dt': 0.0}, 'dt'), ({'dt': float('nan')}, 'dt'), ({'frame': 'camera'}, 'frame'),
    ({'execute_steps': 0}, 'execute_steps'), ({'gripper_open': 0.0}, 'gripper_open')])
def test_an_action_space_that_cannot_become_a_twist_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        twist_space(**changes)


def test_a_config_with_missing_or_unknown_keys_is_refused():
    with pytest.raises(ConfigError, match='names'):
        ActionSpace.from_config({'kind': 'twist', 'dt': 0.05})
    with pytest.raises(ConfigError, match='sign'):
        ActionSpace.from_config({'kind': 'twist', 'dt': 0.05, 'names': TWIST_NAMES, 'sign': 1})
    assert ActionSpace.from_config(
        {'kind': 'twist', 'dt': 0.05, 'names': list(TWIST_NAMES)}).names == TWIST_NAMES


def test_actions_of_another_width_are_refused():
    with pytest.raises(ConfigError, match='shape'):
        twist_space().commands(np.zeros((8, 6)))


@given(arrays(np.float64, 6, elements=any_float), any_float)
def test_whatever_comes_in_what_goes_out_is_finite_and_within_limits(twist, gripper):
    admitted = SafetyGate(LIMITS).admit(Command(twist, gripper))
    if admitted is not None:
        assert admitted.is_finite and 0.0 <= admitted.gripper <= 1.0
        assert np.linalg.norm(admitted.twist[:3]) <= LIMITS.linear * (1 + 1e-9)
        assert np.linalg.norm(admitted.twist[3:]) <= LIMITS.angular * (1 + 1e-9)


@given(arrays(np.float64, 6, elements=st.floats(-0.14, 0.14)))
def test_a_command_within_the_limits_passes_bit_for_bit(twist):
    gate = SafetyGate(LIMITS)
    np.testing.assert_array_equal(gate.admit(Command(twist, 0.5)).twist, twist)
    assert gate.clamped == 0 and gate.fault is None


@given(arrays(np.float64, 3, elements=st.floats(-0.5, 0.5)))
def test_a_clamped_command_keeps_its_direction_and_is_counted(linear):
    gate = SafetyGate(LIMITS)
    admitted = gate.admit(Command(np.concatenate([linear, np.zeros(3)])))
    np.testing.assert_allclose(np.cross(admitted.twist[:3], linear), 0, atol=1e-12)
    assert float(admitted.twist[:3] @ linear) >= 0
    assert gate.clamped == int(np.linalg.norm(linear) > LIMITS.linear)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', range(7))
def test_a_non_finite_number_anywhere_latches_a_fault(bad, place):
    numbers = np.zeros(7)
    numbers[place] = bad
    gate = SafetyGate(LIMITS)
    assert gate.admit(Command(numbers[:6], numbers[6])) is None
    assert 'not finite' in gate.fault
    assert gate.admit(Command(np.zeros(6), 1.0)) is None


def test_an_absurd_speed_latches_a_fault_that_only_resume_clears():
    gate = SafetyGate(LIMITS)
    assert gate.admit(Command(np.array([0, 0, 1.01, 0, 0, 0]))) is None
    assert 'linear speed of 1.01 m/s' in gate.fault
    assert gate.admit(Command(np.zeros(6))) is None
    assert 'linear' in gate.resume() and gate.resume() is None
    assert gate.admit(Command(np.zeros(6))) is not None


def test_one_bad_row_rejects_the_whole_chunk_before_any_is_played():
    gate = SafetyGate(LIMITS)
    good = rows(1)
    assert gate.admit_chunk(good)
    assert not gate.admit_chunk(good + [Command(np.full(6, np.nan))])
    assert gate.fault.startswith('row 1 of the action chunk is not finite')


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
