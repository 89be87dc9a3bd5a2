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

    def environment(self):
        """Return a new LiberoEnv; raise ConfigError for options that it refuses."""
        from .env import LiberoEnv
        from .variation import Variation
        variation = {item.name: getattr(self, item.name) for item in fields(Variation)}
        pose = self.camera_pose
        variation['camera_pose'] = (pose[:3], pose[3:]) if pose else None
        return LiberoEnv(self.instructions or None, self.suite, self.placement_m,
                         initial_states=self.initial_states, variation=Variation(**variation))

    def values(self) -> dict:
        """Return the options for a JSON file."""
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self).items()}

    def start(self, seed: int, tasks: int) -> int:
        """Return the seed of an episode's start, where `tasks` tasks take turns with the seed."""
        return seed // tasks if self.initial_states else seed


def add_scene_arguments(parser, official: bool = False) -> None:
    """
    Add the options, but for the instructions, to an argparse parser.

    official: with --initial-states, which are for tests alone.
    """
    add = parser.add_argument
    add('--suite', default=SceneOptions.suite, help='LIBERO suite of the tasks')
    add('--placement-m', type=float, default=PLACEMENT_M, metavar='M',
        help="side of the square each object is placed in, m; 0: the benchmark's own places")
    if official:
        add('--initial-states', action='store_true',
            help="start from the benchmark's official states, in turn for each task; "
            '--placement-m does not apply')
    add('--yaw-rad', type=float, default=0.0, metavar='RAD',
        help='objects are turned by up to this, either way')
    add('--distractors', type=int, default=0, metavar='N',
        help='objects added to the scene that belong to no task')
    add('--camera-pose', type=float, nargs=6, default=(), metavar='M',
        help="x y z of the camera and of what it looks at, base frame; the scene's own unless "
        'given')
    add('--camera-jitter-m', type=float, default=0.0, metavar='M',
        help='the camera is moved by up to this along each axis, each episode anew')
    add('--camera-jitter-rad', type=float, default=0.0, metavar='RAD',
        help='the camera is turned by up to this about each axis, each episode anew')
    add('--light-jitter', type=float, default=0.0, metavar='0..1',
        help='how much brightness, places and directions of the lights change')


def scene_options(args, instructions=()) -> SceneOptions:
    """Return the options of a parsed command line."""
    values = {item.name: getattr(args, item.name) for item in fields(SceneOptions)
              if hasattr(args, item.name)}
    values.update(instructions=tuple(instructions or ()), camera_pose=tuple(args.camera_pose))
    return SceneOptions(**values)
