# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm's URDF against its MuJoCo model, and against pinocchio."""
from libero_scene import libero_env, SEED
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.control.kinematics import Kinematics
from sqap_vla_ros.sim.robot_description import describe, FILE, robot_description
from sqap_vla_ros.sim.sensors import JOINT_NAMES


def test_the_file_is_what_is_made_of_the_benchmarks_model():
    assert FILE.read_text() == describe(libero_env())


def test_the_urdf_puts_the_end_effector_where_mujoco_does():
    pytest.importorskip('pinocchio', reason='needs pinocchio: pip install .[kinematics]')
    arm = Kinematics.from_urdf(robot_description(), 'base', 'end_effector')
    assert arm.names == JOINT_NAMES[:7]
    env = libero_env()
    env.reset(SEED)
    rng = np.random.default_rng(0)
    before = env.data.qpos.copy()
    for _ in range(20):
        joints = rng.uniform(arm.lower, arm.upper)
        env.data.qpos[:7] = joints
        mujoco.mj_kinematics(env.model, env.data)
        expected, found = env.end_effector_pose(), arm.forward(joints)
        np.testing.assert_allclose(found.translation, expected[:3, 3], atol=1e-5)
        turn = Rotation.from_quat(found.quaternion).inv() * Rotation.from_matrix(
            expected[:3, :3])
        assert turn.magnitude() < 1e-5
    env.data.qpos[:] = before
    env.scene.forward()


def test_frames_are_named_as_in_tf():
    text = robot_description('base_link', 'tcp')
    assert '<parent link="base_link"/>' in text and '<child link="tcp"/>' in text
    assert '"base"' not in text and '"end_effector"' not in text
