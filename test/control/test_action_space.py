# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the columns of an action mean: units, rotations, gripper; and what a file has to say."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.control.action_space import (
    ActionSpace, DELTA_NAMES, NAMES_BY_KIND, POSE_NAMES, TWIST_NAMES)
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.output_modes import check_output, needs_kinematics, OUTPUTS
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose

FILE = {'kind': 'delta', 'names': [*DELTA_NAMES, 'gripper'], 'dt': 0.2, 'frame': 'base',
        'rotation': 'rpy', 'gripper_open': 1.0, 'gripper_closed': 0.0}
JOINTS = {'kind': 'joint_position', 'names': ['j1', 'j2'], 'dt': 0.05}
values = st.floats(-1e3, 1e3)


def without(*keys, **changes):
    """Return the complete file without these keys."""
    return {**{name: value for name, value in FILE.items() if name not in keys}, **changes}


def twist_space(**changes):
    """Return the bundled policy's action space."""
    return ActionSpace(**{'kind': 'twist', 'names': TWIST_NAMES + ('gripper',), 'dt': 0.05,
                          **changes})


def test_twists_pass_unchanged_and_the_gripper_is_its_opening():
    actions = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75]], dtype=np.float32)
    command, = twist_space().commands(actions)
    np.testing.assert_allclose(command.velocity, actions[0, :6])
    assert command.gripper == 0.75


def test_deltas_become_speeds_by_the_control_period():
    space = ActionSpace(kind='delta', names=DELTA_NAMES, dt=0.2)
    command, = space.commands(np.full((1, 6), 0.01))
    np.testing.assert_allclose(command.velocity, 0.05)
    assert command.gripper is None


def test_columns_are_found_by_name_and_the_gripper_sign_by_the_checkpoint():
    names = ('gripper',) + TWIST_NAMES[::-1]
    space = twist_space(names=names, gripper_open=-1.0, gripper_closed=1.0,
                        scale={'vx': 10.0, 'wz': 0.5})
    opened, closed = space.commands(np.array([[-1, 6, 5, 4, 3, 2, 1], [1, 0, 0, 0, 0, 0, 0]]))
    np.testing.assert_allclose(opened.velocity, [10, 2, 3, 4, 5, 3])
    assert (opened.gripper, closed.gripper) == (1.0, 0.0)


def test_what_a_controller_takes_from_minus_one_to_one_is_scaled_to_metres_and_radians():
    """A LIBERO fine-tuning: q99 0.94 of 0.05 m in 0.05 s is 0.94 m/s, and not 18.8."""
    space = ActionSpace.from_config(without(
        dt=0.05, rotation='rotvec', scale=[0.05] * 3 + [0.5] * 3 + [1]))
    command, = space.commands(np.array([[0.94, 0.05, 0, 0.1, 0, 0, 1]]))
    np.testing.assert_allclose(command.velocity, [0.94, 0.05, 0, 1.0, 0, 0])


@given(st.lists(values, min_size=6, max_size=6),
       st.lists(st.floats(1e-4, 1e4), min_size=6, max_size=6), st.floats(0.001, 2.0))
def test_every_column_has_a_scale_of_its_own(action, scale, dt):
    space = ActionSpace('delta', DELTA_NAMES, dt, scale=scale)
    command, = space.commands(np.array([action]))
    np.testing.assert_allclose(command.velocity, np.multiply(action, scale) / dt)
    by_name = ActionSpace('delta', DELTA_NAMES, dt, scale=dict(zip(DELTA_NAMES, scale)))
    assert by_name == space


@given(st.lists(st.floats(-180, 180), min_size=3, max_size=3), st.floats(0.01, 2.0))
def test_roll_pitch_and_yaw_are_scaled_and_then_turned_into_a_rotation_vector(degrees, dt):
    space = ActionSpace('delta', DELTA_NAMES, dt, rotation='rpy',
                        scale=[0.001] * 3 + [math.pi / 180] * 3)
    command, = space.commands(np.array([[100.0, -20.0, 3.0, *degrees]]))
    np.testing.assert_allclose(command.velocity[:3] * dt, [0.1, -0.02, 0.003])
    turned = Rotation.from_rotvec(command.velocity[3:] * dt)
    meant = Rotation.from_euler('xyz', degrees, degrees=True)
    assert (turned.inv() * meant).magnitude() < 1e-9


