# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The state that checkpoints of others take, by the names of its values."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from observer_scene import joint_state, NOW_NS, OPTIONS, Scene
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.control.states import is_undeclared, state_names, STATES, undeclared
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.ingest.joints import JointHistory
from sqap_vla_ros.ingest.state import check_state, joints_of, pose_values
from sqap_vla_ros.ingest.told_state import told_state
from sqap_vla_ros.observation import end_effector_state, STATE_NAMES

LIBERO = STATES['libero']
BASE = {'state_base_frame': 'base', 'state_end_effector_frame': 'hand'}
QUATERNIONS = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
    lambda q: np.linalg.norm(q) > 0.1)


def scene_with(**positions):
    """Return a robot with more joints than the gripper's."""
    scene = Scene()
    scene.heard.joints = JointHistory(positions)
    scene.heard.joints.add(joint_state(NOW_NS, **positions))
    return scene


def test_libero_is_told_as_its_own_client_tells_it():
    """Numbers of the official client: see case0 of the goldens, and its quat2axisangle."""
    scene, client = scene_with(grip=0.03), [0.9992326, 0.0101003, 0.0187006, 0.0329011]
    scene.buffer.insert('world', 'base', Pose(
        np.array([-0.66, 0.0, 0.912]), np.array([0.0, 0.0, 0.0, 1.0])), static=True)
    turn = Rotation.from_euler('z', 30, True).inv() * Rotation.from_quat(client)
    scene.buffer.insert('hand', 'tool', Pose(np.zeros(3), turn.as_quat()), static=True)
    state = scene.observe(state_names=LIBERO, state_base_frame='world',
                          state_end_effector_frame='tool')[0].state
    assert state.dtype == np.float64
    np.testing.assert_allclose(state, [
        0.35 - 0.66, 0.1, 0.55 + 0.912, 3.075083, 0.0310832, 0.0575501, 0.03, -0.03], atol=2e-6)
    plain = scene.observe(state_names=LIBERO, **BASE)[0].state
    np.testing.assert_allclose(plain[:3], [0.35, 0.1, 0.55])
    np.testing.assert_allclose(plain[3:6], [0, 0, np.pi / 6], atol=1e-12)


@given(QUATERNIONS)
def test_rotations_are_those_of_scipy(quaternion):
    rotation, values = Rotation.from_quat(quaternion), pose_values([0, 0, 0], quaternion)
    told = np.array([values[name] for name in ('rx', 'ry', 'rz')])
    again = Rotation.from_rotvec(told)
    assert (again.inv() * rotation).magnitude() < 1e-6
    assert (Rotation.from_quat([values[f'q{axis}'] for axis in 'xyzw']).inv()
            * rotation).magnitude() < 1e-6
    assert np.linalg.norm(told) <= 2 * np.pi
    angles = [values[name] for name in ('roll', 'pitch', 'yaw')]
    assert (Rotation.from_euler('xyz', angles).inv() * rotation).magnitude() < 1e-6
    assert np.abs(angles).max() <= np.pi and abs(angles[1]) <= np.pi / 2 + 1e-9


def test_a_hand_that_points_down_has_one_rotation_vector_and_not_two():
    for tilt in (-0.02, 0.0, 0.02):  # w goes through 0
        q = Rotation.from_rotvec([np.pi + tilt, 0, 0]).as_quat()
        for sign in (1, -1):
            values = pose_values([0, 0, 0], sign * q)
            assert values['rx'] == pytest.approx(np.pi + tilt), 'beyond pi, and never -pi'


def rotation_vector(q):
    values = pose_values([0, 0, 0], q)
    return [values[name] for name in ('rx', 'ry', 'rz')]


@pytest.mark.parametrize('client', [
    (3.1, 0.1, 0.1), (2.25, -2.32, 0.14), (2.1, -2.2, 0.1), (1.5, -2.887, -0.3),
    (1.5, 2.88, -0.3), (1.13, -3.2, 0.1), (0.0, 0.1, 0.5), (-0.2, 0.1, -1.0), (-0.3, 0.0, 0.02)])
