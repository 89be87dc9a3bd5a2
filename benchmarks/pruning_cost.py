# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What dropped tokens cost that the later blocks still see, against dropping them altogether.

    python benchmarks/pruning_cost.py [--sizes bundled smollm2-135m] [--precision w4a4] \
        [--keep 154 102 64 32] [--rounds 15] [--out benchmarks/results/pruning_cost.json]

The decoder's blocks from the first pruned one on are timed, on one thread and by its processor
time, every way once a round; the ratio of each round is to that with all tokens in the same round.
Weights are random: only shapes matter.
"""
import argparse
from functools import partial
import json
from pathlib import Path
import time

import numpy as np
from sqap_vla_ros.bench.sides import float32_model, quantized_model
from sqap_vla_ros.bench.sizes import sequence_length, size_config
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress
import torch


def ways(model, keeps) -> dict:
    """Return by name what runs the pruned blocks on random states."""
    config = model.config
    x = torch.randn(1, sequence_length(config), config.llm.hidden_size)
    found = {'all': partial(model.prefill_kept, x, None)}
    for keep in keeps:
        kept = torch.linspace(0, config.num_visual - 1, keep).long()
        for name, follow in (('gone', False), ('follow', True)):
            found[f'{name}@{keep}'] = partial(model.prefill_kept, x, kept, follow=follow)
    return found


@torch.inference_mode()
def timed(model, keeps, rounds: int, title: str) -> dict:
    """Return by way the median milliseconds, the median ratio to all tokens, and its quartiles."""
    calls, times = ways(model, keeps), []
    for call in calls.values():
        call()
    with Progress(title, total=rounds, unit='round') as progress:
        for _ in range(rounds):
            times.append([_milliseconds(call) for call in calls.values()])
            progress.advance()
    times = np.array(times)
    ratios = times / times[:, :1]
    return {name: {'ms': float(np.median(times[:, place])), 'ratio': float(
        np.median(ratios[:, place])), 'quartiles': np.percentile(
            ratios[:, place], [25, 75]).tolist()} for place, name in enumerate(calls)}


def _milliseconds(call) -> float:
    begin = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - begin)


def main():
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--sizes', nargs='+', default=['bundled', 'smollm2-135m'])
    parser.add_argument('--precision', default='w4a4')
    parser.add_argument('--keep', nargs='+', type=int, default=[154, 102, 64, 32])
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for size in args.sizes:
        config = size_config(size)
        model = (float32_model(config) if args.precision == 'fp'
                 else quantized_model(config, args.precision))
        found[size] = timed(model, args.keep, args.rounds, f'{size}, {args.precision}')
        for name, row in found[size].items():
            print(f'{size:14} {name:12} {row["ms"]:8.2f} ms  {row["ratio"]:.3f} '
                  f'({row["quartiles"][0]:.3f} .. {row["quartiles"][1]:.3f}) of all')
    if args.out:
        args.out.write_text(json.dumps(
            {'precision': args.precision, 'rounds': args.rounds, 'machine': machine(),
             'versions': versions(), 'sizes': found}, indent=1) + '\n')


if __name__ == '__main__':
    main()
