# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla eval`: see evaluate/evaluation.py."""

from __future__ import annotations

from .options import add_policy_arguments, CHECKPOINT, policy_options
from .scene import add_scene_arguments
from ..errors import ConfigError
from ..evaluate.evaluation import evaluate, EvaluationOptions
from ..evaluate.plan import VARIANT_NAMES
from ..evaluate.rollouts import CONTROLS
from ..evaluate.seeds import kinds_text
from ..sim.options import scene_options
from ..support.resources import checkpoint_path
from ..tokens.farthest import TIES

POLICY = ('unnorm_key', 'tokenizer', 'device', 'dtype', 'vision_dtype', 'int8', 'threads',
          'ddim_steps', 'guidance', 'ensemble', 'execute_steps', 'prune_layer', 'preserve_top_k',
          'dropped', 'camera_budget', 'radius_patches')


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla eval`."""
    add, default = parser.add_argument, EvaluationOptions('')
    add('checkpoint', help=CHECKPOINT)
    add('--instructions', nargs='+', metavar='TEXT',
        help="the tasks; the checkpoint's own unless given, all of the suite where it has none")
    add('--episodes-per-task', type=int, default=default.episodes_per_task, metavar='N',
        help='episodes of each task, at least 1')
    add('--variants', default='', metavar='NAMES',
        help=f'{VARIANT_NAMES}; fp,sqap unless given, or those in '
        'the precision of a converted checkpoint')
    add('--quantized', metavar='DIR',
        help='directory that `sqap-vla convert` made of the checkpoint, from which variants of '
        '4-bit weights take them, at whatever precision of the same weights; else, and in '
        'variants with -nearest, weights are rounded to nearest when they are loaded')
    add('--keep', default=','.join(map(str, default.keep)),
        metavar='NUMBERS', help='numbers of visual tokens that each pruning variant keeps, such '
        'as 154,102,64; each from 1 to as many as the checkpoint has')
    add('--ties', dest='sample_ties', choices=TIES, default=default.policy.sample_ties,
        help='which of equally far tokens sampling takes first: the lowest index, or evenly '
        'spread ones')
    add('--controls', default='none', metavar='NAMES',
        help='what the policy is given instead of the truth: '
        + '; '.join(f'{name}: {text}' for name, text in CONTROLS.items()))
    add('--control-variants', default=','.join(default.control_variants), metavar='NAMES',
        help="variants or rows (as 'sqap@154') that the controls are run for")
    add('--seed', type=int, default=default.seed, metavar='N',
        help=f'first seed; all are of one kind: {kinds_text()}')
    add('--max-steps', type=int, default=default.max_steps, metavar='N',
        help='control steps (0.05 s) of an episode, at least 1')
    add('--processes', type=int, default=default.processes, metavar='N',
        help='processes, each with a simulator of its own, at least 1')
    add('--out', metavar='FILE.json', help='write the results to this JSON file; the same command '
        'goes on with an interrupted run')
    add_policy_arguments(parser, *POLICY)
    add_scene_arguments(parser, official=True)


def run(args) -> int:
    """Evaluate every row, or what an interrupted run left of them, and print one table."""
    lists = {name: _texts(getattr(args, name))
             for name in ('variants', 'controls', 'control_variants')}
    numbers = {name: getattr(args, name)
               for name in ('episodes_per_task', 'seed', 'max_steps', 'processes')}
    evaluate(EvaluationOptions(
        str(checkpoint_path(args.checkpoint)), policy_options(args, seed=0, keep=None),
        scene_options(args, args.instructions), keep=_numbers(args.keep), out=args.out,
        quantized=args.quantized and str(checkpoint_path(args.quantized)),
        **lists, **numbers))
    return 0


def _texts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(',')))


def _numbers(text: str) -> tuple[int, ...]:
    """Return the whole numbers in a list; raise ConfigError if it holds something else."""
    try:
        return tuple(map(int, text.split(',')))
    except ValueError as error:
        raise ConfigError(f'--keep {text}: give numbers of tokens, such as 154,102') from error
