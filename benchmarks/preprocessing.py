# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the time between a camera's message and the network's pixels goes, on one thread.

    python benchmarks/preprocessing.py [--rounds 30]

Steps: the message's bytes to RGB (by encoding), the resize to 224 x 224 (by what checkpoints ask
for; Pillow and the native kernel in turn, their bits compared first), and the normalised pixels
(one encoder, and two as in OpenVLA).  Milliseconds are the thread's processor time.
"""
import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from sqap_vla_ros.bench.tables import conditions
from sqap_vla_ros.bench.timing import CLOCKS, in_turn, paired_ratio
from sqap_vla_ros.geometry.image_presets import PRESETS
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.inference.inputs import ModelInputs
from sqap_vla_ros.ingest.images import BYTES_PER_PIXEL, image_to_rgb
from sqap_vla_ros.kernels.resample import fit
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.timing import percentiles
import torch

RESULTS = Path(__file__).resolve().parent / 'results' / 'preprocessing.json'
SIZES = (480, 640), (720, 1280)
ENCODINGS = 'rgb8', 'bgr8', 'yuyv'
TRANSFORMS = {
    'bicubic (our own, OpenVLA, CogACT)': {}, 'bilinear': {'interpolation': 'bilinear'},
    'lanczos': {'interpolation': 'lanczos'},
    'bicubic, turned by 180 degrees': {'rotate_180': True},
    'bicubic, mirrored': {'mirror': True}, 'bicubic, 0.9 of the area': {'crop_area': 0.9},
    'bicubic, letterbox': {'strategy': 'letterbox'},
    'bicubic, resize-crop': {'strategy': 'resize-crop'},
    'preset libero (OpenVLA client: JPEG, lanczos, crop)': PRESETS['libero']}
NORMALISED = {'one encoder': ('words', 3), 'two encoders': ('openvla', 6)}


def times(functions: dict, rounds: int) -> dict[str, np.ndarray]:
    """Return the milliseconds [rounds] of functions without arguments, run in turn once warm."""
    clock = CLOCKS['cpu']

    def lap(side):
        start = clock()
        side.call()
        return (clock() - start) * 1e3
    sides = [SimpleNamespace(name=name, call=call) for name, call in functions.items()]
    for side in sides:
        side.call()
    return {name: np.array(found) for name, found in in_turn(sides, rounds, 30, lap).items()}


def decoding(height: int, width: int, rounds: int) -> dict:
    """Return percentiles of the way from a message to RGB, by encoding."""
    random = np.random.default_rng(0)
    messages = {encoding: SimpleNamespace(
        encoding=encoding, height=height, width=width, step=width * BYTES_PER_PIXEL[encoding],
        data=random.bytes(height * width * BYTES_PER_PIXEL[encoding])) for encoding in ENCODINGS}
    found = times({name: lambda message=message: image_to_rgb(message)
                   for name, message in messages.items()}, rounds)
    return {name: percentiles(column) for name, column in found.items()}


def resizing(height: int, width: int, rounds: int) -> dict:
    """Return percentiles and ratios of both ways to resize, by transform; compare their bits."""
    image, rows = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8), {}
    for name, options in TRANSFORMS.items():
        transform = ImageTransform((224, 224), **options)
        if not np.array_equal(fit(transform, image), transform.apply(image)):
            raise SystemExit(f'{name}: the native kernel has other bits than Pillow')
        both = times({'plain': lambda: transform.apply(image),
                      'native': lambda: fit(transform, image)}, rounds)
        rows[name] = {**{side: percentiles(column) for side, column in both.items()},
                      'faster': paired_ratio(both['plain'], both['native'])}
    return rows


@torch.inference_mode()
def normalising(rounds: int) -> dict:
    """Return percentiles of what makes normalised pixels of a resized image."""
    small = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    made = {}
    for name, (prompt, channels) in NORMALISED.items():
        config = SimpleNamespace(
            prompt=prompt, pixel_mean=(0.5,) * channels, pixel_std=(0.5,) * channels,
            state_names=(), image={}, model=SimpleNamespace(
                head=None, state_dim=0,
                vision=SimpleNamespace(channels=channels, image_size=224)))
        made[name] = ModelInputs(config, {}, None)
    found = times({name: lambda inputs=inputs: inputs.normalised(small)
                   for name, inputs in made.items()}, rounds)
    return {name: percentiles(column) for name, column in found.items()}


def markdown(result: dict) -> str:
    """Return the table for people."""
    lines = ['| image | step | Pillow or numpy, p50 / p95 ms | native | ratio |', '|---' * 5 + '|']
    for size, steps in result['sizes'].items():
        lines += [f'| {size} | {name} to RGB | {_cell(column)} | | |'
                  for name, column in steps['decode'].items()]
        for name, row in steps['resize'].items():
            ratio = row['faster']
            lines.append(
                f'| {size} | {name} | {_cell(row["plain"])} | {_cell(row["native"])} | '
                f'{ratio["ratio"]:.1f}x ({ratio["low"]:.1f} .. {ratio["high"]:.1f}) |')
    lines += [f'| 224 x 224 | normalise, {name} | {_cell(column)} | | |'
              for name, column in result['normalise'].items()]
    return '\n'.join(lines)


def _cell(column: dict) -> str:
    return f'{column["p50"]:.2f} / {column["p95"]:.2f}'


def main():
    """Time all steps, print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--rounds', type=int, default=30, help='rounds of a step, at least 5')
    parser.add_argument('--out', type=Path, default=RESULTS, help='the file to write')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    result = {'machine': conditions(), 'rounds': args.rounds, 'sizes': {}}
    for height, width in SIZES:
        with Progress(f'timing {width} x {height}'):
            result['sizes'][f'{width} x {height}'] = {
                'decode': decoding(height, width, args.rounds),
                'resize': resizing(height, width, args.rounds)}
    result['normalise'] = normalising(args.rounds)
    print(markdown(result))
    args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
