# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How much nearer to recorded actions a policy is with the pictures than with black ones.

    sqap-vla collect --out own --episodes 75 --seed 90000
    sqap-vla collect --out aside --episodes 20 --seed 73000 --camera-pose 0.5 0.9 0.7 0.5 0 0.1
    python benchmarks/known_pictures.py own aside --out known_pictures.json

The committed file has `own` as held_out, and a moved camera and more objects as docs/pruning.md
collects them, too.

By that `sqap-vla convert` and `error` tell pictures of another camera: LOOKS of samples/doubts.py
is their limit.  Of each folder of shards: both errors (-1 .. 1, executed rows, full precision),
their ratio, and its spread over draws of as many samples as convert asks about.
"""
import argparse
from dataclasses import replace
import json
from pathlib import Path

import numpy as np
from sqap_vla_ros.convert.measured import BLACK
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.answers import action_errors, answers, executed_rows, recorded_actions
from sqap_vla_ros.samples.doubts import LOOKS
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.support.checkpoint_files import digest
from sqap_vla_ros.support.files import save_file
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.resources import named_checkpoint

DRAWS = 2000


def measured(policy, source, folder: Path, frames: int) -> dict:
    """Return the errors of a folder's samples, with their pictures and with black ones."""
    samples = read_samples(folder, frames, source.config)
    recorded, rows = recorded_actions(samples, source.statistics()), executed_rows(source.config)
    black = [replace(each, images=tuple(map(np.zeros_like, each.images)))
             for each in samples.samples]
    with Progress(f'asking about {folder.name}', 2 * len(black), 'inference') as progress:
        seeing, blind = (action_errors(recorded, answers(policy, each, progress.advance), rows)
                         for each in (samples.samples, black))
    rng = np.random.default_rng(0)
    draws = [rng.choice(len(black), min(BLACK, len(black)), replace=False) for _ in range(DRAWS)]
    ratios = [seeing[draw].mean() / blind[draw].mean() for draw in draws]
    return {'frames': len(black), 'episodes': len(samples.episodes),
            'seeing': float(seeing.mean()), 'blind': float(blind.mean()),
            'ratio': float(seeing.mean() / blind.mean()),
            f'of {BLACK} frames, 95 %': np.percentile(ratios, (2.5, 97.5)).tolist(),
            'told': float(np.mean(np.array(ratios) > LOOKS))}


def main(arguments=None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('shards', nargs='+', type=Path)
    parser.add_argument('--checkpoint', default='libero_goal')
    parser.add_argument('--frames', type=int, default=64)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args(arguments)
    path = named_checkpoint(args.checkpoint)
    source = open_checkpoint(path).with_key(None)
    policy = load_policy(path, vision_dtype='float32')
    found = {folder.name: measured(policy, source, folder, args.frames)
             for folder in args.shards}
    for name, each in found.items():
        low, high = each[f'of {BLACK} frames, 95 %']
        print(f'{name:20} {each["seeing"]:.3f} seeing, {each["blind"]:.3f} blind: '
              f'{each["ratio"]:.2f} ({low:.2f} .. {high:.2f} of {BLACK} frames), beyond '
              f'{LOOKS:g} in {100 * each["told"]:.0f} % of draws')
    if args.out:
        save_file(args.out, (json.dumps({
            'checkpoint_sha256': digest(path), 'limit': LOOKS, 'folders': found,
            'machine': machine(), 'versions': versions()}, indent=1) + '\n').encode(), '--out')


if __name__ == '__main__':
    main()
