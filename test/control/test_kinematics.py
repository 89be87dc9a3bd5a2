# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics and Jacobians, against MuJoCo, closed forms and finite differences."""
import sys

from arms import five_joints, joint, mujoco_panda, planar, six_joints, urdf
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sqap_vla_ros.control.kinematics import joint_values, Kinematics
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose

pytest.importorskip('pinocchio', reason='pip install pin, or apt install ros-*-pinocchio')


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_mujoco_puts_the_panda_where_we_do(rng):
    mujoco = pytest.importorskip('mujoco')
    model, text = mujoco_panda()
    data, arm = mujoco.MjData(model), Kinematics.from_urdf(text, 'link0', 'right_hand')
    body, theirs = model.body('right_hand').id, np.zeros((6, model.nv))
    for _ in range(20):
        data.qpos[:] = rng.uniform(-2, 2, 7)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacBody(model, data, theirs[:3], theirs[3:], body)
        pose = arm.forward(data.qpos)
        np.testing.assert_allclose(pose.translation, data.xpos[body], atol=1e-9)
        np.testing.assert_allclose(Rotation.from_quat(pose.quaternion).as_matrix(),
                                   data.xmat[body].reshape(3, 3), atol=1e-9)
        np.testing.assert_allclose(arm.jacobian(data.qpos), theirs, atol=1e-9)
        turned = data.xmat[body].reshape(3, 3).T
        np.testing.assert_allclose(
            arm.jacobian(data.qpos, 'end_effector'),
            np.vstack([turned @ theirs[:3], turned @ theirs[3:]]), atol=1e-9)


def test_a_planar_arm_has_its_closed_form(rng):
    arm = Kinematics.from_urdf(planar([0.4, 0.3]), 'base_link', 'tool0')
    for a, b in rng.uniform(-3, 3, (10, 2)):
        x, y = 0.4 * np.cos(a) + 0.3 * np.cos(a + b), 0.4 * np.sin(a) + 0.3 * np.sin(a + b)
        np.testing.assert_allclose(arm.forward([a, b]).translation, [x, y, 0], atol=1e-12)
        np.testing.assert_allclose(
            arm.jacobian([a, b])[[0, 1, 5]],
            [[-y, -0.3 * np.sin(a + b)], [x, 0.3 * np.cos(a + b)], [1, 1]], atol=1e-12)


def test_a_base_frame_on_a_side_branch_is_the_base(rng):
    side = joint('mount', (0.1, 0, -0.2), (0, 0, 1), 'fixed', rpy=(0, 0, np.pi / 2),
                 parent='base_link', child='controller_base')
    text = six_joints(side)
    plain = Kinematics.from_urdf(text, 'base_link', 'tool0')
    turned = Kinematics.from_urdf(text, '/controller_base', '/tool0')
    q = rng.uniform(-1, 1, 6)
    x, y, z = plain.forward(q).translation - [0.1, 0, -0.2]
    np.testing.assert_allclose(turned.forward(q).translation, [y, -x, z], atol=1e-12)
    speed = plain.jacobian(q) @ np.ones(6)
    np.testing.assert_allclose(turned.jacobian(q) @ np.ones(6),
                               speed[[1, 0, 2, 4, 3, 5]] * [1, -1, 1, 1, -1, 1], atol=1e-12)


def test_a_joint_may_have_the_name_of_its_link(rng):
    text = six_joints()
    alike = text.replace('joint3_link', 'joint3').replace('tool0', 'joint6').replace(
        'base_link', 'joint1')
    plain = Kinematics.from_urdf(text, 'base_link', 'tool0')
    arm, q = Kinematics.from_urdf(alike, 'joint1', 'joint6'), rng.uniform(-1, 1, 6)
    np.testing.assert_array_equal(arm.forward(q).translation, plain.forward(q).translation)
    np.testing.assert_array_equal(arm.jacobian(q), plain.jacobian(q))


