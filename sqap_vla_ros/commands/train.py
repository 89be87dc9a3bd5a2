# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Behaviour cloning of the bundled policy: `sqap-vla train`.

Trains the engine's own model classes.  Starts on a coarse grid (2 x 2 patches averaged, four
times fewer tokens) and goes on with the full one; keeps an exponential moving average of the
weights; resumes from its own state file; keeps the best checkpoint by success on
validation seeds.  No token dropout and no quantization-aware training:
pruning and quantization must work on a model that has never seen them.
"""

from __future__ import annotations

import math

from .scene import add_scene_arguments
from ..errors import ConfigError
from ..support.progress import Progress
from ..train.recipe import HEAD_WIDTH

_AT_LEAST = {'batch_size': 1, 'log_every': 1, 'coarse_steps': 0, 'fine_steps': 0, 'vit_depth': 1,
             'llm_layers': 1, 'eval_every': 0, 'eval_episodes': 1, 'threads': 0, 'seed': 0}


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla train`."""
    parser.add_argument('data', nargs='+', help='directories of shards that `sqap-vla collect` '
                        'wrote, one or more; their instructions may differ')
    parser.add_argument('out', help='directory for the checkpoint, the curves and the state')
    parser.add_argument('--init', metavar='CHECKPOINT', help='begin with the weights of this '
                        'checkpoint directory; its instructions may be others')
    add = parser.add_argument
    add('--keep-norm', action='store_true', help='normalise states and actions as --init does, '
        'not by the data: it begins as that very policy, to be made better with more of the same')
    for name, default, text in (
            ('coarse-steps', 6000, 'steps on the coarse grid of a quarter of the tokens, at least '
             '0'),
            ('fine-steps', 6000, 'steps on the full grid after those, at least 0'),
            ('batch-size', 32, 'samples a step, at least 1'),
            ('vit-depth', 3, 'blocks of the vision encoder, at least 1'),
            ('llm-layers', 4, 'blocks of the decoder, at least 1'),
            ('width', 256, f'channels: a multiple of {HEAD_WIDTH}, the width of an attention '
             f'head, at least {HEAD_WIDTH}'),
            ('threads', 0, "torch threads, at least 1; 0: torch's own choice"),
            ('log-every', 250, 'steps between held-out figures, at least 1'),
            ('eval-every', 0, 'steps between success rates in the simulator on validation seeds, '
             'which keep OUT/best, at least 1; 0: never'),
            ('eval-episodes', 4, 'episodes a task of those, at least 1'),
            ('seed', 0, 'of weights, batches and augmentation, at least 0')):
        add(f'--{name}', type=int, default=default, metavar='N', help=text)
    add('--learning-rate', type=float, default=8e-4, metavar='X',
        help='the highest, after warming up, above 0')
    add('--weights', default='', metavar='NUMBERS',
        help="shares of the samples that are of each directory's frames, such as 1,3, each above "
        '0; unless given, all frames count the same')
    add('--stem', choices=('linear', 'conv'), default='conv',
        help='how pixels become tokens: one product a patch, or convolutions')
    add('--device', default='auto', metavar='NAME', help='auto, cpu or cuda')
    add('--dtype', choices=('auto', 'float32', 'bfloat16'), default='auto',
        help='auto: bfloat16 where a matrix product is measured to be faster, and then the same '
        'when a run is resumed')
    add('--max-minutes', type=float, default=150, metavar='MIN',
        help='minutes after which it stops and saves, measurements of success included, above 0')
    add('--name', default='libero_goal', metavar='KEY', help='unnorm_key of the checkpoint')
    add_scene_arguments(parser.add_argument_group('scene of --eval-every'))


def check_options(args) -> None:
    """Raise ConfigError for an option that no training can have."""
    for name, least in _AT_LEAST.items():
        if getattr(args, name) < least:
            raise ConfigError(f'--{name.replace("_", "-")} must be at least {least}, found '
                              f'{getattr(args, name)}')
    if args.width < HEAD_WIDTH or args.width % HEAD_WIDTH:
        raise ConfigError(f'--width must be a multiple of {HEAD_WIDTH}, found {args.width}')
    if not 0 < args.learning_rate < math.inf:
        raise ConfigError(f'--learning-rate must be a number above 0, found {args.learning_rate}')
    if not args.max_minutes > 0:
        raise ConfigError(f'--max-minutes must be above 0, found {args.max_minutes}')


def run(args) -> int:
    """Train, or go on with an interrupted training in the same directory; return the status."""
    check_options(args)
    with Progress('loading PyTorch'):
        import torch
        from ..train.trainer import Trainer
    if args.threads:
        torch.set_num_threads(args.threads)
    trainer = Trainer(args)
    trainer.resume()
    return trainer.loop()
