# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A decoder's float32 products by the native kernels against oneDNN's and torch's own.

    python benchmarks/cpu_float_products.py [--sizes bundled smollm2-135m] [--rows 1 6 16 64 280]

Random values, one thread, its processor time.  Each product is called in turn by all three, so
often that a lap takes about a millisecond; ratios are medians over laps with the bootstrap's
95 % interval, above 1 where the native one is faster.  Blocks in one native call rely on it being
at least as fast at every shape (docs/cpu_kernels.md).
"""
import argparse
import json
from pathlib import Path

import numpy as np
from sqap_vla_ros.bench.sizes import size_config
from sqap_vla_ros.bench.tables import conditions
from sqap_vla_ros.bench.timing import CLOCKS, paired_ratio
from sqap_vla_ros.kernels.cpu import onednn_linear
from sqap_vla_ros.kernels.native_float import NativeFloat
from sqap_vla_ros.support.progress import Progress
import torch
from torch.nn import functional as F

RESULTS = Path(__file__).resolve().parent / 'results' / 'cpu_float_products.json'
LAP = 30e6  # multiply-adds, about one millisecond
CALL = 60e3  # as many as what is around a call costs


def shapes(llm) -> list[tuple[int, int]]:
    """Return (outputs, inputs) of a block's layers, each once."""
    width, inner = llm.hidden_size, llm.intermediate_size
    kv_width = llm.num_kv_heads * llm.head_dim
    return list(dict.fromkeys(((width, width), (kv_width, width), (inner, width), (width, inner))))


@torch.inference_mode()
def measure(outputs: int, inputs: int, rows: int, laps: int) -> dict:
    """Return microseconds of the native product, and how much longer the others take."""
    weight, x = torch.randn(outputs, inputs), torch.randn(rows, inputs)
    products = {'native': NativeFloat(weight), 'oneDNN': onednn_linear(weight, rows),
                'torch': lambda x: F.linear(x, weight)}
    calls = max(1, round(LAP / (rows * outputs * inputs + CALL)))
    times = {name: [] for name in products}
    for lap in range(laps + 1):
        for name, product in products.items():
            start = CLOCKS['cpu']()
            for _ in range(calls):
                product(x)
            times[name].append((CLOCKS['cpu']() - start) / calls)
    times = {name: np.array(found[1:]) for name, found in times.items()}
    native = times.pop('native')
    return {'native_us': 1e6 * float(np.median(native)),
            **{name: paired_ratio(found, native) for name, found in times.items()}}


def main():
    """Time all shapes, print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--sizes', nargs='+', default=['bundled', 'smollm2-135m'])
    parser.add_argument('--rows', nargs='+', type=int, default=[1, 6, 16, 64, 280])
    parser.add_argument('--laps', type=int, default=11)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    asked = [(size, *shape, rows) for size in args.sizes
             for shape in shapes(size_config(size).llm) for rows in args.rows]
    found = []
    with Progress('timing float32 products', len(asked)) as progress:
        for size, outputs, inputs, rows in asked:
            found.append({'size': size, 'outputs': outputs, 'inputs': inputs, 'rows': rows,
                          **measure(outputs, inputs, rows, args.laps)})
            progress.advance()
    for row in found:
        print(f'{row["size"]:14} {row["outputs"]:5} x {row["inputs"]:4}, {row["rows"]:4} rows '
              f'{row["native_us"]:9.1f} us', *(
                  f'{name} {row[name]["ratio"]:.2f}x ({row[name]["low"]:.2f} .. '
                  f'{row[name]["high"]:.2f})' for name in ('oneDNN', 'torch')))
    args.out.write_text(json.dumps({'machine': conditions(), 'products': found}, indent=1) + '\n')


if __name__ == '__main__':
    main()
