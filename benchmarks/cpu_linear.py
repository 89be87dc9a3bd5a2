# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Time quantized linear layers against plain float32 ones on this CPU, in pairs in one run.

    python benchmarks/cpu_linear.py --rows 64 178 300 --threads 1 2 --out FILE.json

Every call of one side is followed by one of the other, so that both see the same load.  A
quantized time includes the online Hadamard, the activation scales and the rounding.  `block`
rows are the seven layers of a decoder block, its online Hadamards in front of o_proj and
down_proj.  float32 is the faster of torch's own linear (MKL) and oneDNN's.  GOP/s count two
operations a multiplication; docs/cpu_speed.md says what the processor can do at most.
"""
import argparse
import json
import logging
from pathlib import Path
import time

from sqap_vla_ros.bench.tables import conditions
from sqap_vla_ros.kernels.float_layers import PlainLinear
from sqap_vla_ros.quant import QuantLinear, together
from sqap_vla_ros.support.timing import percentiles
import torch
from torch import nn
from torch.nn import functional as F

SHAPES = ((256, 256), (256, 1024), (1024, 256), (512, 512), (2048, 2048), (2048, 8192))
BLOCKS = ((256, 1024), (512, 2048), (2048, 8192))


def paired_times(functions: dict, seconds: float) -> dict:
    """Return milliseconds a call (p50, p95, best) by name; the calls alternate."""
    times = {name: [] for name in functions}
    for function in functions.values():
        function()
        function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: {**percentiles(ms), 'best': min(ms), 'calls': len(ms)}
            for name, ms in times.items()}


def layer_functions(inputs: int, outputs: int, rows: int, precision: str) -> dict:
    """Return the sides for one layer: plain, and quantized with and without Hadamard."""
    linear, x = nn.Linear(inputs, outputs, bias=False), torch.randn(rows, inputs)
    plain = PlainLinear(linear, rows)
    functions = {'float32': lambda: plain(x)}
    block = inputs & -inputs
    for name, size in ((precision, 1), (f'{precision}+hadamard', block)):
        layer = QuantLinear.from_linear(linear, precision, hadamard_block=size)
        functions[name] = lambda layer=layer: layer(x)
    return functions


class Block(nn.Module):
    """The linear layers of one decoder block, without the attention between."""

    def __init__(self, width: int, inner: int, rows: int, precision: str | None):
        """Make float layers, or quantized ones with their online Hadamards."""
        super().__init__()

        def layer(inputs, outputs, block=1):
            linear = nn.Linear(inputs, outputs, bias=False)
            return PlainLinear(linear, rows) if precision is None else QuantLinear.from_linear(
                linear, precision, hadamard_block=block)
        self.qkv = nn.ModuleList(layer(width, width) for _ in range(3))
        self.o = layer(width, width, width & -width)
        self.gate_up = nn.ModuleList(layer(width, inner) for _ in range(2))
        self.down = layer(inner, width, inner & -inner)

    def forward(self, x):
        """Run all seven layers on x [rows, width]."""
        _, _, v = together(self.qkv, x)
        gate, up = together(self.gate_up, self.o(v.contiguous()))
        return self.down(F.silu(gate) * up)


def block_functions(width: int, inner: int, rows: int, precision: str) -> dict:
    """Return both sides for the layers of a decoder block."""
    x = torch.randn(rows, width)
    plain, quantized = (Block(width, inner, rows, kind) for kind in (None, precision))
    return {'float32': lambda: plain(x), precision: lambda: quantized(x)}


def operations(kind: str, shape, rows: int) -> int:
    """Return the operations of one call."""
    width, inner = shape
    weights = width * inner if kind == 'layer' else width * (4 * width + 3 * inner)
    return 2 * rows * weights


def row(kind: str, shape, rows: int, threads: int, times: dict) -> dict:
    """Print one line and return it as a dictionary."""
    count = operations(kind, shape, rows)
    ratios = {name: {which: times['float32'][which] / t[which] for which in ('p50', 'best')}
              for name, t in times.items() if name != 'float32'}
    cells = ', '.join(f'{name} {t["p50"]:.3f}/{t["p95"]:.3f} ({count / t["p50"] / 1e6:.0f} GOP/s)'
                      for name, t in times.items())
    gains = ', '.join(f'{name} {r["p50"]:.2f}x ({r["best"]:.2f}x)' for name, r in ratios.items())
    print(f'{kind} {shape[0]}x{shape[1]}, {rows} rows, {threads} threads: {cells} ms | '
          f'faster than float32: {gains}', flush=True)
    return {'kind': kind, 'shape': list(shape), 'rows': rows, 'threads': threads,
            'times_ms': times, 'ratio': ratios}


@torch.inference_mode()
def main() -> None:
    """Measure everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--rows', type=int, nargs='+', default=[64, 178, 300])
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--precision', default='w4a4')
    parser.add_argument('--seconds', type=float, default=0.3, help='per line')
    parser.add_argument('--largest', type=int, default=8192, help='skip wider layers')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    results = {'machine': conditions(), 'precision': args.precision, 'rows': []}
    print(results['machine'], 'times p50/p95; ratios by p50 and (by the best call)', sep='\n')
    for threads in args.threads:
        torch.set_num_threads(threads)
        for kind, shapes, make in (('layer', SHAPES, layer_functions),
                                   ('block', BLOCKS, block_functions)):
            for shape in (shape for shape in shapes if max(shape) <= args.largest):
                for rows in args.rows:
                    times = paired_times(make(*shape, rows, args.precision), args.seconds)
                    results['rows'].append(row(kind, shape, rows, threads, times))
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
