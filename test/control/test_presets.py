# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Conventions of public data sets by name, and whether units can be right."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.control.action_report import describe, doubts, si_ranges
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.control.presets import PRESETS
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.units import GOAL_OFFSETS

ACTION = np.array([[0.02, -0.01, 0.03, 0.3, -0.2, 0.5, 0.6]])
FRACTAL_Q99 = (0.17, 0.14, 0.17, 0.589, 0.353, 0.448, 1.0)


def stats(q99, q01=None, mask=None):
    high = np.array(q99, float)
    return {'low': -high if q01 is None else np.array(q01, float), 'high': high,
            'mask': np.array([True] * 6 + [False]) if mask is None else np.array(mask)}


@pytest.mark.parametrize('name, hz', [('bridge', 5), ('fractal', 3)])
def test_deltas_of_roll_pitch_and_yaw_of_public_data(name, hz):
    space = ActionSpace.from_config(name)
    command, = space.commands(ACTION)
    np.testing.assert_allclose(command.velocity[:3], ACTION[0, :3] * hz)
    meant = Rotation.from_euler('xyz', ACTION[0, 3:6]).as_rotvec()
    np.testing.assert_allclose(command.velocity[3:], meant * hz)
    assert (command.gripper, space.frame, space.rotation) == (1.0, 'base', 'rpy')


def test_libero_moves_its_goal_by_five_centimetres_and_half_a_radian():
    command, = ActionSpace.from_config('libero').commands(np.array([[1, 0, -0.5, 0, 1, 0, 0.4]]))
    np.testing.assert_allclose(command.velocity * 0.05, [0.05, 0, -0.025, 0, 0.5, 0])
    assert command.gripper == 0.0


def test_the_simulator_turns_libero_back_into_the_action_that_was_meant():
    unit = np.array([[1, -0.5, 0.25, 0.1, -1, 0.7, 1]])
    command, = ActionSpace.from_config('libero').commands(unit)
    np.testing.assert_allclose(GOAL_OFFSETS.unit_action(command.velocity), unit[0, :6])


def test_other_keys_override_a_preset():
    space = ActionSpace.from_config({'preset': 'bridge', 'dt': 0.1, 'execute_steps': 4})
    assert (space.dt, space.execute_steps, space.rotation) == (0.1, 4, 'rpy')
    assert ActionSpace.from_config('bridge').execute_steps is None


@pytest.mark.parametrize('config', ['brigde', {'preset': 'x', 'dt': 0.1}, {'preset': 5}])
def test_an_unknown_preset_lists_the_names(config):
    with pytest.raises(ConfigError, match=f'preset .* is unknown, .*{list(PRESETS)[0]}'):
        ActionSpace.from_config(config)


@pytest.mark.parametrize('name', PRESETS)
def test_a_preset_says_all_that_it_stands_for(name):
    space = ActionSpace.from_config(name)
    text = describe(space)
    for part in (space.kind, *space.names, 'frame base', space.rotation,
                 f'{space.dt:.4g} s', 'gripper 1 open, 0 closed, threshold 0.5',
                 *(f'{factor:g}' for factor in space.scale)):
        assert part in text


def test_ranges_are_in_si_units_a_second_with_scale_and_time_step():
    space = ActionSpace('delta', ('gripper', *DELTA_NAMES), 0.2, scale={'dx': 0.5}, rotation='rpy')
    ranges = si_ranges(space, stats((9, 0.2, 0.3, 0.1, 0.6, 0, 0), (0, -0.1, 0, 0, 0, 0, 0),
                                    [True] * 6 + [False]))
    assert list(ranges) == list(DELTA_NAMES)
    low, high, unit = ranges['dx']
    assert (low, high, unit) == (pytest.approx(-0.25), pytest.approx(0.5), 'm/s')
    assert ranges['rx'][1:] == (pytest.approx(3.0), 'rad/s')
    assert ranges['rz'] == (pytest.approx(-5.0), pytest.approx(5.0), 'rad/s')  # as the head gives


@pytest.mark.parametrize('kind, names, unit, factor', [
    ('twist', None, 'm/s', 1), ('joint_delta', ('j1',), 'rad/s', 10),
    ('joint_position', ('j1',), 'rad', 1)])
def test_other_kinds_have_their_own_units(kind, names, unit, factor):
    space = ActionSpace(kind, names or ActionSpace().names, 0.1)
    count = len(space.names)
    found = si_ranges(space, {'low': np.zeros(count), 'high': np.full(count, 0.3),
                              'mask': np.full(count, True)})[space.names[0]]
    assert found == (0.0, pytest.approx(0.3 * factor), unit)


def test_a_missing_scale_is_seen_by_the_speed_it_would_mean():
    """A LIBERO fine-tuning whose file forgets that its actions are in units of the controller."""
    q99 = (0.94, 0.05, -0.1, 0.2, 0, 0, 1)
    space = {'kind': 'delta', 'names': [*DELTA_NAMES, 'gripper'], 'dt': 0.05, 'frame': 'base',
             'rotation': 'rotvec', 'gripper_open': 1.0, 'gripper_closed': 0.0}
    found, = doubts(ActionSpace.from_config(space), stats(q99), 'libero')
    assert 'q99 would be dx 18.8 m/s: is a scale missing' in found
    assert doubts(ActionSpace.from_config('libero'), stats(q99), 'libero') == ()


@pytest.mark.parametrize('column, value, doubtful', [
    (0, 0.41, True), (0, 0.39, False), (5, 1.21, True), (5, 1.19, False)])
@pytest.mark.parametrize('sign', [1, -1])
def test_more_than_2_metres_or_6_radians_a_second_is_doubtful_in_both_directions(
        column, value, doubtful, sign):
    ends = np.zeros((2, 7))
    ends[:, column] = (0, value) if sign > 0 else (-value, 0)
    space = ActionSpace('delta', (*DELTA_NAMES, 'gripper'), 0.2, rotation='rotvec')
    assert bool(doubts(space, stats(ends[1], ends[0]), 'x')) is doubtful


def test_large_rotations_that_nobody_declared_are_asked_for():
    space = ActionSpace('delta', (*DELTA_NAMES, 'gripper'), 1 / 3)
    with pytest.raises(ConfigError, match='fractal: .*rotation is missing: .*differ by 0.19 rad'):
        doubts(space, stats(FRACTAL_Q99), 'fractal')
    bridge = stats((0.028, 0.041, 0.040, 0.082, 0.078, 0.204, 1.0))
    assert doubts(space, bridge, 'bridge') == ()
    scale = [1] * 3 + [math.pi / 180] * 3 + [1]
    in_degrees = ActionSpace('delta', space.names, 1 / 3, scale=scale)
    assert doubts(in_degrees, stats((0, 0, 0, 3, 3, 3, 1)), 'degrees') == ()
    assert doubts(ActionSpace.from_config('fractal'), stats(FRACTAL_Q99), 'fractal') == ()
