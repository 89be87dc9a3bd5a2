# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the camera and the arm of the simulator tell, as fields of sensor_msgs' messages.

The simulator's ROS node fills messages with them, and evaluation, which has no ROS, records: so a
policy gets the same numbers either way.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from ..geometry.transform_buffer import Pose

BASE_FRAME, END_EFFECTOR_FRAME = 'base', 'end_effector'
# LIBERO's data tell the state of this frame in that world: the hand's place is the end effector's,
# and its axes are those of robosuite's body right_hand, on which the gripper is turned.
WORLD_FRAME, HAND_FRAME = 'world', 'libero_hand'
HAND_ON_END_EFFECTOR = np.array([[0., -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
# As the drivers of a real Panda publish them: both fingers at half the hand's opening.
JOINT_NAMES = (*(f'panda_joint{number}' for number in range(1, 8)),
               'panda_finger_joint1', 'panda_finger_joint2')
GRIPPER_JOINT = JOINT_NAMES[7]
FINGER_TRAVEL_M = 0.04


def camera_info_fields(intrinsics: np.ndarray, size: tuple[int, int]) -> dict:
    """Return CameraInfo's fields of an ideal camera: intrinsics [3, 3] px, (height, width)."""
    projection = np.hstack([intrinsics, np.zeros((3, 1))])
    return {'height': size[0], 'width': size[1], 'distortion_model': 'plumb_bob', 'd': [0.0] * 5,
            'k': _floats(intrinsics), 'r': _floats(np.eye(3)), 'p': _floats(projection)}


def joint_state_fields(env) -> dict:
    """Return JointState's fields of an environment: 7 arm joints (rad), 2 fingers (m)."""
    _, positions, velocities = env.joint_state()
    finger_m = FINGER_TRAVEL_M * env.gripper_open()
    finger_speed = (velocities[7] - velocities[8]) / 2  # they move in opposite directions
    return {'name': list(JOINT_NAMES), 'position': _floats([*positions[:7], finger_m, finger_m]),
            'velocity': _floats([*velocities[:7], finger_speed, finger_speed])}


def pose_of(matrix: np.ndarray, stamp_ns: int = 0) -> Pose:
    """Return the pose that takes child coordinates to parent ones, from a 4x4 matrix (m)."""
    return Pose(np.array(matrix[:3, 3]), Rotation.from_matrix(matrix[:3, :3]).as_quat(), stamp_ns)


def _floats(values) -> list[float]:
    return [float(value) for value in np.ravel(values)]
