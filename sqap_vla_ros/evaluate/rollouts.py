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

from ..errors import ConfigError
from ..geometry.camera import CameraModel, project
from ..geometry.poses import points_in_camera
from ..model.prompt import PAD
from ..observation import end_effector_state, Observation, ProtectedPoints

# what the policy is given instead of the truth
CONTROLS = {
    'none': 'everything as it is',
    'blank-image': 'a black image; instruction and proprioception as they are',
    'other-instruction': "another task's instruction than the one that is judged",
    'no-state': 'the mean proprioception of the training data',
    'state-only': 'a black image and an empty instruction; proprioception as it is',
}
MAX_STEPS = 300


@dataclass(frozen=True)
class EpisodeResult:
    """One episode: what was asked, whether it succeeded, after how many control steps."""

    seed: int
    instruction: str
    success: bool
    steps: int
    infer_ms: float


def observe(env, instruction: str, control: str = 'none', mean_state=None) -> Observation:
    """
    Look at the simulator as the node looks at the robot's topics, but for what a control hides.

    mean_state: float32 [S], shown under 'no-state' instead of the measured one.
    """
    image = env.render()
    pose = env.end_effector_pose()
    pixels, valid = project_points(env, pose[None, :3, 3], image.shape[:2])
    protected = (ProtectedPoints(pixels, np.zeros(1), ('end_effector',)) if valid[0]
                 else ProtectedPoints())
    state = end_effector_state(pose[:3, 3], _quaternion_xyzw(pose[:3, :3]), env.gripper_open())
    if control in ('blank-image', 'state-only'):
        image = np.zeros_like(image)
    if control == 'no-state':
        state = np.asarray(mean_state, np.float32)
    return Observation(image, round(env.time * 1e9), instruction, protected, state)


def project_points(env, points_base, image_size) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels [M, 2] and valid [M] of base-frame points [M, 3] in the env's camera."""
    height, width = image_size
    camera = CameraModel(width, height, env.camera_intrinsics())
    return project(camera, points_in_camera(points_base, env.camera_pose()))


def run_episode(env, policy, seed: int, instruction: str, control: str = 'none',
                max_steps: int = MAX_STEPS, start: int | None = None) -> EpisodeResult:
    """
    Run one episode in lockstep: infer, execute the first rows of the chunk, look again.

    control: one of CONTROLS.  start: seed of the initial state, None for `seed`.  Raises
    ConfigError for a control that this environment or policy cannot serve.
    """
    mean_state = policy.statistics.get('state_mean')
    if control == 'no-state' and mean_state is None:
        raise ConfigError('no-state needs a policy with proprioception')
    env.reset(seed if start is None else start, instruction)
    policy.reset()
    told = told_instruction(env.instructions, instruction, control, seed)
    execute = policy.config.action_space.execute_steps
    spent, count, chunk, row = 0.0, 0, None, 0
    for step in range(max_steps):
        if chunk is None or row == execute:
            chunk, row = policy.infer(observe(env, told, control, mean_state)), 0
            spent, count = spent + chunk.timings['total'], count + 1
        action = chunk.actions[row]
        row += 1
        if env.step(action[:6].astype(np.float64), float(action[6])):
            return EpisodeResult(seed, instruction, True, step + 1, spent / count)
    return EpisodeResult(seed, instruction, False, max_steps, spent / count)


def told_instruction(instructions, judged: str, control: str, seed: int) -> str:
    """Return what the policy is told; raise ConfigError where there is no other instruction."""
    if control == 'state-only':
        return PAD
    if control != 'other-instruction':
        return judged
    others = [text for text in instructions if text != judged]
    if not others:
        raise ConfigError('other-instruction needs an environment with two instructions')
    return others[seed // len(instructions) % len(others)]


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