def test_sliding_and_continuous_joints_have_their_units(rng):
    arm = Kinematics.from_urdf(urdf([
        joint('rail', (0, 0, 0), (0, 2, 0), 'prismatic', limits=(0.0, 1.0)),
        joint('turn', (0, 0, 0.5), (0, 0, 1), 'continuous', limits=None),
        joint('flange', (0.3, 0, 0), (0, 0, 1), 'fixed')]), 'base_link', 'tool0')
    assert arm.units == ('m', 'rad')
    assert arm.upper.tolist() == [1.0, np.inf]
    assert [joint.velocity for joint in arm.described.values()] == [2.0, 0.0]
    np.testing.assert_allclose(arm.forward([0.2, 7 * np.pi / 2]).translation, [0, -0.1, 0.5],
                               atol=1e-12)
    np.testing.assert_allclose(arm.jacobian([0.2, 0.0])[:3], [[0, 0], [1, 0.3], [0, 0]],
                               atol=1e-12)


def test_joints_that_others_move_are_where_they_were_measured():
    text = urdf([joint('lift', (0, 0, 0), (0, 0, 1), 'prismatic', limits=(0.0, 1.0)),
                 joint('shoulder', (0, 0, 0), (0, 1, 0)),
                 joint('elbow', (0.4, 0, 0), (0, 1, 0), more='<mimic joint="shoulder" '
                       'multiplier="-1" offset="0.5"/>'),
                 joint('flange', (0.3, 0, 0), (0, 0, 1), 'fixed')])
    arm = Kinematics.from_urdf(text, 'base_link', 'tool0', ['shoulder'])
    assert arm.names == ('shoulder',) and arm.locked == ('lift',)
    arm.lock({'lift': 0.6})
    x, z = 0.4 * np.cos(0.2) + 0.3 * np.cos(0.5), 0.6 - 0.4 * np.sin(0.2) - 0.3 * np.sin(0.5)
    np.testing.assert_allclose(arm.forward([0.2]).translation, [x, 0, z], atol=1e-12)
    # the forearm keeps its direction, so the hand goes as the elbow does
    np.testing.assert_allclose(
        arm.jacobian([0.2])[:, 0], [-0.4 * np.sin(0.2), 0, -0.4 * np.cos(0.2), 0, 0, 0],
        atol=1e-12)


def test_measured_joints_are_taken_by_name_and_in_order():
    assert joint_values(['b', 'a'], {'a': 1.0, 'b': 2.0, 'finger': 3.0}).tolist() == [2.0, 1.0]
    with pytest.raises(ObservationError, match='do not tell panda_joint1: they tell shoulder_pan'):
        joint_values(['panda_joint1'], {'shoulder_pan': 0.0})


def test_joint_states_of_another_robot_are_refused():
    arm = Kinematics.from_urdf(five_joints(), 'base_link', 'tool0')
    arm.check_joints(np.array([0, 3.05, 0, 0, 0]))  # a little beyond its limit is usual
    with pytest.raises(ObservationError, match='elbow at -90 rad, beyond its limits -3..3 .* rad'):
        arm.check_joints(np.array([0, 0, -90.0, 0, 0]))
    with pytest.raises(ObservationError, match='inf for roll'):
        arm.check_joints(np.array([0, 0, 0, 0, np.inf]))


@pytest.mark.parametrize('pose, told', [
    (Pose(np.array([0.0, 0.01, 0.47]), np.array([0, 0, 0, 1.0])), '10.0 mm and 0.0 deg apart'),
    (Pose(np.array([0.0, 0.0, 0.47]), np.array([0, 0, np.sin(0.1), np.cos(0.1)])),
     '0.0 mm and 11.5 deg apart')])
def test_urdf_joints_and_frames_have_to_agree(pose, told):
    arm = Kinematics.from_urdf(five_joints(), 'base_link', 'tool0')
    stretched = np.zeros(5)
    arm.check_agreement(stretched, arm.forward(stretched), 0.005, 0.02)
    with pytest.raises(ObservationError, match=f'URDF, joint_states and TF disagree.*{told}'):
        arm.check_agreement(stretched, pose, 0.005, 0.02)


def test_a_missing_pinocchio_names_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pinocchio', None)
    with pytest.raises(ConfigError, match='pip install pin.*apt install ros-'):
        Kinematics.from_urdf(planar([1.0]), 'base_link', 'tool0')
