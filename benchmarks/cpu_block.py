# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the time of a block goes on a CPU: by stage, layer by layer against one native call.

    python benchmarks/cpu_block.py [--sizes bundled w512 smollm2-360m] [--rounds 30] [--clock cpu]
    python benchmarks/cpu_block.py --precision fp --out benchmarks/results/cpu_block_fp.json

Random weights, one thread, all rows of a prefill.  Every round runs the plain block of the decoder
stage by stage, the same block in one native call, both for one token behind a cache of all rows,
and both ways of a block of the vision encoder; then whole inferences, in turn.  Plain float32
layers multiply by oneDNN, as load_policy has them; at fp a third side has the faster of oneDNN's
and torch's product for each shape.  Ratios are medians over rounds with the
bootstrap's 95 % interval.  Floor: the products' operations at the best rate that any of the
block's own products reached on rounded rows, and attention's at the best rate of a float product.
"""
import argparse
import copy
from functools import partial
import json
from pathlib import Path

import numpy as np
from sqap_vla_ros.bench.sides import ENCODERS, fastest_product, Inputs, random_model, Side
from sqap_vla_ros.bench.sizes import sequence_length, size_config, usual_keep
from sqap_vla_ros.bench.tables import conditions
from sqap_vla_ros.bench.timing import CLOCKS, in_turn, paired_ratio, time_sides
from sqap_vla_ros.kernels.attention import attend
from sqap_vla_ros.kernels.float_layers import use_fastest_linears
from sqap_vla_ros.kernels.native_float import NativeFloat
from sqap_vla_ros.model.llama import apply_rotary, LayerCache
from sqap_vla_ros.model.native_blocks import use_native_blocks
from sqap_vla_ros.model.native_vision import use_native_vision
from sqap_vla_ros.quant import prepare_kernels, QuantLinear
from sqap_vla_ros.quant.linear import called, together
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.timing import percentiles
from sqap_vla_ros.tokens.choice import SelectionConfig
import torch
from torch.nn import functional as F

RESULTS = Path(__file__).resolve().parent / 'results' / 'cpu_block.json'
PRODUCTS = 'q k v product', 'output product', 'gate, up product', 'down product'


def by_stage(layer, x, cos, sin, clock) -> dict[str, float]:
    """Run a plain block and return the milliseconds of each of its stages."""
    attention, mlp, laps, last = layer.self_attn, layer.mlp, {}, [clock()]

    def lap(name):
        laps[name] = laps.get(name, 0.0) + (clock() - last[0]) * 1e3
        last[0] = clock()
    y = layer.input_layernorm(x)
    lap('norms')
    q, k, v = (each.unflatten(-1, (-1, cos.shape[1])).transpose(1, 2) for each in together(
        (attention.q_proj, attention.k_proj, attention.v_proj), y))
    lap(PRODUCTS[0])
    q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
    lap('rotary embedding')
    y = attend(q, k, v, True)
    lap('attention')
    y = called(attention.o_proj, y.transpose(1, 2).flatten(2), None)
    lap(PRODUCTS[1])
    x = y + x
    lap('residuals')
    y = layer.post_attention_layernorm(x)
    lap('norms')
    gate, up = together((mlp.gate_proj, mlp.up_proj), y)
    lap(PRODUCTS[2])
    y = F.silu(gate) * up
    lap('SwiGLU')
    y = called(mlp.down_proj, y, None)
    lap(PRODUCTS[3])
    x = x + y
    lap('residuals')
    return {**laps, 'all': sum(laps.values())}


def timed(function, clock) -> dict[str, float]:
    """Return the milliseconds of a call, as a stage by itself."""
    start = clock()
    function()
    return {'all': (clock() - start) * 1e3}


def products(layer) -> list[tuple]:
    """Return (function, inputs, outputs) of each product of a plain block."""
    attention, mlp, found = layer.self_attn, layer.mlp, {}
    for linear in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj,
                   mlp.gate_proj, mlp.up_proj, mlp.down_proj):
        if isinstance(linear, QuantLinear):
            spec = linear.kernel.spec
            found[id(linear.kernel)] = linear.kernel.product, spec.in_features, spec.out_features
        else:
            found[id(linear)] = linear.multiply, linear.in_features, linear.out_features
    return list(found.values())


def floor(config, layer, rows: int, clock) -> dict[str, float]:
    """Return operations, best rates and the least milliseconds of a block."""
    width, best = config.head_dim * config.num_heads, 0.0
    sizes = [inputs * outputs for _, inputs, outputs in products(layer)]
    for (product, inputs, _), size in zip(products(layer), sizes):
        grid = torch.randint(-7, 8, (rows, inputs)).float()
        least = min(timed(lambda: product(grid), clock)['all'] for _ in range(20))
        best = max(best, rows * size / least)
    weight, x = NativeFloat(torch.randn(1024, 256)), torch.randn(rows, 256)
    floats = rows * 256 * 1024 / min(timed(lambda: weight(x), clock)['all'] for _ in range(20))
    if not isinstance(layer.mlp.down_proj, QuantLinear):
        best = max(best, floats)
    both, attention = rows * sum(sizes), rows * (rows + 1) * width
    return {'products_gmac': both / 1e9, 'attention_gmac': attention / 1e9,
            'product_gmac_a_second': best / 1e6, 'float_gmac_a_second': floats / 1e6,
            'floor_ms': both / best + attention / floats}


class Lap:
    """One of several functions that are timed in turn."""

    def __init__(self, name, run):
        self.name, self.run = name, run


def one_token(layer, x, tables, cache) -> None:
    """Run a block on the last of so many tokens, whose cache stays as it is."""
    layer(x[:, -1:], *(table[-1:] for table in tables), cache=cache)
    cache.length -= 1


def cached(layer, x, tables) -> LayerCache:
    """Return a cache that holds all tokens but the last."""
    cache = LayerCache(1)
    layer(x[:, :-1], *(table[:-1] for table in tables), cache=cache)
    return cache


@torch.inference_mode()
def blocks(config, sides: dict, rounds: int, seconds: float, clock) -> dict:
    """Return the stages of a block, and how much faster one call is, of decoder and encoder."""
    model, plain = sides['native'], sides['plain']
    rows, llm = sequence_length(config), config.llm
    x = torch.randn(1, rows, llm.hidden_size)
    cos, sin = (table[:rows] for table in model.llm.rotary(rows, x))
    patches = torch.randn(1, config.vision.grid[0] ** 2, config.vision.width)
    laps = [Lap('plain', partial(by_stage, plain.llm.layers[0], x, cos, sin, clock))]
    for name, side in sides.items():
        layer = side.llm.layers[0]
        runs = {name: partial(layer, x, cos, sin), f'one token, {name}': partial(
            one_token, layer, x, (cos, sin), cached(layer, x, (cos, sin))),
                f'vision, {name}': partial(side.vision.blocks[0], patches)}
        laps += [Lap(each, partial(timed, run, clock)) for each, run in runs.items()
                 if each != 'plain']
    for lap in laps * 2:
        lap.run()
    times = in_turn(laps, rounds, seconds, lambda lap: lap.run())
    columns = {name: {stage: np.array([lap[stage] for lap in found]) for stage in found[0]}
               for name, found in times.items()}
    return {'rows': rows, 'rounds': len(times['plain']),
            'ms': {name: {stage: percentiles(values) for stage, values in found.items()}
                   for name, found in columns.items()},
            'faster': {f'{kind}, {name}': paired_ratio(
                columns[f'{prefix}{name}']['all'], columns[f'{prefix}native']['all'])
                for kind, prefix in (('decoder', ''), ('one token', 'one token, '),
                                     ('vision', 'vision, '))
                for name in sides if name != 'native'},
            **floor(llm, plain.llm.layers[0], rows, clock)}


def inferences(config, model, plain, rounds: int, seconds: float, clock: str) -> dict:
    """Return milliseconds by stage of whole inferences, and how much faster native blocks are."""
    inputs, keep = Inputs.random(config), usual_keep(config)
    times = time_sides([Side(name, side, inputs, SelectionConfig(keep, ties='even'))
                        for name, side in (('plain', plain), ('native', model))],
                       rounds, seconds, clock)
    return {'keep': keep, 'rounds': len(times['plain']['total']),
            'ms': {name: {row: percentiles(values) for row, values in found.items()}
                   for name, found in times.items()},
            'faster': {row: paired_ratio(times['plain'][row], times['native'][row])
                       for row in ('vision', 'backbone', 'total')}}


def encoder(config, model, args) -> dict:
    """Return milliseconds and ratios of an encoder in float32 and in --encoder precisions."""
    inputs, sides = Inputs.random(config), [Side('fp', model, Inputs.random(config))]
    for precision in args.encoder:
        whole = ENCODERS.get(precision)
        other = random_model(config, args.precision, {} if whole else {'vision': precision})
        prepare_kernels(other, rows=sequence_length(config), release=True)
        (whole or use_native_vision)(other)
        use_native_blocks(other.llm)
        use_fastest_linears(other)
        sides.append(Side(precision, other, inputs))
    times = time_sides(sides, args.rounds, args.seconds, args.clock)
    return {'rounds': len(times['fp']['total']),
            'ms': {name: {row: percentiles(values) for row, values in found.items()}
                   for name, found in times.items()},
            'faster': {f'{name}, {row}': paired_ratio(times['fp'][row], times[name][row])
                       for name in args.encoder for row in ('vision', 'total')}}


def measure(size: str, args) -> dict:
    """Return what was found of one size."""
    config = size_config(size)
    model, rows = random_model(config, args.precision), sequence_length(config)
    sides = {'plain': copy.deepcopy(model), 'native': model}
    if args.precision == 'fp':
        sides['plain, products timed'] = copy.deepcopy(model)
        use_fastest_linears(sides['plain, products timed'], rows, fastest_product)
    use_native_vision(model)
    for each in sides.values():
        prepare_kernels(each, rows=rows, release=True)
    use_native_blocks(model.llm)
    for each in sides.values():
        use_fastest_linears(each)
    if args.encoder:
        return {'encoder': encoder(config, model, args)}
    found = {'block': blocks(config, sides, args.rounds, args.seconds, CLOCKS[args.clock])}
    if size not in args.blocks_only:
        found['inference'] = inferences(
            config, model, sides['plain'], args.rounds, args.seconds, args.clock)
    return found


def show(size: str, found: dict) -> None:
    """Print the tables of one size."""
    if 'encoder' in found:
        print(f'\n{size}: an encoder in float32 against others, all tokens')
        for name, faster in found['encoder']['faster'].items():
            print(f'  {name:14} {faster["ratio"]:.2f}x ({faster["low"]:.2f} .. '
                  f'{faster["high"]:.2f})')
        return
    block, whole = found['block'], found.get('inference', {'faster': {}})
    print(f'\n{size}: a decoder block of {block["rows"]} rows, {block["rounds"]} rounds; floor '
          f'{block["floor_ms"]:.2f} ms ({block["products_gmac"]:.3f} G multiply-adds of products '
          f'at {block["product_gmac_a_second"]:.0f} G/s, {block["attention_gmac"]:.3f} of '
          f'attention at {block["float_gmac_a_second"]:.0f} G/s)')
    plain = block['ms']['plain']
    for stage, value in plain.items():
        print(f'  {stage:18} {value["p50"]:8.2f} ms  {value["p50"] / plain["all"]["p50"]:4.0%}')
    for name, found in block['ms'].items():
        print(f'  {name:38} {found["all"]["p50"]:8.2f} ms')
    for name, faster in {**block['faster'], **whole['faster']}.items():
        print(f'  {name:34} {faster["ratio"]:.2f}x ({faster["low"]:.2f} .. {faster["high"]:.2f})')


def main():
    """Time all sizes, print the tables and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--sizes', nargs='+', default=['bundled', 'w512', 'smollm2-360m'])
    parser.add_argument('--blocks-only', nargs='+', default=[], metavar='SIZE',
                        help='sizes of which no whole inference is timed')
    parser.add_argument('--encoder', nargs='+', default=[], metavar='PRECISION',
                        help='time the encoder at these instead, such as w4a8 w8a8 int8 bfloat16')
    parser.add_argument('--precision', default='w4a8')
    parser.add_argument('--rounds', type=int, default=30, help='most rounds of a comparison')
    parser.add_argument('--seconds', type=float, default=30, help='most seconds of one')
    parser.add_argument('--clock', default='cpu', choices=CLOCKS)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {'machine': conditions(), 'clock': args.clock, 'precision': args.precision,
              'sizes': {}}
    for size in args.sizes:
        with Progress(f'timing blocks of {size}, plain and native in turn'):
            result['sizes'][size] = measure(size, args)
        show(size, result['sizes'][size])
        args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