def test_a_rotation_vector_is_that_of_the_data_on_both_sides_of_90_degrees(client):
    q = Rotation.from_rotvec(client).as_quat()
    for sign in (1, -1):
        np.testing.assert_allclose(rotation_vector(sign * q), client, atol=1e-9)


def test_noise_of_a_hand_that_is_turned_half_round_turns_nothing_round():
    for noise in (-0.05, 0.0, 0.05):
        q = np.array([noise, 0.9, 0.0, 0.02])
        assert rotation_vector(q)[1] == pytest.approx(np.pi, abs=0.1)


def test_a_hand_that_turns_about_the_vertical_is_that_of_robosuite():
    """Its arm, its quat2axisangle, as LIBERO's client calls it: no sign of its own is chosen."""
    mujoco, robosuite = pytest.importorskip('mujoco'), pytest.importorskip('robosuite')
    from robosuite.utils.transform_utils import quat2axisangle
    model = mujoco.MjModel.from_xml_path(str(
        Path(robosuite.__file__).parent / 'models/assets/robots/panda/robot.xml'))
    data = mujoco.MjData(model)
    for turned in (-2.0, -1.6, 0.0, 1.6, 2.0):
        data.qpos[:7] = [0, np.pi / 16, 0, -np.pi / 2 - np.pi / 3, 0, np.pi - 0.2,
                         np.pi / 4 + turned]
        mujoco.mj_kinematics(model, data)
        q = data.body('right_hand').xquat[[1, 2, 3, 0]]
        np.testing.assert_allclose(rotation_vector(q), quat2axisangle(q.copy()), atol=1e-9)


def test_joints_are_told_raw_or_with_the_other_sign_and_in_order():
    scene = scene_with(grip=0.01, elbow=-1.25, wrist=2.5)
    names = ('joint:wrist', '-joint:elbow', 'gripper', '-gripper_position', '-joint:wrist')
    assert joints_of(names, 'grip') == ('grip', 'wrist', 'elbow')
    assert joints_of(('x', 'joint:elbow'), '') == ('elbow',) and joints_of((), 'grip') == ()
    scene.buffer = scene.forget('hand').buffer  # no pose is asked for
    state = scene.observe(state_names=names, require_localization=False)[0].state
    np.testing.assert_array_equal(state, [2.5, 1.25, 0.25, -0.01, -2.5])


@pytest.mark.parametrize('names, changes, text', [
    (('joint:elbow',), {'joints': {'elbow': 0.5}, 'late_ms': 101}, r"'elbow' are 0.101 s off the"),
    (('joint:elbow',), {'joints': {'arm': 0.5}}, "has not told the position of 'elbow'"),
    (('joint:elbow',), {'joints': {'elbow': np.nan}}, "have 'elbow' at nan"),
    (LIBERO, {'joints': {'grip': 0.5}}, "gripper joint 'grip' at 0.5, far outside 0 .closed."),
    (LIBERO, {'joints': {'grip': 0.01}, 'state_end_effector_frame': 'flange'}, 'flange'),
    (LIBERO, {'joints': {'grip': 0.01}, 'state_base_frame': 'world'}, 'world'),
    (('x',), {'joints': {}, 'max_reach': 0.5}, 'm from base .limit: max_reach, 0.5 m')])
def test_a_state_of_which_a_part_is_missing_late_or_absurd_is_none(names, changes, text):
    joints, late_ms = changes.pop('joints'), changes.pop('late_ms', 0)
    scene = Scene()
    scene.heard.joints = JointHistory(['grip', 'elbow'])
    scene.heard.joints.add(joint_state(NOW_NS + late_ms * 10**6, **joints))
    with pytest.raises(ObservationError, match=text):
        scene.observe(state_names=names, require_localization=False, **{**BASE, **changes})