def test_roll_pitch_and_yaw_are_found_by_name():
    names = ('rz', 'ry', 'rx', 'dz', 'dy', 'dx')
    command, = ActionSpace('delta', names, 1.0, rotation='rpy').commands(
        np.array([[1.628, 0.635, 0.693, 3.0, 2.0, 1.0]]))
    meant = Rotation.from_euler('xyz', (0.693, 0.635, 1.628)).as_rotvec()
    np.testing.assert_allclose(command.velocity, [1, 2, 3, *meant])


@given(values, values, values)
def test_the_opening_of_a_gripper_is_linear_between_its_two_values(opened, closed, gripper):
    assume(abs(opened - closed) > 1e-3)
    space = twist_space(gripper_open=opened, gripper_closed=closed)
    rows = np.zeros((3, 7))
    rows[:, 6] = opened, closed, gripper
    at_open, at_closed, between = [command.gripper for command in space.commands(rows)]
    assert (at_open, at_closed) == (1.0, 0.0)
    assert between * (opened - closed) == pytest.approx(gripper - closed)


@given(values, values, st.floats(0.01, 0.99), values)
def test_a_threshold_opens_on_its_open_side_and_closes_on_the_other(opened, closed, part, gripper):
    assume(abs(opened - closed) > 1e-3)
    threshold = closed + part * (opened - closed)
    space = twist_space(gripper_open=opened, gripper_closed=closed, gripper_threshold=threshold)
    command, = space.commands(np.array([[0, 0, 0, 0, 0, 0, gripper]]))
    meant = gripper > threshold if opened > closed else gripper < threshold
    assert command.gripper == float(meant)


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_a_threshold_hides_no_gripper_value_that_is_not_finite(bad):
    command, = twist_space(gripper_threshold=0.5).commands(
        np.array([[0, 0, 0, 0, 0, 0, bad]]))
    assert not command.is_finite


@pytest.mark.parametrize('changes, message', [
    ({'kind': 'joints'}, 'kind is .joints., expected one of .*twist'), ({'kind': []}, 'kind is'),
    ({'names': TWIST_NAMES[:5]}, 'names'), ({'names': 'vx'}, 'names'), ({'names': [1]}, 'names'),
    ({'names': TWIST_NAMES + ('lift',)}, 'names'), ({'names': TWIST_NAMES + ('vx',)}, 'names'),
    ({'dt': 0.0}, 'dt'), ({'dt': math.nan}, 'dt'), ({'dt': '0.2'}, 'dt'), ({'dt': True}, 'dt'),
    ({'dt': 5.0}, r'dt is 5.0 s: did you mean 5 Hz, dt 0.2\?'),
    ({'dt': 50}, r'did you mean 50 Hz, dt 0.02\?'), ({'dt': 2.01}, 'did you mean'),
    ({'dt': 0.0009}, r'expected 0.001..2'), ({'dt': 5e7}, r'expected 0.001..2'),
    ({'frame': 'camera'}, "frame is 'camera', expected one of"), ({'frame': None}, 'frame'),
    ({'execute_steps': 0}, 'execute_steps'), ({'execute_steps': 1.0}, 'execute_steps'),
    ({'execute_steps': True}, 'execute_steps'),
    ({'gripper_open': 0.0}, 'gripper_open'), ({'gripper_closed': None}, 'gripper_closed'),
    ({'gripper_open': 'yes'}, 'gripper_open'), ({'gripper_open': True}, 'gripper_open'),
    ({'gripper_threshold': 1.0}, 'gripper_threshold is 1.0, expected a number between'),
    ({'gripper_threshold': -0.1}, 'gripper_threshold'), ({'gripper_threshold': ''}, 'threshold'),
    ({'scale': [1.0] * 6}, 'scale'), ({'scale': [0.0] + [1.0] * 6}, 'scale'),
    ({'scale': 2}, 'scale'), ({'scale': {'vq': 1.0}}, "unknown columns 'vq', names are .*'vx'"),
    ({'scale': [math.nan] * 7}, 'scale'), ({'scale': [True] * 7}, 'scale'),
    ({'scale': ['1'] * 7}, 'scale'), ({'scale': {'griper': 1}}, "did you mean 'gripper'"),
    ({'scale': {'vx': -1}}, 'scale'), ({'scale': {'gripper': 2.0}}, 'scale of the gripper'),
    ({'rotation': 'euler'}, 'rotation'),
    ({'rotation': 'rpy'}, 'no such angles: only delta and pose')])
def test_an_action_space_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ConfigError, match=f'action_space: .*{message}'):
        twist_space(**changes)


