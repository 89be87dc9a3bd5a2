# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What it costs that threads wait for each other awake, on a machine that does other things as well.

    python benchmarks/thread_waiting.py [--threads 2] [--spins 100 1000 10000 100000]

Inferences of the bundled policy's shape (random weights, w4a8, 154 tokens) in a process for each
GOMP_SPINCOUNT, in turn: wall clock, since waiting is what is looked at.
"""
import argparse
import json
import os
from pathlib import Path
import subprocess
import sys
import time

from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.thread_waiting import SPIN
from sqap_vla_ros.support.timing import percentiles

RESULTS = Path(__file__).resolve().parent / 'results' / 'thread_waiting.json'


def infer(threads: int, count: int) -> list[float]:
    """Return the milliseconds of so many inferences, in this process."""
    from sqap_vla_ros.bench.sides import Inputs, quantized_model, Side
    from sqap_vla_ros.bench.sizes import size_config, usual_keep
    from sqap_vla_ros.tokens.choice import SelectionConfig
    import torch
    torch.set_num_threads(threads)
    config = size_config('bundled')
    side = Side('native', quantized_model(config, 'w4a8'), Inputs.random(config),
                SelectionConfig(usual_keep(config), ties='even'))
    return [sum(side.infer().values()) for _ in range(count + 2)][2:]


def in_process(threads: int, spin: str, count: int) -> list[float]:
    """Return what infer returns in a process that waits awake for `spin` turns."""
    command = [sys.executable, __file__, '--infer', '--count', str(count), '--threads',
               str(threads)]
    found = subprocess.run(command, env={**os.environ, SPIN: spin}, check=True,
                           stdout=subprocess.PIPE, text=True)
    return json.loads(found.stdout.splitlines()[-1])


def main():
    """Measure, print a line for each, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--spins', nargs='+', default=['100', '1000', '10000', '100000'])
    parser.add_argument('--count', type=int, default=8, help='inferences of each turn')
    parser.add_argument('--rounds', type=int, default=2, help='turns of each')
    parser.add_argument('--infer', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.infer:
        print(json.dumps(infer(args.threads, args.count)))
        return
    times = {spin: [] for spin in args.spins}
    result = {**machine(), **versions(), 'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
              'threads': args.threads, 'load_average': [os.getloadavg()[0]]}
    for turn in range(args.rounds):
        for spin in args.spins[::-1 if turn % 2 else 1]:
            with Progress(f'{args.count} inferences on {args.threads} threads, {SPIN}={spin}'):
                times[spin] += in_process(args.threads, spin, args.count)
            result['load_average'].append(os.getloadavg()[0])
            result['ms'] = {each: {'n': len(values), **percentiles(values)}
                            for each, values in times.items() if values}
            args.out.write_text(json.dumps(result, indent=1) + '\n')
    for spin, values in result['ms'].items():
        print(f'{SPIN}={spin:8} p50 {values["p50"]:8.1f} ms, p95 {values["p95"]:8.1f} ms')


if __name__ == '__main__':
    main()
