# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How late the simulated arm is behind joints and poses, and that it holds what it is told."""
from libero_scene import libero_env, SEED
import numpy as np
from scipy.spatial.transform import Rotation

from sqap_vla_ros.sim.arm_control import joint_ramp, JointSetpoint, pose_ramp

AMPLITUDE = np.array([0.15, 0.1, -0.12, 0.1, 0.15, -0.12, 0.2])  # rad
PULSE = 2 * np.pi * 0.7  # rad/s


def started():
    """Return the environment in an episode and its joints [7]."""
    env = libero_env()
    env.reset(SEED)
    return env, joints_of(env)


def joints_of(env):
    return env.joint_state()[1][:7].copy()


def wave(time_s):
    """Return a smooth motion of all joints and its velocity, [7]."""
    return (AMPLITUDE * (1 - np.cos(PULSE * time_s)),
            AMPLITUDE * PULSE * np.sin(PULSE * time_s))


def test_joints_follow_a_motion_15_ms_late_at_most():
    env, start = started()
    times, found = [], []
    for step in range(150):
        began_s = 0.01 * step
        env.follow(lambda time_s: JointSetpoint(
            start + wave(began_s + time_s)[0], wave(began_s + time_s)[1]), 1.0, 0.01)
        times.append(began_s + 0.01)
        found.append(joints_of(env) - start)
    lags_s = np.arange(0, 0.05, 0.001)
    errors = [np.linalg.norm(np.array(found) - [wave(t - lag)[0] for t in times], axis=0)
              for lag in lags_s]
    assert lags_s[np.argmin(errors, axis=0)].max() <= 0.015
    off = np.min(errors, axis=0) / np.sqrt(len(times))  # what no lag explains, rad
    assert off.max() < 0.004


def test_positions_at_20_hz_are_reached_by_the_next_one():
    env, start = started()
    last, off = start, []
    for step in range(1, 30):
        goal = start + wave(0.05 * step)[0]
        env.follow(joint_ramp(last, goal, 0.05), 1.0)
        off.append(joints_of(env) - goal)
        last = goal
    assert np.abs(off).max() < 0.015  # rad; 15 ms of joint 7's speed


def test_poses_at_20_hz_are_reached_by_the_next_one():
    env, _ = started()
    first = last = env.end_effector_pose()
    shifts, turns = [], []
    for step in range(1, 30):
        goal, time_s = first.copy(), 0.05 * step
        goal[:3, 3] += [0, 0.05 * np.sin(2 * time_s), 0.05 * (np.cos(2 * time_s) - 1)]
        goal[:3, :3] = Rotation.from_rotvec([0, 0, 0.3 * time_s]).as_matrix() @ first[:3, :3]
        env.follow(pose_ramp(last, goal, 0.05), 1.0)
        found, last = env.end_effector_pose(), goal
        shifts.append(np.linalg.norm((found - goal)[:3, 3]))
        turns.append(Rotation.from_matrix(found[:3, :3] @ goal[:3, :3].T).magnitude())
    assert max(shifts) < 0.003 and max(turns) < 0.01


def test_a_place_is_held():
    env, start = started()
    pose = env.end_effector_pose()
    env.follow(joint_ramp(start, start, 0.05), 1.0, 0.5)
    np.testing.assert_allclose(joints_of(env), start, atol=1e-3)
    env.follow(pose_ramp(pose, pose, 0.05), 1.0, 0.5)
    np.testing.assert_allclose(env.end_effector_pose(), pose, atol=1e-3)


def test_the_gripper_closes_while_the_arm_follows():
    env, start = started()
    env.follow(joint_ramp(start, start, 0.05), 0.0, 1.0)
    assert env.gripper_open() < 0.1
    assert env.time == 1.0


def test_torques_stay_within_the_arms_limits():
    env, start = started()
    env.follow(joint_ramp(start, start + 1.0, 0.05), 1.0)
    controls = env.data.ctrl[:7]
    assert np.abs(controls).max() <= 80 and np.abs(controls[5:]).max() <= 12
    env.follow(joint_ramp(start + 1.0, start + 1.0, 0.05), 1.0, 0.1)
    assert np.isfinite(joints_of(env)).all()
