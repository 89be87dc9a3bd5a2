# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The arm of the benchmark's scene: where it is, how it starts, what its fingers hold."""
import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

FINGER_TRAVEL_M = 0.08  # both fingers of the Panda hand together
_IK_STEPS = 60
_IK_DAMPING = 1e-4
_IK_TOLERANCE = 1e-4
_START_YAW_RAD = 0.05


class ArmPose:
    """Reads and sets the arm of a robosuite scene; all poses here are in the world."""

    def __init__(self, scene):
        self._scene = scene
        self._robot = scene.robots[0]
        self._model, self._data = scene.sim.model._model, scene.sim.data._data
        self._site = self._robot.eef_site_id
        self._base = self._model.body(self._robot.robot_model.root_body).id
        self._arm = list(self._robot._ref_joint_pos_indexes)
        self._arm_dofs = list(self._robot._ref_joint_vel_indexes)
        self._fingers = list(self._robot._ref_gripper_joint_pos_indexes)
        self._finger_dofs = list(self._robot._ref_gripper_joint_vel_indexes)
        self.start_rotation = self.end_effector()[:3, :3]

    @property
    def base_position(self):
        """Return the base body's origin in the world, m."""
        return self._data.xpos[self._base]

    @property
    def base_rotation(self):
        """Return the base body's rotation [3, 3] in the world."""
        return self._data.xmat[self._base].reshape(3, 3)

    def end_effector(self):
        """Return 4x4: the controller's end-effector site in the world."""
        pose = np.eye(4)
        pose[:3, :3] = self._data.site_xmat[self._site].reshape(3, 3)
        pose[:3, 3] = self._data.site_xpos[self._site]
        return pose

    def gripper_open(self):
        """Return 0 closed .. 1 open, from the distance between the fingers."""
        first, second = self._data.qpos[self._fingers]
        return float(np.clip((first - second) / FINGER_TRAVEL_M, 0.0, 1.0))

    def joint_state(self):
        """Return (names, positions, velocities) of arm joints and fingers."""
        names = [*self._robot.robot_joints, *self._robot.gripper_joints]
        positions = self._data.qpos[self._arm + self._fingers].copy()
        velocities = self._data.qvel[self._arm_dofs + self._finger_dofs].copy()
        return names, positions, velocities

    def holds(self, model_object):
        """Return whether both fingers touch an object of the scene."""
        geoms = self._robot.gripper.important_geoms
        return all(self._scene.check_contact(geoms[side], model_object)
                   for side in ('left_finger', 'right_finger'))

    def offset(self, rng, offset_m):
        """Move the arm by up to offset_m [3] and a small yaw; return whether it is clear."""
        goal = self.end_effector()
        goal[:3, 3] += rng.uniform(-1, 1, 3) * offset_m
        yaw = Rotation.from_rotvec([0, 0, rng.uniform(-1, 1) * _START_YAW_RAD])
        goal[:3, :3] = yaw.as_matrix() @ goal[:3, :3]
        reached = self._solve_ik(goal)
        self._data.qpos[self._fingers] = np.array([0.5, -0.5]) * FINGER_TRAVEL_M
        self._data.qvel[:] = 0
        self.hold()
        return reached and not self._robot_touches()

    def forget(self):
        """Take away what an earlier episode left: gripper command, the solver's warm start."""
        self._robot.gripper.current_action = np.zeros(2)  # robosuite integrates it
        self._data.qacc_warmstart[:] = 0

    def hold(self):
        """Make the controller hold the arm where it is and the gripper open, from now on."""
        self.forget()
        self._robot.gripper.current_action = np.array([1.0, -1.0])
        mujoco.mj_forward(self._model, self._data)
        self._robot.controller.update(force=True)
        self._robot.controller.reset_goal()

    def _solve_ik(self, goal):
        """Move the arm's joints, damped least squares, until the end effector is at goal."""
        jacobian = np.zeros((6, self._model.nv))
        for _ in range(_IK_STEPS):
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_comPos(self._model, self._data)
            pose = self.end_effector()
            turn = Rotation.from_matrix(goal[:3, :3] @ pose[:3, :3].T).as_rotvec()
            error = np.concatenate([goal[:3, 3] - pose[:3, 3], turn])
            if np.abs(error).max() < _IK_TOLERANCE:
                return True
            mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._site)
            j = jacobian[:, self._arm_dofs]
            self._data.qpos[self._arm] += j.T @ np.linalg.solve(
                j @ j.T + _IK_DAMPING * np.eye(6), error)
        return False

    def _robot_touches(self):
        robot = self._model.body_rootid[self._base]
        roots = self._model.body_rootid[self._model.geom_bodyid[self._data.contact.geom]]
        return bool(((roots == robot).any(axis=1) & (roots != robot).any(axis=1)).any())
