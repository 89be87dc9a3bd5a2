# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Our kernels beside what a sensible user would take instead, on a CPU, in turn in one run.

    pip install -e '.[peers]'                                  # OpenVINO, nncf, ONNX Runtime
    pip install -e '.[llama-cpp]'                              # llama.cpp, compiled
    python benchmarks/cpu_peers.py --sizes smollm2-135m bundled --clock cpu
    python benchmarks/cpu_peers.py --sizes smollm2-360m --level avx2 --threads 2

Decoders have random weights, 280 tokens and, on the sides that end with +154, 154 of 256 visual
ones from the third block on; `bundled` is the bundled policy's network end to end.  All sides have
the same weights and inputs, and the last block computes what the head reads.  Each runs in a
process of its own, which waits while others run; before it is timed its answers are held against
plain float32's, loosely where it rounds (random weights).  Memory is the most that a process takes
while it infers, less what it took before the network was loaded; torch.compile's counts its
compiler.  What is not installed, answers otherwise or ends by itself is told and left out.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
import contextlib
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile

import numpy as np
from peers.sides import (
    default_sides, GIVEN, held_to, LEVELS, limit, OURS, PEERS, SELECTED, split)
from sqap_vla_ros.bench.tables import conditions
from sqap_vla_ros.bench.timing import in_turn, paired_ratio
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.thread_waiting import SPIN, TURNS
from sqap_vla_ros.support.timing import percentiles

RESULTS = Path(__file__).resolve().parent / 'results' / 'cpu_peers.json'
PACKAGES = 'openvino', 'nncf', 'onnx', 'onnxruntime', 'llama-cpp-python', 'gguf'
ROWS = 'vision', 'prefill', 'total'


class Failed(Exception):
    """A side's process has ended by itself, as its last line says, or no side is left."""


class Worker:
    """A side in a process of its own."""

    def __init__(self, side: str, size: str, args, place: Path):
        """Start it; place: the directory that a size's processes share."""
        self.name, self._log = side, place / f'{side}.log'
        with self._log.open('w') as log:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'peers.worker', side, size, str(args.threads), args.clock,
                 str(place)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                # threads that wait awake for the next parallel region would take a core from the
                # side whose turn it is; sqap-vla and vla_node set the same
                env={SPIN: TURNS, **held_to(args.level),
                     'PYTHONPATH': os.pathsep.join(sys.path),
                     'OMP_NUM_THREADS': str(args.threads), 'TORCHINDUCTOR_COMPILE_THREADS': '1'})

    def ask(self, word: str) -> dict:
        """Return the answer to a word of worker.py; raise Failed if it has ended."""
        try:
            self._process.stdin.write(f'{word}\n')
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ''
        if not line:
            self._process.wait()
            raise Failed(self.last_words())
        return json.loads(line)

    def last_words(self) -> str:
        """Return the last line that it has written for people."""
        return (self._log.read_text().strip().splitlines() or ['it ended'])[-1]

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def measure(size: str, args) -> dict:
    """Return milliseconds, errors, memory and ratios of a size's sides, and what kept some out."""
    left_out = {}
    with tempfile.TemporaryDirectory() as name, Progress(f'{size}: float32 answers') as progress:
        place = Path(name)
        _write_given(size, args, place)
        workers = []
        for side in args.sides or default_sides(size, args.level):
            progress.show('', f'{size}: {side}')
            worker, reason = _ready(side, size, args, place)
            if worker is None:
                left_out[side] = reason
            else:
                workers.append(worker)
        if not workers:
            raise Failed('; '.join(f'{side}: {why}' for side, why in left_out.items()))
        progress.show('', f'{size}: timing {len(workers)} sides in turn')
        try:
            laps, facts = _timed(workers, left_out, args)
        finally:
            for worker in workers:
                worker.close()
    return summary(laps, facts, left_out)


def _timed(workers: list[Worker], left_out: dict, args) -> tuple[dict, dict]:
    """Return laps and facts; without a side that ends by itself, which is left out, from anew."""
    def ask(worker, word='lap'):
        try:
            return worker.ask(word)
        except Failed as failure:
            left_out[worker.name] = str(failure)
            raise
    while True:
        rest = [worker for worker in workers if worker.name not in left_out]
        with contextlib.suppress(Failed):
            laps = in_turn(rest, args.rounds, args.seconds, ask) if rest else {}
            return laps, {worker.name: {'error': worker.error, **ask(worker, 'end')}
                          for worker in rest}


def _write_given(size: str, args, place: Path) -> None:
    """Have a process write what every side is given; raise Failed if it cannot."""
    worker = Worker('', size, args, place)
    worker.close()
    if not (place / GIVEN).exists():
        raise Failed(worker.last_words())