@pytest.mark.parametrize('dt', [0.001, 2.0, np.float32(0.05)])
def test_steps_from_a_millisecond_to_two_seconds_are_whole_nanoseconds(dt):
    dt_ns = twist_space(dt=dt).dt_ns
    assert isinstance(dt_ns, int) and dt_ns == pytest.approx(dt * 1e9, abs=1)


@pytest.mark.parametrize('key', sorted(FILE))
def test_what_a_file_does_not_say_is_asked_for_and_never_guessed(key):
    assert ActionSpace.from_config(FILE).names == (*DELTA_NAMES, 'gripper')
    with pytest.raises(ConfigError, match=f'{key} is missing: .{{10}}'):
        ActionSpace.from_config(without(key))


@pytest.mark.parametrize('config', [
    without('gripper_open', 'gripper_closed', names=list(DELTA_NAMES)),
    without('rotation', kind='twist', names=[*TWIST_NAMES, 'gripper']), JOINTS,
    {**FILE, 'rotation': None, 'execute_steps': None, 'gripper_threshold': None, 'scale': []}])
def test_what_means_nothing_is_not_asked_for(config):
    assert ActionSpace.from_config(config).kind == config['kind']


@pytest.mark.parametrize('config, message', [
    ([1], 'found'), (5, 'found'), (without(scales=[1]), "'scales' .did you mean 'scale'"),
    (without(gripper_treshold=0.5), "did you mean 'gripper_threshold'"), (without(x=1), "'x'"),
    (without(names=None), 'names are None'), (without(kind={}), 'kind')])
def test_a_file_that_says_nonsense_is_refused(config, message):
    with pytest.raises(ConfigError, match=f'action_space: .*{message}'):
        ActionSpace.from_config(config)


@pytest.mark.parametrize('steps, rows, settled', [
    (None, 1, 1), (1, 1, 1), (1, 16, 1), (4, 8, 4), (8, 8, 8)])
def test_one_row_is_executed_whole_and_of_several_as_many_as_were_declared(steps, rows, settled):
    assert twist_space(execute_steps=steps).with_rows(rows).execute_steps == settled


@pytest.mark.parametrize('steps, rows, message', [
    (None, 16, r'execute_steps is missing: .* 1\.\.16'), (4, 1, 'execute_steps is 4, .* 1 row: '),
    (17, 16, r'execute_steps is 17, .* 16 rows: expected 1\.\.16')])
def test_the_number_of_rows_to_execute_is_never_guessed(steps, rows, message):
    with pytest.raises(ConfigError, match=message):
        twist_space(execute_steps=steps).with_rows(rows)


def pose(step):
    return Pose(np.array(step[:3]), Rotation.from_rotvec(step[3:]).as_quat())


def joint_space(kind):
    return ActionSpace(kind, ('j2', 'gripper', 'j1'), dt=0.1)


def matrices(positions):
    """Return the 4x4 matrices of positions [T, 7]."""
    found = np.tile(np.eye(4), (len(positions), 1, 1))
    found[:, :3, :3] = Rotation.from_quat(positions[:, 3:]).as_matrix()
    found[:, :3, 3] = positions[:, :3]
    return found


@pytest.mark.parametrize('kind', NAMES_BY_KIND)
@pytest.mark.parametrize('output', OUTPUTS)
def test_which_kind_drives_which_output(kind, output):
    if kind.startswith('joint') and output in ('twist', 'pose'):
        with pytest.raises(ConfigError, match=f'{output}.*{kind}.*joint_trajectory, joint_pos'):
            check_output(kind, output)
    else:
        check_output(kind, output)
        assert needs_kinematics(kind, output) == (
            output.startswith('joint') and not kind.startswith('joint'))
    with pytest.raises(ConfigError, match='expected one of twist'):
        check_output(kind, 'torque')


turns = st.lists(st.floats(-0.9, 0.9), min_size=6, max_size=6)


