# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Torques that make the simulated arm go where a joint or pose interface wants it.

The benchmark's own controller takes unit actions and follows them 0.16 s late. The interfaces of
real arms that take positions track them within some milliseconds, so these two are stiffer, and
know the velocity that is wanted: a spring and a damper in terms of accelerations, made torques by
the arm's mass matrix, with gravity, Coriolis and centrifugal forces compensated. The arm's torque
limits hold. test/sim/test_sim_arm_control.py measures how late they are.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

STIFFNESS = 625.0  # 1/s2: 25 rad/s, critically damped
DAMPING = 2 * np.sqrt(STIFFNESS)
POSTURE_STIFFNESS = 10.0  # of the elbow, which a pose leaves free
_LEAST_MOBILITY = 1e-6


@dataclass(frozen=True)
class JointSetpoint:
    """Where the arm's joints are wanted: float64 [7] rad and rad/s."""

    positions: np.ndarray
    velocities: np.ndarray

    def torques(self, arm) -> np.ndarray:
        """Return torques [7] (Nm); arm: state as robosuite's controllers keep it."""
        return arm.mass_matrix @ (
            STIFFNESS * (self.positions - arm.joint_pos)
            + DAMPING * (self.velocities - arm.joint_vel)) + arm.torque_compensation


@dataclass(frozen=True)
class PoseSetpoint:
    """Where the end effector is wanted: float64 4x4 and [6] m/s, rad/s, in the world."""

    pose: np.ndarray
    velocity: np.ndarray

    def torques(self, arm) -> np.ndarray:
        """Return torques [7] (Nm); arm: state as robosuite's controllers keep it."""
        turn = Rotation.from_matrix(self.pose[:3, :3] @ arm.ee_ori_mat.T).as_rotvec()
        error = np.append(self.pose[:3, 3] - arm.ee_pos, turn)
        speed = np.append(arm.ee_pos_vel, arm.ee_ori_vel)
        wanted = STIFFNESS * error + DAMPING * (self.velocity - speed)
        jacobian, inverse = arm.J_full, np.linalg.inv(arm.mass_matrix)
        inertia = np.linalg.inv(jacobian @ inverse @ jacobian.T + _LEAST_MOBILITY * np.eye(6))
        posture = arm.mass_matrix @ (
            POSTURE_STIFFNESS * (arm.initial_joint - arm.joint_pos)
            - 2 * np.sqrt(POSTURE_STIFFNESS) * arm.joint_vel)
        free = posture - jacobian.T @ (inertia @ (jacobian @ (inverse @ posture)))
        return jacobian.T @ (inertia @ wanted) + free + arm.torque_compensation


Reference = Callable[[float], JointSetpoint | PoseSetpoint]  # of the seconds since a step began


def joint_ramp(start, goal, duration_s: float) -> Reference:
    """Go from joints [7] to joints [7] (rad) in a time, evenly, and stay there."""
    start, goal = np.asarray(start, np.float64), np.asarray(goal, np.float64)
    velocity = (goal - start) / duration_s

    def at(time_s: float) -> JointSetpoint:
        if time_s >= duration_s:
            return JointSetpoint(goal, np.zeros(len(goal)))
        return JointSetpoint(start + time_s * velocity, velocity)
    return at


def pose_ramp(start, goal, duration_s: float) -> Reference:
    """Go from a pose 4x4 to another in a time, evenly, on the shorter turn, and stay there."""
    turn = Rotation.from_matrix(goal[:3, :3] @ start[:3, :3].T).as_rotvec()
    velocity = np.append(goal[:3, 3] - start[:3, 3], turn) / duration_s

    def at(time_s: float) -> PoseSetpoint:
        if time_s >= duration_s:
            return PoseSetpoint(goal, np.zeros(6))
        pose = np.eye(4)
        pose[:3, 3] = start[:3, 3] + time_s * velocity[:3]
        pose[:3, :3] = Rotation.from_rotvec(time_s * velocity[3:]).as_matrix() @ start[:3, :3]
        return PoseSetpoint(pose, velocity)
    return at