def _ready(side: str, size: str, args, place: Path) -> tuple[Worker | None, str]:
    """Return a side that waits for its laps, or None and why there is none."""
    name, _ = split(side)
    reason = PEERS[name].why_not(args.level) if name in PEERS else ''
    if reason:
        return None, reason
    if name in PEERS:  # in a process that ends, with the memory that it took
        maker = Worker(side, size, args, place)
        try:
            maker.ask('prepare')
        except Failed as failure:
            return None, str(failure)
        finally:
            maker.close()
    worker = Worker(side, size, args, place)
    try:
        worker.error = worker.ask('load')['error']
    except Failed as failure:
        worker.close()
        return None, str(failure)
    if not worker.error <= limit(side):
        worker.close()
        return None, (f'its answers are off by {worker.error:.3g} of their size, expected at most '
                      f'{limit(side)}: not timed')
    return worker, ''


def summary(laps: dict[str, list], facts: dict, left_out: dict) -> dict:
    """Return percentiles, and how many times faster each of our sides is than every peer."""
    columns = {side: {row: np.array([lap[row] for lap in found]) for row in ROWS}
               for side, found in laps.items()}
    ours = [side for side in columns if split(side)[0] not in PEERS]
    return {
        'rounds': len(next(iter(laps.values()), [])), 'left_out': left_out,
        'sides': {side: {**facts[side], 'ms': {row: percentiles(column)
                                               for row, column in rows.items()}}
                  for side, rows in columns.items()},
        'faster': {side: {peer: {row: paired_ratio(rows[row], columns[side][row])
                                 for row in ('prefill', 'total')}
                          for peer, rows in columns.items() if peer not in ours}
                   for side in ours}}


def markdown(size: str, result: dict) -> str:
    """Return the table of a size for people."""
    row = 'total' if size == 'bundled' else 'prefill'
    peers = [side for side in result['sides'] if split(side)[0] in PEERS]
    best = min(peers, key=lambda side: result['sides'][side]['ms'][row]['p50'], default=None)
    lines = [f'{size}, {result["rounds"]} rounds', '',
             f'| side | {row}, p50 / p95 ms | error | memory, MiB | the best peer takes |',
             '|---' * 5 + '|']
    for side, found in result['sides'].items():
        ratio = result['faster'].get(side, {}).get(best, {}).get(row)
        lines.append(
            f'| {side} | {found["ms"][row]["p50"]:.1f} / {found["ms"][row]["p95"]:.1f} | '
            f'{found["error"]:.2g} | {found["memory_mib"]:.0f} | ' + (
                '{ratio:.2f}x ({low:.2f} .. {high:.2f})'.format(**ratio) if ratio else '') + ' |')
    lines += ['', *(f'- {side}: not measured: {why}' for side, why in result['left_out'].items())]
    return '\n'.join(lines + ([f'- the best peer: {best}'] if best else []))


def versions() -> dict[str, str]:
    """Return the peers' versions, of those that are installed."""
    from importlib.metadata import PackageNotFoundError, version
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = 'not installed'
    return found


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; end with a message where they do not fit together."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add('--sizes', nargs='+', default=['smollm2-135m', 'bundled'], metavar='SIZE',
        help='as of `sqap-vla bench`: bundled, smollm2-135m, smollm2-360m, tinyllama-1.1b ...')
    add('--sides', nargs='+', metavar='SIDE', help="instead of a size's usual ones: float32, "
        f'w4a4, w4a4+154, ..., {", ".join(PEERS)}')
    add('--threads', type=int, default=1, help='of every side, at least 1')
    add('--level', choices=LEVELS, help='instructions that all sides are held to')
    add('--rounds', type=int, default=30, help='most rounds a size, at least 5')
    add('--seconds', type=float, default=120, help='most seconds a size; five rounds are run')
    add('--clock', default='wall', choices=('wall', 'cpu'),
        help="cpu: processor time of a side's process, for one thread on a busy machine")
    add('--out', type=Path, default=RESULTS, help='the file to write')
    args = parser.parse_args(given)
    if args.threads < 1 or args.rounds < 5:
        parser.error(f'--threads {args.threads} and --rounds {args.rounds}: expected at least 1 '
                     'and at least 5')
    if args.clock == 'cpu' and args.threads > 1:
        parser.error(f'--clock cpu with --threads {args.threads}: expected 1, since it adds up '
                     'threads that wait for each other')
    known = {name + end for name in (*OURS, *PEERS) for end in ('', SELECTED)}
    for side in args.sides or ():
        if side not in known:
            parser.error(f'--sides {side!r} is unknown, expected some of {sorted(known)}')
    return args


def main() -> None:
    """Time all sizes, print their tables and write the file."""
    args = arguments()
    result = {'machine': {**conditions(), **versions()}, 'sizes': {},
              'options': {name: getattr(args, name) for name in (
                  'threads', 'level', 'rounds', 'seconds', 'clock')}}
    for size in args.sizes:
        try:
            result['sizes'][size] = measure(size, args)
        except Failed as failure:
            sys.exit(f'{size}: {failure}')
        print(markdown(size, result['sizes'][size]), flush=True)
        args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
