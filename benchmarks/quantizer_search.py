# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Look for better 4-bit weights of the bundled policy: what each way does to its actions.

    sqap-vla collect --out calibration --episodes 50 --seed 70000
    sqap-vla collect --out judged --episodes 75 --seed 90000
    python benchmarks/quantizer_search.py calibration judged --seeds 6 \
        --out quantizer_search.json

Weights are made from frames of `calibration`; the error, mean absolute and against full
precision's actions, is that on frames of other episodes, in `judged`.  Intervals are the
bootstrap's over episodes, paired with the usual weights of the same rounding and precision.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
from pathlib import Path
import time

import numpy as np
from quantizer.learned import learn
from quantizer.ways import at_precision, quantized, Way
from sqap_vla_ros.convert.calibration import decoder_inputs
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.numerics.hadamard import Rotation
from sqap_vla_ros.samples.answers import executed_rows
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.support.checkpoint_files import digest
from sqap_vla_ros.support.files import save_file
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.resources import model_directory
import torch

PRECISIONS = ('w4a4', 'w4a4t8', 'w4a8')
USUAL = 'seed 0'
PARTS = ('read', 'scaling', 'aware', 'corrections', 'learned', 'seeds')
_DRAWS, _AT_ONCE = 2000, 8


@torch.inference_mode()
def actions(model, inputs: torch.Tensor, rotation=None) -> np.ndarray:
    """Return normalised actions [n, T, A] for the plain decoder's inputs [n, S, D]."""
    found = []
    for x in inputs.split(_AT_ONCE):
        x = x if rotation is None else rotation.apply(x).float()
        x, _ = model.prefill_full(x, scored=False)
        found.append(model.head(model.prefill_kept(x, None)))
    return torch.cat(found).numpy()


def found_before(path: Path | None, sha256: str) -> dict:
    """Return the rows and seeds in a file, none without one; raise SystemExit for another's."""
    if path is None or not path.is_file():
        return {}
    found = json.loads(path.read_text())
    if found.get('checkpoint_sha256') != sha256:
        raise SystemExit(f'{path} is of another checkpoint: give another --out')
    return {name: found[name] for name in ('rows', 'seeds')}


class Search:
    """The policy, its frames, and what was found so far."""

    def __init__(self, args):
        """Read frames and encode them once: the encoder is the same in all variants."""
        sha256 = digest(args.checkpoint)
        known = found_before(args.out, sha256)
        source = open_checkpoint(args.checkpoint)
        samples = [read_samples(directory, count, source.config) for directory, count in (
            (args.calibration, args.calibration_frames), (args.judged, args.frames))]
        with Progress('encoding images'):
            self.seen, self.judged = (torch.cat(decoder_inputs(source, part)) for part in samples)
        self.episodes = np.array([sample.episode for sample in samples[1].samples])
        self.plain = load_network(source, 'fp', prepare=False)
        self.rows, self.args = executed_rows(source.config), args
        self.exact = [actions(self.plain, x) for x in (self.seen, self.judged)]
        self.errors: dict[tuple, np.ndarray] = {}
        self.result = {
            'machine': {**machine(), **versions()}, 'checkpoint': args.checkpoint.name,
            'checkpoint_sha256': sha256,
            'calibration_frames': len(self.seen), 'judged_frames': len(self.judged),
            'judged_episodes': len(set(self.episodes.tolist())), 'rows': [], 'seeds': []}
        self.result.update(known)

    def try_way(self, name: str, way: Way, **facts) -> None:
        """Make weights, judge them at each precision, print and keep what was found."""
        begun = time.thread_time()
        model = quantized(self.plain, self.seen, way)
        rounding, made = 'GPTQ' if way.gptq else 'nearest', time.thread_time() - begun
        for precision in PRECISIONS:
            at_precision(model, precision)
            seen, judged = (self.error(actions(model, x, way.rotation), exact) for x, exact in zip(
                (self.seen, self.judged), self.exact))
            self.errors[name, rounding, precision] = judged
            usual = self.errors.get((USUAL, rounding, precision), judged)
            row = {'way': name, 'rounding': rounding, 'precision': precision,
                   'error': float(judged.mean()), 'interval': self.interval(judged),
                   'of_usual': float(judged.mean() / usual.mean()),
                   'of_usual_interval': self.interval(judged, usual),
                   'calibration_error': float(seen.mean()), 'making_s': made, **facts}
            keys = 'way', 'rounding', 'precision'
            self.result['rows'] = [other for other in self.result['rows'] if any(
                other[key] != row[key] for key in keys)] + [row]
            low, high = row['of_usual_interval']
            print(f'{name:24} {rounding:8} {precision:7} {row["error"]:.5f}  '
                  f'{row["of_usual"]:.2f} ({low:.2f} .. {high:.2f})', flush=True)
        self.save()

    def error(self, found: np.ndarray, exact: np.ndarray) -> np.ndarray:
        """Return the mean absolute error [n] of the rows that a robot executes."""
        return np.abs(found - exact)[:, :self.rows].mean((1, 2))

    def interval(self, errors: np.ndarray, usual: np.ndarray | None = None) -> list[float]:
        """Return the 95 % interval of a mean, or of its ratio to another, over episodes."""
        rng, names = np.random.default_rng(0), np.unique(self.episodes)
        member = self.episodes[None] == names[:, None]  # [episodes, n]
        draws = rng.integers(len(names), size=(_DRAWS, len(names)))
        weights = member[draws].sum(1).astype(float)  # [draws, n]
        below = weights.sum(1) if usual is None else weights @ usual
        return [float(x) for x in np.percentile((weights @ errors) / below, (2.5, 97.5))]

    def seeds(self) -> None:
        """Sum up the seeds that were tried: all of them, and the one that calibration chose."""
        self.result['seeds'] = []
        for rounding in ('nearest', 'GPTQ'):
            for precision in PRECISIONS:
                rows = [row for row in self.result['rows'] if row['way'].startswith('seed')
                        and (row['rounding'], row['precision']) == (rounding, precision)]
                best = min(rows, key=lambda row: row['calibration_error'])
                errors = [row['error'] for row in rows]
                self.result['seeds'].append({
                    'rounding': rounding, 'precision': precision, 'seeds': len(rows),
                    'mean': float(np.mean(errors)), 'least': min(errors), 'most': max(errors),
                    'chosen': best['way'], 'error_of_chosen': best['error']})
                print(self.result['seeds'][-1], flush=True)
        self.save()

    def save(self) -> None:
        """Write what is known so far."""
        if self.args.out:
            save_file(self.args.out, (json.dumps(self.result, indent=1) + '\n').encode(), '--out')


