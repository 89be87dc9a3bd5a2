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
from .recording_options import add_config_arguments, add_part_arguments
from .replay_config import node_config, POLICY


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla replay`."""
    from ..evaluate.plan import VARIANT_NAMES
    add = parser.add_argument
    add('source', metavar='SOURCE', help='a bag (its directory, metadata.yaml or a file; SQLite '
        'or MCAP) or a LeRobot data set')
    add('--checkpoint', metavar='NAME_OR_DIR', default='',
        help="a bundled model or a checkpoint directory; else --config's")
    add_config_arguments(add)
    add('--out', type=Path, required=True, metavar='DIR',
        help='directory for replay.json, frames.csv, frames.parquet, replay.mcap and report.html; '
        'the same command goes on with an interrupted run')
    add('--variants', default='', metavar='NAMES',
        help=f'{VARIANT_NAMES}; fp,sqap unless given, or those in the precision of a '
        'converted checkpoint')
    add('--keep', default='154', metavar='NUMBERS',
        help='numbers of visual tokens that each pruning variant keeps, such as 154,102; each '
        'from 1 to as many as the checkpoint has')
    _add_controls(add)
    add('--latency', type=float, metavar='S',
        help='from when an image came in until its answer is known, for what a node would have '
        'had the arm told; 0 to 60, as measured here unless given')
    part = parser.add_argument_group('what of the recording')
    add_part_arguments(part)
    part.add_argument('--stride', type=int, default=1, metavar='N',
                      help='of so many images one is looked at, at least 1')
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
