# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which scene a command plays in: options that collecting, training and evaluating share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

INSTRUCTIONS = (
    'put the bowl on the stove', 'put the bowl on top of the cabinet',
    'put the bowl on the plate', 'put the cream cheese in the bowl',
    'put the wine bottle on top of the cabinet')
PLACEMENT_M = 0.25
WRIST_CAMERA = 'robot0_eye_in_hand'  # as robosuite mounts it
OFFICIAL_STATES = 50  # a task of the benchmark


@dataclass(frozen=True)
class SceneOptions:
    """
    What a LiberoEnv is made of, in plain values that go to other processes and into files.

    instructions: empty for the environment's own choice.  camera_pose: six numbers, x, y, z of
    the camera and of what it looks at (base frame, m), or empty.  The others are LiberoEnv's
    and Variation's, where their ranges are checked.
    """

    suite: str = 'libero_goal'
    instructions: tuple[str, ...] = ()
    placement_m: float = PLACEMENT_M
    initial_states: bool = False
    yaw_rad: float = 0.0
    distractors: int = 0
    camera_pose: tuple[float, ...] = ()
    camera_jitter_m: float = 0.0
    camera_jitter_rad: float = 0.0
    light_jitter: float = 0.0

    def values(self) -> dict:
        """Return the options for a JSON file."""
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self).items()}

    def start(self, seed: int, tasks: int) -> int:
        """Return the seed of an episode's start, where `tasks` tasks take turns with the seed."""
        return seed // tasks if self.initial_states else seed


def scene_options(args, instructions=()) -> SceneOptions:
    """Return the options that are attributes of `args`, as of a parsed command line."""
    values = {item.name: getattr(args, item.name) for item in fields(SceneOptions)
              if hasattr(args, item.name)}
    values.update(instructions=tuple(instructions or ()), camera_pose=tuple(args.camera_pose))
    return SceneOptions(**values)
