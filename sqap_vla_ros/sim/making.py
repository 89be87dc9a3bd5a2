# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A LiberoEnv of the options that commands share."""
from dataclasses import fields

from sqap_vla_ros.sim.env import check_placing, LiberoEnv, tasks_of
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.sim.variation import Variation


def make_environment(scene: SceneOptions) -> LiberoEnv:
    """Return a new LiberoEnv of some options; raise ConfigError for those that it refuses."""
    return LiberoEnv(scene.instructions or None, scene.suite, scene.placement_m,
                     initial_states=scene.initial_states, variation=_variation(scene))


def check_scene(scene: SceneOptions) -> None:
    """Raise ConfigError, without building a scene, for options that a LiberoEnv refuses."""
    check_placing(scene.placement_m, scene.initial_states, _variation(scene))
    tasks_of(scene.suite, scene.instructions or None)


def _variation(scene: SceneOptions) -> Variation:
    values = {item.name: getattr(scene, item.name) for item in fields(Variation)}
    pose = scene.camera_pose
    return Variation(**{**values, 'camera_pose': (pose[:3], pose[3:]) if pose else None})