def run(search: Search, parts, seeds: int, steps: int) -> None:
    """Try the usual way and those of some parts, with both roundings."""
    start = Rotation(search.seen.shape[-1], 0)
    ways = [Way(start, False), Way(start, True)]
    for way in ways:
        search.try_way(USUAL, way)
    if 'read' in parts:
        search.try_way('last block: read rows', replace(ways[1], read_rows=True))
    for exponent in (0.25, 0.5, 0.75) if 'scaling' in parts else ():
        for way in ways:
            search.try_way(f'scaling, exponent {exponent}', replace(way, smooth=exponent))
    for way in ways if 'aware' in parts else ():
        search.try_way('AWQ scaling', replace(way, aware=True))
    for rank in (8, 16) if 'corrections' in parts else ():
        for way in ways:
            search.try_way(f'correction, rank {rank}', replace(way, rank=rank))
    if 'learned' in parts:
        learned(search, ways, start, steps)
    for seed in range(1, seeds) if 'seeds' in parts else ():
        for way in ways:
            search.try_way(f'seed {seed}', replace(way, rotation=Rotation(
                search.seen.shape[-1], seed)))
    if 'seeds' in parts:
        search.seeds()


def learned(search: Search, ways, start: Rotation, steps: int) -> None:
    """Try a rotation that is learned on some of the calibration frames."""
    begun = time.thread_time()
    rotation, losses = learn(search.plain, search.seen[:8], start, steps, bits=4)
    facts = {'steps': steps, 'learning_s': time.thread_time() - begun,
             'loss_before': losses[0], 'loss_after': min(losses)}
    print(facts)
    for way in ways:
        search.try_way('learned rotation', replace(way, rotation=rotation), **facts)


def main() -> None:
    """Read the options and search."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('calibration', type=Path)
    parser.add_argument('judged', type=Path)
    parser.add_argument('--checkpoint', type=Path, default=model_directory())
    parser.add_argument('--calibration-frames', type=int, default=32)
    parser.add_argument('--frames', type=int, default=96)
    parser.add_argument('--seeds', type=int, default=8)
    parser.add_argument('--steps', type=int, default=60, help='of the learned rotation')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS)
    parser.add_argument('--out', type=Path, help='what is in this file already is kept')
    args = parser.parse_args()
    torch.set_num_threads(1)
    run(Search(args), args.only, args.seeds, args.steps)


if __name__ == '__main__':
    main()
