# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Episodes of a policy in the simulator, without ROS: the same observations, faster.

A lockstep run through ROS with the same seed gives the same episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from ..camera import CameraModel, project
from ..errors import ConfigError
from ..geometry import points_in_camera
from ..observation import end_effector_state, Observation, ProtectedPoints

CONTROLS = ('none', 'blank-image', 'other-instruction', 'no-state')
MAX_STEPS = 200


@dataclass(frozen=True)
class EpisodeResult:
    """One episode: what was asked, whether it succeeded, after how many control steps."""

    seed: int
    instruction: str
    success: bool
    steps: int
    infer_ms: float


def observe(env, instruction: str, control: str = 'none') -> Observation:
    """Look at the simulator as the node looks at the robot's topics."""
    image = env.render()
    pose = env.end_effector_pose()
    pixels, valid = project_points(env, pose[None, :3, 3], image.shape[:2])
    protected = (ProtectedPoints(pixels, np.zeros(1), ('end_effector',)) if valid[0]
                 else ProtectedPoints())
    state = end_effector_state(pose[:3, 3], _quaternion_xyzw(pose[:3, :3]), env.gripper_open())
    if control == 'blank-image':
        image = np.zeros_like(image)
    if control == 'no-state':
        state = np.zeros_like(state)
    return Observation(image, env.time, instruction, protected, state)


def project_points(env, points_base, image_size) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels [M, 2] and valid [M] of base-frame points [M, 3] in the env's camera."""
    height, width = image_size
    camera = CameraModel(width, height, env.camera_intrinsics())
    return project(camera, points_in_camera(points_base, env.camera_pose()))


def run_episode(env, policy, seed: int, instruction: str, control: str = 'none',
                max_steps: int = MAX_STEPS) -> EpisodeResult:
    """
    Run one episode in lockstep: infer, execute the first rows of the chunk, look again.

    'other-instruction' tells the policy another instruction than the one that is judged.
    """
    env.reset(seed, instruction)
    policy.reset()
    told = instruction
    if control == 'other-instruction':
        others = [text for text in env.instructions if text != instruction]
        if not others:
            raise ConfigError('other-instruction needs an environment with two instructions')
        told = others[seed % len(others)]
    execute = policy.config.action_space.execute_steps
    spent, count, chunk, row = 0.0, 0, None, 0
    for step in range(max_steps):
        if chunk is None or row == execute:
            chunk, row = policy.infer(observe(env, told, control)), 0
            spent, count = spent + chunk.timings['total'], count + 1
        action = chunk.actions[row]
        row += 1
        if env.step(action[:6].astype(np.float64), float(action[6])):
            return EpisodeResult(seed, instruction, True, step + 1, spent / count)
    return EpisodeResult(seed, instruction, False, max_steps, spent / count)


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a success rate (Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def _quaternion_xyzw(rotation) -> np.ndarray:
    from scipy.spatial.transform import Rotation
    return Rotation.from_matrix(rotation).as_quat()
