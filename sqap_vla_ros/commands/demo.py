# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla demo`."""
import argparse
from pathlib import Path

from .options import add_policy_arguments
from ..demo.options import CONTROLS, DemoOptions
from ..demo.run import run_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sqap-vla demo`."""
    add, default = parser.add_argument, DemoOptions()
    add('--instruction', default=default.instruction, metavar='TEXT',
        help='what to do; default: the instructions of the checkpoint take turns')
    add_policy_arguments(parser, precision=default.precision, keep=default.keep,
                         dropped=default.dropped)
    add('--episodes', type=int, default=default.episodes, metavar='N',
        help='episodes to run, from 1 to 100000')
    add('--seed', type=int, default=default.seed, metavar='N',
        help='placement seed of the first episode, at least 0; training uses 1000 and above')
    add('--real-time', action='store_true',
        help='wall clock: physics does not wait for the policy, so latency costs success')
    add('--control', choices=CONTROLS, default=default.control,
        help='control experiment: black images, another instruction than the one that is '
             'judged, or tokens kept at random')
    add('--out', type=Path, default=default.out, metavar='DIR', help='directory for results')
    add('--checkpoint', default=default.checkpoint, metavar='NAME_OR_DIR',
        help='a bundled model or a checkpoint directory; default: libero_goal_w4, whose weights '
        'GPTQ rounded to 4 bits, or libero_goal for a precision of other weights')
    add('--max-steps', type=int, default=default.max_steps, metavar='N',
        help='control steps (20 a second) after which an episode has failed, from 1 to 100000')
    add('--no-video', dest='video', action='store_false', help='write no video and no overview')
    add('--video-episodes', type=int, default=default.video_episodes, metavar='N',
        help='episodes that go into the video, from 1 to 100000')


def run(args: argparse.Namespace) -> int:
    """Run the demo; see demo/run.py."""
    names = DemoOptions.__dataclass_fields__
    return run_demo(DemoOptions(**{name: getattr(args, name) for name in names}))
