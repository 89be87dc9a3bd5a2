# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One command to the arm, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.transform_buffer import Pose


@dataclass(frozen=True)
class Command:
    """
    One command to the arm.

    velocity: float64, a twist [6] (linear m/s then angular rad/s, in the action space's frame) or
    joint velocities [n] (rad/s, m/s where a joint slides) in the order of
    ActionSpace.arm_names.
    gripper: 0 closed .. 1 open, or None to leave the gripper as it is.
    position: float64, where the arm is to be at the END of the command's time: [7] x y z
    qx qy qz qw of the end effector in base_frame (m, unit quaternion), or joint positions [n];
    None where only a velocity is told.
    """

    velocity: np.ndarray
    gripper: float | None = None
    position: np.ndarray | None = None

    @property
    def is_finite(self) -> bool:
        """Whether no number in it is NaN or infinite."""
        gripper = 0.0 if self.gripper is None else self.gripper
        position = 0.0 if self.position is None else self.position
        return bool(np.isfinite(self.velocity).all() and np.isfinite(gripper)
                    and np.isfinite(position).all())


@dataclass(frozen=True)
class Measured:
    """
    Where the arm is, as TF and joint_states say.

    pose: of the end effector in base_frame.  joints: float64 [n], rad or m, in the order of
    the action space's or the kinematics' joints.  None: not known, or not asked for.
    """

    pose: Pose | None = None
    joints: np.ndarray | None = None


STOP = Command(np.zeros(6))
