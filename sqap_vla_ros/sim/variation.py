# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What may differ from the benchmark's own look: objects' yaw, distractors, camera, lights."""
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ConfigError

MOST_DISTRACTORS = 6  # with more, many starts find no room
LIGHT_TURN_RAD = 0.6  # at light_jitter 1
LIGHT_SHIFT_M = 0.5
_CAMERA_STREAM, _LIGHT_STREAM = 4, 5


@dataclass(frozen=True)
class Variation:
    """What each episode draws from its seed, off by default; ConfigError if out of range."""

    yaw_rad: float = 0.0  # objects on the table are turned by up to this; not official states
    distractors: int = 0  # objects added that belong to no goal; not in official states
    camera_pose: tuple | None = None  # (xyz of the camera, xyz it looks at), base frame, m
    camera_jitter_m: float = 0.0  # most that the camera is moved along each of its axes
    camera_jitter_rad: float = 0.0  # and turned about them
    light_jitter: float = 0.0  # 0..1: share of brightness, LIGHT_SHIFT_M and LIGHT_TURN_RAD

    def __post_init__(self):
        """Check the ranges."""
        for name, high in (('yaw_rad', np.pi), ('distractors', MOST_DISTRACTORS),
                           ('camera_jitter_m', 1.0), ('camera_jitter_rad', 1.0),
                           ('light_jitter', 1.0)):
            if not 0 <= getattr(self, name) <= high:
                raise ConfigError(f'{name} is {getattr(self, name)}: use 0 to {high:.3g}')
        if self.camera_pose is not None and np.shape(self.camera_pose) != (2, 3):
            raise ConfigError(f'camera_pose is {self.camera_pose}: use ((x, y, z) of the camera, '
                              '(x, y, z) that it looks at) in the base frame, m')


class Looks:
    """The camera and the lights of a Scene, as built and as an episode changes them."""

    def __init__(self, scene, variation):
        self._scene, self._variation = scene, variation
        self._camera = scene.camera.camera_id
        if variation.camera_pose is not None:
            self._look_at(*np.asarray(variation.camera_pose, np.float64))
        model, head = scene.model, scene.model.vis.headlight
        self._position = model.cam_pos[self._camera].copy()
        self._quaternion = model.cam_quat[self._camera].copy()
        self._colors = [(color, color.copy()) for color in (
            model.light_diffuse, model.light_ambient, model.light_specular,
            head.diffuse, head.ambient, head.specular)]
        self._light_places, self._light_directions = model.light_pos.copy(), model.light_dir.copy()

    def vary(self, seed):
        """Draw camera and lights of the episode with this seed."""
        variation = self._variation
        if variation.camera_jitter_m > 0 or variation.camera_jitter_rad > 0:
            self._vary_camera(np.random.default_rng([seed, 0, _CAMERA_STREAM]))
        if variation.light_jitter > 0:
            self._vary_lights(np.random.default_rng([seed, 0, _LIGHT_STREAM]))
        self._scene.forward()

    def _vary_camera(self, rng):
        model, variation = self._scene.model, self._variation
        own = _rotation(self._quaternion)
        shift = rng.uniform(-1, 1, 3) * variation.camera_jitter_m
        turn = Rotation.from_rotvec(rng.uniform(-1, 1, 3) * variation.camera_jitter_rad)
        model.cam_pos[self._camera] = self._position + own.apply(shift)
        model.cam_quat[self._camera] = _quaternion(own * turn)

    def _vary_lights(self, rng):
        model, jitter = self._scene.model, self._variation.light_jitter
        bright = 1 + jitter * rng.uniform(-1, 1)
        for color, built in self._colors:
            color[:] = np.clip(built * bright, 0, 1)
        shape = self._light_places.shape
        model.light_pos[:] = self._light_places + jitter * LIGHT_SHIFT_M * rng.uniform(
            -1, 1, shape)
        turns = Rotation.from_rotvec(jitter * LIGHT_TURN_RAD * rng.uniform(-1, 1, shape))
        model.light_dir[:] = turns.apply(self._light_directions)

    def _look_at(self, position, target):
        """Fix the camera at a position [3] of the base frame, looking at a target, upright."""
        back = position - target
        right = np.cross([0, 0, 1], back)
        if np.linalg.norm(right) < 1e-6:
            raise ConfigError('camera_pose looks straight up or down: move its target sideways')
        axes = np.array([right, np.cross(back, right), back])  # MuJoCo's camera looks along -z
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        model, arm = self._scene.model, self._scene.arm
        model.cam_pos[self._camera] = arm.base_rotation @ position + arm.base_position
        model.cam_quat[self._camera] = _quaternion(Rotation.from_matrix(
            arm.base_rotation @ axes.T))


def _rotation(quaternion):
    return Rotation.from_quat(np.roll(quaternion, -1))


def _quaternion(rotation):
    return np.roll(rotation.as_quat(), 1)
