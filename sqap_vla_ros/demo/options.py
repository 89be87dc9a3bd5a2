# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo is asked for: options, their checks, the command lines that follow."""
from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import shutil
import sys

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.precision import AUTO, same_weights
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.support.resources import config_file, named_checkpoint
from sqap_vla_ros.support.validation import nearest

# what the node would refuse, and rightly, of the control blank-image
BLANK_IMAGE = {'frozen_image_timeout': 0.0, 'min_contrast': 0.0, 'max_image_change': 0.0}
CONTROLS = ('none', 'blank-image', 'other-instruction', 'random-tokens')
SMALLEST_FREE_MB = 50


@dataclass(frozen=True)
class DemoOptions:
    """
    The options of `sqap-vla demo`, each as commands/demo.py explains it.

    Raises ConfigError, naming the option, for a value that no checkpoint can make sense of.
    """

    instruction: str = ''
    precision: str = AUTO
    keep: int = 154
    dropped: str = 'gone'
    episodes: int = 10
    seed: int = 0
    real_time: bool = False
    control: str = 'none'
    out: Path = Path('out/demo')
    checkpoint: str = ''
    max_steps: int = 300
    video: bool = True
    video_episodes: int = 6

    def __post_init__(self):
        """Check numbers and names."""
        PolicyOptions(precision=self.precision, keep=self.keep, dropped=self.dropped)
        for name, low, high in (('episodes', 1, 100000), ('seed', 0, 2**31 - 1),
                                ('max_steps', 1, 100000), ('video_episodes', 1, 100000)):
            if not low <= getattr(self, name) <= high:
                option = name.replace('_', '-')
                raise ConfigError(
                    f'--{option} must be {low} to {high}, not {getattr(self, name)}')
        if self.control not in CONTROLS:
            raise ConfigError(
                f'--control must be one of {", ".join(CONTROLS)}, not {self.control!r}')
        if self.control == 'random-tokens' and not self.keep:
            raise ConfigError('--control random-tokens needs --keep above 0: with all tokens '
                              'kept there is nothing to choose')

    @property
    def mode(self) -> str:
        """'lockstep' or 'real_time'."""
        return 'real_time' if self.real_time else 'lockstep'

    @property
    def checkpoint_directory(self) -> Path:
        """Return the checkpoint's directory; raises CheckpointError for an unknown name."""
        return named_checkpoint(self.checkpoint or bundled_for(self.precision)).resolve()


def bundled_for(precision: str, int8: Sequence[str] = ()) -> str:
    """
    Return the name of the bundled policy that has the best weights for a precision.

    Weights of 4 bits are those that GPTQ rounded; others are made of full precision, and so are
    all where parts outside the decoder are to be held at w8a8 (int8), which those leave alone.
    """
    is_converted = precision == AUTO or precision in same_weights('w4a8')
    return 'libero_goal_w4' if is_converted and not int8 else 'libero_goal'


def check_against_checkpoint(options: DemoOptions, config) -> None:
    """
    Raise ConfigError for options that a checkpoint does not serve.

    config: the checkpoint's CheckpointConfig (see formats/checkpoint.py).
    """
    known, total = config.instructions, config.model.num_visual
    if options.instruction and known and options.instruction not in known:
        raise ConfigError(f'--instruction {options.instruction!r} is unknown to the checkpoint'
                          f'{nearest(options.instruction, known)}: use one of '
                          + ', '.join(repr(text) for text in known))
    if options.keep > total:
        raise ConfigError(f'--keep {options.keep} is more than the {total} visual tokens of the '
                          'checkpoint')


def prepare_output(directory: Path) -> None:
    """
    Make the output directory with its logs/ and try it out.

    Raises ConfigError when it cannot be written or the disk is (nearly) full.
    """
    try:
        (directory / 'logs').mkdir(parents=True, exist_ok=True)
        probe = directory / '.probe'
        probe.write_bytes(bytes(2**16))
        probe.unlink()
        free_mb = shutil.disk_usage(directory).free / 2**20
    except OSError as error:
        raise ConfigError(f'cannot write to --out {directory}: {error.strerror or error}; '
                          'choose another directory') from error
    if free_mb < SMALLEST_FREE_MB:
        raise ConfigError(f'the disk of --out {directory} has only {free_mb:.0f} MiB left, '
                          f'{SMALLEST_FREE_MB} are needed; choose another directory')


def node_commands(options: DemoOptions, config, frames: Path | None) -> dict[str, list[str]]:
    """
    Return the command line of each process by its name, in the order to start them.

    config: the checkpoint's CheckpointConfig.  frames: directory for recorded images, None for
    none.
    """
    from sqap_vla_ros.evaluate.simulated_robot import is_wrist, parameters_of, topics_of
    from sqap_vla_ros.sim.options import WRIST_CAMERA
    from sqap_vla_ros.sim.units import COMMAND_SCALES, CONTROL_PERIOD_S
    python, space = [sys.executable, '-m'], config.action_space
    limits = COMMAND_SCALES[space.kind].limits
    recorder = [*python, 'sqap_vla_ros.ros.simulator.demo_recorder']
    policy = {
        'autostart': True, 'checkpoint': str(options.checkpoint_directory),
        'precision': options.precision, 'keep_tokens': options.keep,
        'dropped_tokens': options.dropped,
        'selection_method': 'random' if options.control == 'random-tokens' else 'sqap',
        'lockstep': not options.real_time, 'use_sim_time': not options.real_time,
        'max_linear_speed': limits.linear, 'max_angular_speed': limits.angular}
    if options.control == 'blank-image':
        policy.update(BLANK_IMAGE)
    topics = topics_of(config.cameras)
    if topics:
        policy.update(cameras=list(config.cameras), **parameters_of(config.cameras))
    simulator = {
        'lockstep': not options.real_time, 'instruction': options.instruction,
        'control': 'none' if options.control == 'random-tokens' else options.control,
        'episodes': options.episodes, 'seed': options.seed, 'max_steps': options.max_steps,
        'image_every': space.execute_steps * round(space.dt / CONTROL_PERIOD_S),
        'command_kind': space.kind, 'image_listeners': 1 if frames is None else 2}
    if any(map(is_wrist, config.cameras)):
        simulator['wrist_camera'] = WRIST_CAMERA
    if config.instructions:
        simulator['instructions'] = list(config.instructions)
    listens = {**({'frames': str(frames)} if frames else {}),
               **({'further_cameras': list(config.cameras[1:])} if config.cameras[1:] else {})}
    of_first = [f'image:={topics[f"{name}/image"]}' for name in config.cameras[:1]]
    arguments = [*_parameters(listens), *(part for rule in of_first for part in ('-r', rule))]
    return {
        'recorder': recorder + (['--ros-args', *arguments] if arguments else []),
        'vla_node': [*python, 'sqap_vla_ros.ros.vla.node', '--ros-args', '--params-file',
                     str(config_file('libero_sim.yaml')), *_parameters(policy),
                     *(part for pair in topics.items() for part in ('-r', ':='.join(pair)))],
        'simulator': [*python, 'sqap_vla_ros.ros.simulator.node', '--ros-args',
                      *_parameters(simulator)]}


def _parameters(values: dict) -> list[str]:
    """Return ROS arguments; JSON is YAML, so quotes and colons in texts survive."""
    return [part for name, value in values.items()
            for part in ('-p', f'{name}:={json.dumps(value)}')]
