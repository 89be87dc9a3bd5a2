# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How near the native kernels' 8-bit products come to what a core can do at most.

    python benchmarks/cpu_byte_products.py [--rows 280] [--shapes 2048x5632 256x1024]
    SQAP_VLA_CPU_LEVEL=avx512_vnni python benchmarks/cpu_byte_products.py

One thread, its processor time: rounding the rows, multiplying and scaling, with weights of 8 bits
and of 4, of layers inputs x outputs, in turn with cpu_peak.cpp, which is compiled for it, since
other tenants slow both alike.  A share is operations a second in the fastest of --laps over the
peak of the level's instructions (of AVX2: pairs of 4-bit weights), the median over rounds.  The
peak is the best of a thousand runs of some 10 us: it takes many laps of 10 ms to find one that no
other tenant slowed.
"""
import argparse
import json
from pathlib import Path
import subprocess
import tempfile
import time

import numpy as np
from sqap_vla_ros.bench.tables import conditions
from sqap_vla_ros.kernels import native
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.levels import NAMES
from sqap_vla_ros.numerics.int4 import quantize_weight
from sqap_vla_ros.support.progress import Progress
import torch

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent / 'sqap_vla_ros' / 'kernels' / 'native'
RESULTS = HERE / 'results' / 'cpu_byte_products.json'
PEAKS = {'avx2': '4-bit', 'avx_vnni': 'AVX-VNNI', 'avx512_vnni': 'AVX-512 VNNI',
         'amx': 'int8, AMX'}
BITS = 8, 4


def compiled(folder: Path) -> Path:
    """Return cpu_peak.cpp, compiled."""
    program = folder / 'cpu_peak'
    subprocess.run(['g++', '-std=c++17', '-O2', f'-I{NATIVE}', HERE / 'cpu_peak.cpp',
                    NATIVE / 'processor.cpp', '-o', program], check=True)
    return program


def peak(program: Path, word: str) -> float:
    """Return the GOP/s that it prints in a line with a word; raise SystemExit without one."""
    told = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    for line in told.splitlines():
        if word in line and 'GOP/s' in line:
            return float(line.split()[-2])
    raise SystemExit(f'cpu_peak.cpp prints nothing with {word!r}:\n{told}')


def rate(layer, x: torch.Tensor, laps: int) -> float:
    """Return the GOP/s of the fastest of some laps, as cpu_peak.cpp does."""
    least = float('inf')
    for _ in range(laps):
        start = time.thread_time()
        layer(x)
        least = min(least, time.thread_time() - start)
    return 2e-9 * len(x) * layer.inputs * layer.outputs / least


def measure(rows: int, shape: str, program: Path, args) -> dict:
    """Return rates and shares of a shape, inputs x outputs."""
    inputs, outputs = map(int, shape.split('x'))
    x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    layers = {f'w{bits}a8': native.NativeKernel(
        LinearSpec(inputs, outputs, bits, 8), *quantize_weight(weight, bits)) for bits in BITS}
    found: dict[str, list[float]] = {name: [] for name in ('peak', *layers)}
    for _ in range(args.rounds):
        found['peak'].append(peak(program, PEAKS[NAMES[native.best_level()]]))
        for name, layer in layers.items():
            found[name].append(rate(layer, x, args.laps))
    peaks = np.array(found['peak'])
    return {'rows': rows, 'shape': shape, 'rounds': args.rounds,
            'gop_s': {name: float(np.median(each)) for name, each in found.items()},
            'share': {name: float(np.median(found[name] / peaks)) for name in layers},
            'least_share': {name: float(np.min(found[name] / peaks)) for name in layers}}


@torch.inference_mode()
def main() -> None:
    """Measure all shapes, print and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', type=int, default=280)
    parser.add_argument('--shapes', nargs='+', metavar='INxOUT',
                        default=['2048x5632', '960x2560', '256x1024'])
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--laps', type=int, default=60)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    level, products = NAMES[native.best_level()], []
    with tempfile.TemporaryDirectory() as folder, Progress(
            'products beside the peak', len(args.shapes)) as progress:
        program = compiled(Path(folder))
        for shape in args.shapes:
            products.append(found := measure(args.rows, shape, program, args))
            progress.advance()
            print(f'{level}, {args.rows} x {shape}: peak {found["gop_s"]["peak"]:.0f} GOP/s; '
                  + ', '.join(f'{name} {found["gop_s"][name]:.0f}, {share:.0%} of it'
                              for name, share in found['share'].items()), flush=True)
    content = json.loads(args.out.read_text()) if args.out.exists() else {}
    content[level] = {'conditions': conditions(), 'products': products}
    args.out.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
