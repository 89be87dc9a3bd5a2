# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What 8-bit activations cost in time: w4a4, w4a4t8 (text rows alone) and w4a8, in turn.

    python benchmarks/text_rows_cost.py [--sizes bundled w512] [--rounds 30] [--clock cpu]

Random weights, one thread.  Each round runs every side once, beginning with another one; ratios
are to w4a4 of the same round, medians with the bootstrap's 95 % interval.
"""
import argparse
import json
from pathlib import Path

from sqap_vla_ros.bench.sides import Inputs, quantized_model, Side
from sqap_vla_ros.bench.sizes import size_config, usual_keep
from sqap_vla_ros.bench.tables import compare, conditions
from sqap_vla_ros.bench.timing import CLOCKS, time_sides
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.tokens.choice import SelectionConfig
import torch

RESULTS = Path(__file__).resolve().parent / 'results' / 'text_rows_cost.json'
PRECISIONS = 'w4a4', 'w4a4t8', 'w4a8'


def measure(size: str, rounds: int, seconds: float, clock: str) -> dict:
    """Return milliseconds and ratios to w4a4, with all tokens and with the usual budget."""
    config = size_config(size, 'chunk')
    inputs, keep = Inputs.random(config), usual_keep(config)
    models = {name: quantized_model(config, name) for name in PRECISIONS}
    found = {}
    for tokens, selection in ((config.num_visual, None),
                              (keep, SelectionConfig(keep, ties='even'))):
        sides = [Side(name, model, inputs, selection) for name, model in models.items()]
        found[f'{size}, {tokens} tokens'] = compare(
            time_sides(sides, rounds, seconds, clock), PRECISIONS[0])
    return found


def markdown(result: dict) -> str:
    """Return the table for people."""
    lines = ['| decoder | ' + ' | '.join(f'{name}, ms' for name in PRECISIONS)
             + ' | w4a4t8 / w4a4 | w4a8 / w4a4 | rounds |', '|---' * 7 + '|']
    for name, row in result['rows'].items():
        cells = [f'{row["ms"][side]["backbone"]["p50"]:.1f}' for side in PRECISIONS]
        for side in PRECISIONS[1:]:
            faster = row['ratio'][side]['backbone']
            cells.append('{:.3f} ({:.3f} .. {:.3f})'.format(
                *(1.0 / faster[key] for key in ('ratio', 'high', 'low'))))
        lines.append(f'| {name} | ' + ' | '.join(cells) + f' | {row["rounds"]} |')
    return '\n'.join(lines)


def main():
    """Time all sizes, print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--sizes', nargs='+', default=['bundled', 'w512'])
    parser.add_argument('--rounds', type=int, default=30, help='most rounds of a comparison')
    parser.add_argument('--seconds', type=float, default=60, help='most seconds of one')
    parser.add_argument('--clock', default='wall', choices=CLOCKS)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {'machine': conditions(), 'clock': args.clock, 'rows': {}}
    for size in args.sizes:
        with Progress(f'timing {", ".join(PRECISIONS)} of {size} in turn'):
            result['rows'].update(measure(size, args.rounds, args.seconds, args.clock))
    print(markdown(result))
    args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
