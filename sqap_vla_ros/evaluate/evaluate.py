# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Success of a checkpoint by variant and control: `sqap-vla eval`.

All variants run on the same initial states (paired by seed) in two processes; the table has
Wilson intervals and every run's controls, since a policy that does not look has no result.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path

from .rollouts import CONTROLS, wilson_interval
from ..errors import ConfigError

# variant: precision, pruned, selection method
VARIANTS = {
    'fp': ('fp', False, 'sqap'), 'w4a4': ('w4a4', False, 'sqap'),
    'prune': ('fp', True, 'sqap'), 'random-prune': ('fp', True, 'random'),
    'sqap': ('w4a4', True, 'sqap'), 'w4a4-random-prune': ('w4a4', True, 'random'),
}


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla eval`."""
    parser.add_argument('checkpoint', help='checkpoint directory')
    parser.add_argument('--variants', default='fp,sqap', help=f'of {", ".join(VARIANTS)}')
    parser.add_argument('--controls', default='none', help=f'of {", ".join(CONTROLS)}')
    parser.add_argument('--episodes', type=int, default=50, help='in all, over the instructions')
    parser.add_argument('--keep', type=int, default=154, help='visual tokens kept when pruning')
    parser.add_argument('--seed', type=int, default=0, help='first seed; training uses >= 10000')
    parser.add_argument('--placement', type=float, default=0.14,
                        help='side of the squares the objects are placed in, m')
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--out', help='write the results to this JSON file')


def run(args) -> int:
    """Evaluate every variant under every control and print one table."""
    from tqdm import tqdm
    variants, controls = _names(args.variants, VARIANTS), _names(args.controls, CONTROLS)
    jobs = [(variant, control, args.seed + index)
            for control in controls for variant in variants for index in range(args.episodes)]
    context = multiprocessing.get_context('spawn')
    rows: dict[tuple, list] = {}
    with context.Pool(args.processes, _start_worker, (args,)) as pool:
        for variant, control, result in tqdm(
                pool.imap_unordered(_run_job, jobs), total=len(jobs), unit='episode'):
            rows.setdefault((variant, control), []).append(result)
    table = [_summary(variant, control, rows[variant, control])
             for control in controls for variant in variants]
    _print_table(table, args)
    if args.out:
        _write(args, table, rows)
    return 0


def _names(text: str, known) -> list[str]:
    names = text.split(',')
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f'{unknown} unknown: choose from {", ".join(known)}')
    return names


_worker: dict = {}


def _start_worker(args) -> None:
    """Make this process's simulator; policies are loaded as they are asked for."""
    import torch
    from ..sim.env import LiberoEnv
    torch.set_num_threads(1)
    _worker.update(args=args, policies={}, env=LiberoEnv(placement_m=args.placement))


def _policy(variant: str):
    from ..policy import load_policy
    from ..tokens import SelectionConfig
    if variant not in _worker['policies']:
        args = _worker['args']
        precision, pruned, method = VARIANTS[variant]
        selection = SelectionConfig(keep=args.keep, method=method) if pruned else None
        _worker['policies'][variant] = load_policy(
            args.checkpoint, precision, selection=selection)
    return _worker['policies'][variant]


def _run_job(job):
    from .rollouts import run_episode
    variant, control, seed = job
    env = _worker['env']
    instruction = env.instructions[seed % len(env.instructions)]
    return variant, control, run_episode(env, _policy(variant), seed, instruction, control)


def _summary(variant: str, control: str, results) -> dict:
    successes = sum(result.success for result in results)
    low, high = wilson_interval(successes, len(results))
    solved = [result.steps for result in results if result.success]
    by_instruction: dict[str, list[int]] = {}
    for result in results:
        entry = by_instruction.setdefault(result.instruction, [0, 0])
        entry[0] += result.success
        entry[1] += 1
    return {'variant': variant, 'control': control, 'episodes': len(results),
            'successes': successes, 'wilson95': [low, high], 'by_instruction': by_instruction,
            'mean_steps': sum(solved) / len(solved) if solved else None,
            'infer_ms': sum(result.infer_ms for result in results) / len(results)}


def _print_table(table, args) -> None:
    print(f'{"variant":18}{"control":19}{"success":>10}  95 % interval   steps  infer')
    for row in table:
        low, high = row['wilson95']
        steps = '-' if row['mean_steps'] is None else f'{row["mean_steps"]:.0f}'
        print(f'{row["variant"]:18}{row["control"]:19}{row["successes"]:4d}/{row["episodes"]:<5d}'
              f'  {low:5.0%} .. {high:4.0%}  {steps:>6}  {row["infer_ms"]:.1f} ms')


def _write(args, table, rows) -> None:
    from ..demo.report import machine, versions
    episodes = [{'variant': variant, 'control': control, **dataclasses.asdict(result)}
                for (variant, control), results in rows.items() for result in results]
    content = {'keep': args.keep, 'seed': args.seed, 'placement_m': args.placement,
               'machine': machine(), 'versions': versions(), 'table': table,
               'episodes': sorted(
                   episodes, key=lambda e: (e['variant'], e['control'], e['seed']))}
    Path(args.out).write_text(json.dumps(content, indent=1) + '\n')
