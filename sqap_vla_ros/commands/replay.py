# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`sqap-vla replay`: a policy over a recording, beside what was done; needs no ROS.

Exit status: 0 with results, 1 for bad input or where no image could be answered.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from .options import add_policy_arguments
from .replay_config import node_config, POLICY


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla replay`."""
    from ..evaluate.plan import VARIANTS
    add = parser.add_argument
    add('source', metavar='SOURCE', help='a bag (its directory, metadata.yaml or a file; SQLite '
        'or MCAP) or a LeRobot data set')
    add('--checkpoint', metavar='NAME_OR_DIR', default='',
        help="a bundled model or a checkpoint directory; else --config's")
    add('--config', action='append', default=[], metavar='FILE.yaml',
        help="the node's parameters: frames, cameras, limits; a file or the name of a shipped "
        'one; given again, later files are laid over earlier ones')
    add('--node', default='vla_node', metavar='NAME', help='whose section of --config it is')
    add('--out', type=Path, required=True, metavar='DIR',
        help='directory for replay.json, frames.csv, frames.parquet, replay.mcap and report.html; '
        'the same command goes on with an interrupted run')
    add('--variants', default='', metavar='NAMES',
        help=f'of {", ".join(VARIANTS)}; fp,sqap unless given, or those in the precision of a '
        'converted checkpoint')
    add('--keep', default='154', metavar='NUMBERS',
        help='numbers of visual tokens that each pruning variant keeps, such as 154,102; each '
        'from 1 to as many as the checkpoint has')
    _add_controls(add)
    add('--latency', type=float, metavar='S',
        help='from when an image came in until its answer is known, for what a node would have '
        'had the arm told; 0 to 60, as measured here unless given')
    _add_part(parser.add_argument_group('what of the recording'))
    add_policy_arguments(parser, *POLICY)


def _add_controls(add) -> None:
    from ..evaluate.rollouts import CONTROLS
    add('--controls', default='', metavar='NAMES',
        help='what the policy is given instead of the truth, as rows of their own: '
        + '; '.join(f'{name}: {text}' for name, text in CONTROLS.items() if name != 'none'))
    add('--control-variants', default='', metavar='NAMES',
        help="variants or rows (as 'sqap@154') that the controls are run for; the first variant "
        'unless given')
    add('--other-instruction', default='', metavar='TEXT',
        help="for the control of this name; another one of the checkpoint's unless given")


def _add_part(group) -> None:
    add = group.add_argument
    add('--topics', nargs='+', action='extend', default=[], metavar='WHAT=TOPIC',
        help='which topic is what, where names and types do not tell: image, camera_info, tf, '
        'tf_static, joint_states, instruction, robot_description, clock; commands to compare '
        'with: twist, pose, joints, gripper; wrist/image of a camera wrist; an empty TOPIC: none')
    add('--dataset', default='', metavar='FILE.yaml',
        help='what the columns of a LeRobot data set are, and in which units: action and state as '
        "an action_space, static_transforms; the checkpoint's own action_space unless given")
    add('--instruction', default='', metavar='TEXT', help='in place of the recorded one')
    add('--camera-info', action='append', default=[], metavar='[CAMERA=]FILE.yaml',
        help='a calibration in place of the recorded camera_info, as camera_calibration writes '
        'it; given again for further cameras')
    add('--episodes', default='', metavar='LIST', help='of a recording of several, such as '
        "0,3-5: a data set's own numbers, of a bag their places from 0; all unless given")
    add('--start', type=float, default=0.0, metavar='S',
        help="from when on, at least 0, in seconds from each episode's first image")
    add('--end', type=float, metavar='S',
        help='until when, above --start and at most 1e9; the end unless given')
    add('--stride', type=int, default=1, metavar='N',
        help='of so many images one is looked at, at least 1')


def run(args) -> int:
    """Replay, write and print; return the exit status."""
    from ..recordings.open import open_recording
    from ..replay.writing import finish
    from .replay_plan import planned
    config = node_config(args)
    with closing(open_recording(args.source)) as recording:
        for loss in recording.losses:
            print(f'note: {loss}')
        finish(planned(args, config, recording))
    return 0