@pytest.mark.parametrize('frame', ['base', 'end_effector'])
@pytest.mark.parametrize('kind', ['delta', 'twist'])
@given(begun=turns, rows=st.lists(turns, min_size=1, max_size=4))
def test_deltas_are_integrated_from_the_measured_pose(kind, frame, begun, rows):
    names = DELTA_NAMES if kind == 'delta' else TWIST_NAMES
    space = ActionSpace(kind, names, dt=0.5, frame=frame)
    commands = space.commands(np.array(rows), Measured(pose(begun)))
    plain = space.commands(np.array(rows))
    place = matrices(np.concatenate([begun[:3], pose(begun).quaternion])[None])[0]
    for row, command, alone in zip(rows, commands, plain):
        np.testing.assert_array_equal(command.velocity, alone.velocity)
        assert alone.position is None
        step = np.array(row) * (1.0 if kind == 'delta' else 0.5)
        turn = Rotation.from_rotvec(step[3:]).as_matrix()
        if frame == 'base':
            place[:3, 3] += step[:3]
            place[:3, :3] = turn @ place[:3, :3]
        else:
            place[:3, 3] += place[:3, :3] @ step[:3]
            place[:3, :3] = place[:3, :3] @ turn
        np.testing.assert_allclose(matrices(command.position[None])[0], place, atol=1e-9)


@pytest.mark.parametrize('frame', ['base', 'end_effector'])
@pytest.mark.parametrize('rotation', ['rpy', 'rotvec'])
@given(begun=turns, rows=st.lists(turns, min_size=1, max_size=4))
def test_poses_are_where_the_hand_is_to_be_and_their_speed_leads_there(
        frame, rotation, begun, rows):
    """In the hand's frame they are relative to where it was, all to the same place."""
    space = ActionSpace('pose', POSE_NAMES, dt=0.5, frame=frame, rotation=rotation)
    start = pose(begun)
    commands = space.commands(np.array(rows), Measured(start))
    turned = [Rotation.from_euler('xyz', row[3:]) if rotation == 'rpy'
              else Rotation.from_rotvec(row[3:]) for row in rows]
    meant = matrices(np.array([[*row[:3], *turn.as_quat()] for row, turn in zip(rows, turned)]))
    if frame == 'end_effector':
        meant = matrices(np.concatenate([begun[:3], start.quaternion])[None])[0] @ meant
    np.testing.assert_allclose(matrices(np.stack([c.position for c in commands])), meant,
                               atol=1e-9)
    speeds = ActionSpace('twist', TWIST_NAMES, dt=0.5, frame=frame).commands(
        np.stack([c.velocity for c in commands]), Measured(start))
    np.testing.assert_allclose(matrices(np.stack([c.position for c in speeds])), meant, atol=1e-7)


def test_joint_positions_and_joint_deltas_are_told_in_the_order_of_their_names():
    rows, start = np.array([[0.2, 1.0, 0.4], [0.3, 0.0, 0.2]]), Measured(joints=[0.1, 0.5])
    first, second = joint_space('joint_position').commands(rows, start)
    assert joint_space('joint_position').arm_names == ('j2', 'j1')
    np.testing.assert_allclose([first.position, second.position], [[0.2, 0.4], [0.3, 0.2]])
    np.testing.assert_allclose([first.velocity, second.velocity], [[1, -1], [1, -2]])
    assert (first.gripper, second.gripper) == (1.0, 0.0)
    first, second = joint_space('joint_delta').commands(rows, start)
    np.testing.assert_allclose([first.position, second.position], [[0.3, 0.9], [0.6, 1.1]])
    np.testing.assert_allclose([first.velocity, second.velocity], [[2, 4], [3, 2]])


@pytest.mark.parametrize('space, start, message', [
    (ActionSpace('pose', POSE_NAMES), None, 'pose of the end effector at the image'),
    (ActionSpace('pose', POSE_NAMES), Measured(joints=np.zeros(6)), 'is its TF published'),
    (joint_space('joint_position'), Measured(), 'measured joint positions .* joint_states'),
    (joint_space('joint_position'), Measured(joints=np.zeros(7)), '7 joint positions are meas')])
def test_absolute_kinds_want_to_know_where_the_arm_was(space, start, message):
    assert space.needs == {'pose' if space.is_cartesian else 'joints'}
    with pytest.raises(ObservationError, match=message):
        space.commands(np.zeros((1, len(space.names))), start)


@pytest.mark.parametrize('kind', NAMES_BY_KIND)
@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_what_is_not_finite_stays_so_for_the_gate_to_see(kind, bad):
    names = NAMES_BY_KIND[kind] or ('j1', 'j2')
    start = Measured(pose([0.0] * 6), np.zeros(len(names)))
    row = np.zeros((1, len(names)))
    row[0, -1] = bad
    command, = ActionSpace(kind, names).commands(row, start)
    assert not command.is_finite


def test_actions_of_another_width_are_refused():
    with pytest.raises(ConfigError, match='shape'):
        twist_space().commands(np.zeros((8, 6)))
