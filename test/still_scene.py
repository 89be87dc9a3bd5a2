# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A scene without a simulator, for processes that only have to run episodes and tell of them."""
import numpy as np
from sqap_vla_ros.evaluate.workers import Scene


class StillArm:
    """An arm in front of a camera that stays where it is, whatever it is told."""

    dt, image_size = 0.05, (48, 64)

    def __init__(self, instructions):
        """Know the instructions; any seed begins alike."""
        self.instructions = instructions

    def reset(self, seed, instruction):
        """Begin an episode."""

    def step(self, twist, gripper):
        """Do not move, and never succeed."""
        return False

    def render(self):
        """Return a picture that grows brighter to the right."""
        height, width = self.image_size
        return np.tile(np.linspace(40, 200, width).astype(np.uint8)[None, :, None], (height, 1, 3))

    def camera_intrinsics(self):
        """Return those of an ideal camera."""
        return np.array([[80.0, 0, 31.5], [0, 80.0, 23.5], [0, 0, 1]])

    def camera_pose(self):
        """Return a pose 1 m above the base, looking down."""
        pose = np.diag([1.0, -1, -1, 1])
        pose[2, 3] = 1.0
        return pose

    base_in_world = end_effector_pose = camera_pose

    def joint_state(self):
        """Return names, positions and velocities of seven joints and two fingers."""
        return [f'joint{number}' for number in range(9)], np.zeros(9), np.zeros(9)

    def gripper_open(self):
        """Return 1.0, for open."""
        return 1.0


class StillScene(Scene):
    """A scene of such an arm; one that is to juggle cannot be made."""

    def environment(self):
        """Return the arm; raise ValueError for an instruction of juggling."""
        if 'juggle' in self.options.instructions:
            raise ValueError('no arm can juggle')
        return StillArm(self.options.instructions)
