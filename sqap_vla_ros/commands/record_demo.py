# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla record-demo`: a bag from the LIBERO simulator, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_policy_arguments, CHECKPOINT, policy_options
from ..demo.bag import BagOptions, IMAGE_FORMATS, record_demo
from ..recordings.bag_writer import STORAGES
from ..support.files import MIB
from ..support.resources import named_checkpoint

NUMBERS = {
    'episodes': 'episodes in the bag, one behind another, from 1 to 1000',
    'seed': 'placement seed of the first episode, at least 0; training uses 1000 and above',
    'max_steps': 'control steps (20 a second) after which an episode has failed, from 1 to 100000',
    'image_every': 'control steps from one image to the next, from 1 to 100',
    'size': 'side of the images, px, from 16 to 2048'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sqap-vla record-demo`."""
    add, default = parser.add_argument, BagOptions(Path())
    add('--out', type=Path, required=True, metavar='BAG',
        help='directory of the bag, which must not exist')
    add('--instruction', default='', metavar='TEXT',
        help='task of libero_goal; default: five of them take turns with the seed')
    add('--checkpoint', default='', metavar='DIR',
        help=f'what drives the arm: {CHECKPOINT}; default: the scripted expert')
    add_policy_arguments(parser, 'precision', 'keep')
    for name, text in NUMBERS.items():
        add(f'--{name.replace("_", "-")}', type=int, default=getattr(default, name), help=text,
            metavar='N')
    add('--images', default=default.images, choices=IMAGE_FORMATS,
        help='CompressedImage by jpeg or png on image/compressed, or raw Image on image')
    add('--storage', default=default.storage, choices=STORAGES, help='format of the bag')


def run(args: argparse.Namespace) -> int:
    """Write the bag; return 0, also where an episode failed: it is recorded all the same."""
    options = BagOptions(args.out, args.instruction, args.episodes, args.seed, args.max_steps,
                         args.image_every, args.size, args.images, args.storage)
    result = record_demo(options, _policy(args))
    print(f'{options.out}: {result.messages} messages, {result.seconds:.1f} s, '
          f'{result.size / MIB:.2f} MiB; {result.successes} of {result.episodes} episodes '
          'succeeded')
    return 0


def _policy(args):
    """Return the policy that is to drive, None for the expert."""
    if not args.checkpoint:
        return None
    path, options = named_checkpoint(args.checkpoint), policy_options(args)
    from ..policy import load_policy
    return load_policy(path, options)