def test_our_own_checkpoints_are_told_what_they_always_were():
    scene = Scene()
    state = scene.observe(state_base_frame='nowhere', state_end_effector_frame='nothing')[0].state
    quaternion = Rotation.from_euler('z', 30, True).as_quat()
    np.testing.assert_array_equal(
        state, end_effector_state([0.35, 0.1, 0.55], quaternion, 0.25))
    assert state.dtype == np.float32


def test_a_state_that_nobody_declared_moves_nothing():
    names = undeclared(14)
    assert names[0] == 'state_0' and names[-1] == 'state_13' and is_undeclared(names)
    with pytest.raises(ConfigError, match=(
            'a state of 14 values, and nothing says what they are: write it into its '
            'deployment.json, "state": "libero" or a list of 14 names out of x y z, qx')):
        Scene().observe(state_names=names)
    with pytest.raises(ConfigError, match='gripper_joint is empty'):
        check_state(LIBERO, '', ('world', 'hand'))
    check_state(('x', 'joint:elbow'), '', ('world', 'hand'))
    assert not is_undeclared(LIBERO) and not is_undeclared(())
    assert replace(OPTIONS).state_base_frame == ''


@pytest.mark.parametrize('frames, text', [
    ({}, 'state_base_frame and state_end_effector_frame are empty: name the frames in TF'),
    ({'state_base_frame': 'world'}, 'set that it was trained on, and state_end_effector_frame is'),
    ({'state_end_effector_frame': 'tool'}, 'is told x y z rx ry rz of .* state_base_frame is e')])
def test_a_pose_of_a_data_set_of_others_is_told_in_no_frame_by_default(frames, text):
    """Its z would be that above the base, where LIBERO's is above the floor."""
    with pytest.raises(ConfigError, match=text):
        Scene().observe(state_names=LIBERO, **frames)
    for names in (STATE_NAMES, ('joint:elbow', 'gripper'), ()):
        check_state(names, 'grip', ('', ''))


@pytest.mark.parametrize('told, text', [
    ('liber', r"preset 'liber' is unknown \(did you mean 'libero'\?\): there are \['libero'\], "),
    (['x', 'y'], r'state names 2 values \(x y\), the network takes 8'),
    (['x'] * 7 + ['griper'], r"'griper' is no value of a robot \(did you mean 'gripper'\?\)"),
    (['x', 'y', 'y', 'x', *LIBERO[3:7]], 'state names x, y more than once'),
    (['x', 'y', 'z', 'qx', 'qy', 'qz', 'gripper', 'roll'], 'a quaternion without qw, which'),
    (['joint:'] * 8, "'joint:' is no value"), (['-x'] * 8, "'-x' is no value of a robot"),
    (8, 'state is 8, expected a list of 8 names'), ([1] * 8, r'expected a list of 8 names')])
def test_a_state_that_is_told_wrongly_is_refused_with_what_to_write(told, text):
    with pytest.raises(ConfigError, match=text):
        state_names(told, 8)


def test_a_preset_and_a_list_are_taken():
    assert state_names('libero', 8) == LIBERO == state_names(list(LIBERO), 8)
    assert state_names(['joint:a b', '-joint:c'], 2) == ('joint:a b', '-joint:c')
    with pytest.raises(ConfigError, match='the network takes 14'):
        state_names('libero', 14)


def test_numbers_that_are_told_for_others_are_taken_raw():
    state = told_state([9.0, *range(7)], LIBERO)
    assert state.dtype == np.float64 and state[0] == 9.0
    with pytest.raises(ObservationError, match=r'shape \[7\], expected 8 numbers: x y z rx'):
        told_state(range(7), LIBERO)
    with pytest.raises(ObservationError, match='has -gripper_position nan, expected a finite'):
        told_state([0.0] * 7 + [np.nan], LIBERO)
    assert told_state([0.1, 0, 0, 1, 0, 0, 0, 1], STATE_NAMES).dtype == np.float32
