# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From options to results: what `sqap-vla demo` does, in order."""
from dataclasses import replace
import json
from pathlib import Path
import sys
import tempfile
import time

from .options import check_against_checkpoint, DemoOptions, node_commands, prepare_output
from .processes import ChildDied
from .session import DemoInterrupted, Records, Session
from ..errors import ConfigError
from ..numerics.precision import AUTO
from ..support.domains import free_domain_id
from ..support.files import MIB, saving_to, write_whole
from ..support.progress import Progress
from ..support.requirements import require
from ..support.ros_environment import built_prefixes, ros_environment

INTERRUPTED = 130
_PICTURE_BYTES = 20 * MIB  # of a video and an overview


def run_demo(options: DemoOptions) -> int:
    """
    Run the demo; return 0, 1 if a process died, 130 after a signal.

    Raises ConfigError and CheckpointError for what the user can change.
    """
    options, config = _checked(options)
    prepare_output(options.out)
    with tempfile.TemporaryDirectory(prefix='frames_', dir=options.out) as directory:
        frames = Path(directory) if options.video else None
        try:
            records = run_nodes(options, node_commands(options, config, frames))
        except DemoInterrupted:
            print('interrupted: all processes are stopped', file=sys.stderr)
            return INTERRUPTED
        except ChildDied as error:
            print(f'sqap-vla demo: {error}', file=sys.stderr)
            return 1
        summary = write_results(options, config, records)
    _show(options, summary)
    return 0


def run_nodes(options: DemoOptions, commands: dict[str, list[str]]) -> Records:
    """
    Run the processes in a ROS domain of their own, with a progress bar.

    Raises DemoInterrupted or ChildDied; no process is left either way.
    """
    domain_id = free_domain_id()
    environment = ros_environment(domain_id=domain_id, discovery_range='LOCALHOST')
    environment['PYTHONUNBUFFERED'] = '1'
    print(f'starting the simulator and the policy node (ROS_DOMAIN_ID={domain_id}, logs in '
          f'{options.out / "logs"}); loading takes a while', flush=True)
    with EpisodeProgress(options.episodes) as progress:
        session = Session(commands, environment, options.out / 'logs', options.episodes,
                          progress.on_episode)
        try:
            return session.run()
        except ChildDied:
            for problem in session.problems:
                print(f'diagnostics: {problem}', file=sys.stderr)
            raise


def write_results(options: DemoOptions, config, records: Records) -> dict:
    """
    Write summary.json, then video and overview unless switched off; return the summary.

    Raises ConfigError when the disk is full or must not be written.
    """
    from .summary import summarize
    summary = summarize(records, options, config.model.num_visual)
    with saving_to(options.out, _PICTURE_BYTES, 'what was written before is whole'):
        write_whole(options.out / 'summary.json', (json.dumps(summary, indent=2) + '\n').encode())
        if options.video:
            _write_pictures(options, config, records, summary)
    return summary


class EpisodeProgress(Progress):
    """An episode bar on a terminal, a line an episode elsewhere."""

    def __init__(self, episodes: int):
        """Count the episodes of a run that begins now."""
        super().__init__('loading', total=episodes, unit='episode')
        self._successes, self._started = 0, time.monotonic()

    def on_episode(self, record: dict) -> None:
        """Show the start or end of an episode."""
        if record['phase'] == 'started':
            self.show(f'seed {record["seed"]}', text='demo')
            return
        self._successes += record['success']
        score = f'{self._successes}/{self.done + 1} succeeded'
        self.advance(note=score)
        if not self.is_terminal:
            print(f'[{time.monotonic() - self._started:6.1f} s] episode {self.done}/'
                  f'{record["episodes"]}, seed {record["seed"]}, "{record["instruction"]}": '
                  f'{"success" if record["success"] else "failure"} after {record["steps"]} '
                  f'steps; {score}', flush=True)


def _checked(options: DemoOptions) -> tuple:
    """
    Return options and the checkpoint's config once options, checkpoint and ROS are there.

    What auto stands for is settled and printed here, so that all that is written names it.
    """
    from ..evaluate.conventions import image_doubts
    from ..evaluate.evaluation import check_action_space
    from ..formats import open_checkpoint
    from ..inference.device import find_device
    from ..loading.chosen_options import with_options
    from ..loading.machines import auto_precision
    from ..options import PolicyOptions
    require(ConfigError, 'rclpy', 'libero', 'mujoco', *(['av'] if options.video else []))
    config = open_checkpoint(options.checkpoint_directory).with_key(None).config
    config = with_options(config, PolicyOptions())
    check_against_checkpoint(options, config)
    check_action_space(config.action_space)
    if options.precision == AUTO:
        choice = auto_precision(config.model, config.quantization, find_device('cpu'))
        print(f'precision {choice}', flush=True)
        options = replace(options, precision=choice.precision)
    for doubt in image_doubts(config, turned=False):
        print(f'note: {doubt}', flush=True)
    if not built_prefixes():
        raise ConfigError('the ROS messages of this package are not built: run `make setup`, or '
                          'source the workspace that colcon built')
    return options, config


def _write_pictures(options: DemoOptions, config, records: Records, summary: dict) -> None:
    from .overview import ROWS, write_overview
    from .pictures import FrameComposer
    from .video import picture_count, write_video
    from ..geometry.image_transform import ImageTransform
    transform = ImageTransform(
        **{'size': (config.model.vision.image_size,) * 2, **config.image})
    clock = 'true speed by the clock' if options.real_time else 'true speed in simulated time'
    caption = (f'{options.precision}, {summary["kept_tokens"]} of {summary["total_tokens"]} '
               f'tokens, control {options.control}; {clock}')
    composer = FrameComposer(transform, caption)
    rows = min(ROWS, len(records.episodes))
    with Progress('overview.png', total=rows, unit='row') as progress:
        write_overview(options.out / 'overview.png', records, composer,
                       f'{summary["successes"]} of {summary["episodes"]} succeeded, failures '
                       f'first: {caption}', progress)
    count = picture_count(records, options.video_episodes)
    with Progress('demo.mp4', total=count, unit='picture') as progress:
        write_video(options.out / 'demo.mp4', records, composer, options.video_episodes, progress)


def _show(options: DemoOptions, summary: dict) -> None:
    from .summary import report_text
    print(report_text(summary))
    names = ['summary.json'] + (['demo.mp4', 'overview.png'] if options.video else [])
    print('written: ' + ', '.join(str(options.out / name) for name in names))
