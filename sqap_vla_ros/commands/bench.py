# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Time SQAP against the plain network at its fastest, stage by stage: `sqap-vla bench`.

`sqap-vla bench safety` tries the safety gate instead, see bench_safety.py.

Both sides run in turn in one process, on models with random weights.  `backbone` is the
decoder's prefill (prefill_1 before the selection, prefill_2 behind it), `head` what follows;
with --head tokens that is the decoding of the action tokens.  --head oft is OpenVLA-OFT: two
images and a state, and a whole chunk from one pass in which every token sees every token.
"""

from __future__ import annotations

import dataclasses
from itertools import product
import json
from pathlib import Path

from .bench_safety import check_outputs, run_safety
from ..errors import ConfigError
from ..numerics.precision import AUTO, parse_precision, PRECISIONS
from ..support.files import save_file
from ..support.machine import has_fast_bfloat16, machine
from ..support.progress import Progress
from ..support.validation import unknown_names

VISIONS = 'fp', 'bfloat16', 'int8', 'w8a8', 'w4a8'
# bytes that a weight of so many bits takes, with scales, in the kernels that need most
_BYTES = {4: 0.6, 8: 4.0, 16: 4.0}


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla bench`."""
    add = parser.add_argument
    add('what', nargs='?', default='speed', choices=('speed', 'safety'),
        help='speed of a policy, or whether anything unsafe passes the safety gate')
    add('--inputs', type=int, default=1_000_000, metavar='N',
        help='safety: generated inputs, at least 1')
    add('--seed', type=int, default=0, metavar='N', help='safety: other inputs, at least 0')
    add('--processes', type=int, default=0, metavar='N',
        help='safety: processes, at least 1; 0 for one a core')
    add('--sizes', nargs='+', default=['bundled', 'w512', 'smollm2-360m'], metavar='SIZE',
        help='bundled, w256, w512, smollm2-135m, smollm2-360m, tinyllama-1.1b; or all of these; '
        'openvla-7b, which takes 30 GiB')
    add('--precision', default='w4a4', metavar='NAMES',
        help='of the decoder on the quantized sides, timed in turn: one or, with commas between '
        f'them, several of {", ".join(PRECISIONS)}; auto for what that stands for here')
    add('--keep', type=int, metavar='N',
        help='visual tokens that SQAP keeps, from 1 to as many as the size has; by default 154 of '
        '256, and as large a share of two images')
    add('--vision', default='fp', metavar='NAMES',
        help='of the encoder on the quantized sides, timed in turn: one or, with commas between '
        f'them, several of {", ".join(VISIONS)}; fp is float32')
    add('--head', default='chunk', choices=('chunk', 'tokens', 'diffusion', 'oft'),
        help='of all sizes but the bundled one; oft: OpenVLA-OFT with two images and a state')
    add('--threads', type=int, default=1, metavar='N', help='torch threads, at least 1')
    add('--rounds', type=int, default=50, metavar='N', help='most rounds a size, at least 1')
    add('--seconds', type=float, default=30.0, metavar='S',
        help='most seconds a size; at least five rounds are run, with 0 no more')
    add('--clock', default='wall', choices=('wall', 'cpu'),
        help="cpu: this thread's processor time, for one thread on a busy machine")
    add('--bfloat16', default='auto', nargs='?', const='on', choices=('auto', 'on', 'off'),
        help='time plain bfloat16 as well; auto: where the processor multiplies it (AMX, '
        'AVX512-BF16), as a sensible user would take it there')
    add('--all-rows', action='store_true',
        help='time every side a second time with a last block that computes all rows, not only '
        'those that the head reads')
    add('--curves', action='store_true', help='growth with kept tokens, layers and width')
    add('--out', type=Path, metavar='FILE.json', help='write all figures')
    add('--png', type=Path, metavar='FILE.png',
        help='draw the growth curves, or how near to the limits commands are (needs matplotlib)')


def run(args) -> int:
    """Measure, print tables, and write what was asked for."""
    if args.what == 'safety':
        return run_safety(args)
    with Progress('loading PyTorch'):
        import torch

        from ..bench.growth import growth
        from ..bench.sizes import KEEP, size_config, SIZES
        from ..bench.tables import conditions, curves_png
    sizes = SIZES if args.sizes == ['all'] else args.sizes
    _check(args, sizes)
    torch.set_num_threads(args.threads)
    options = {name: getattr(args, name) for name in (
        'precision', 'keep', 'vision', 'head', 'threads', 'rounds', 'seconds', 'clock')}
    results = {'machine': conditions(), 'options': options, 'sizes': {}}
    print(results['machine'], flush=True)
    for name in sizes:
        results['sizes'][name] = _measure(name, args)
    if args.curves or args.png:
        with Progress('growth with tokens, layers and width'):
            results['curves'] = growth(
                next(iter(_precisions(size_config(sizes[0], args.head), args))),
                args.keep or KEEP, args.rounds, args.seconds / 3, args.clock)
        for axis, sides in results['curves'].items():
            print(f'backbone p50 in ms by {axis}: {sides}')
    if args.png:
        save_file(args.png, curves_png(results['curves']), '--png')
    if args.out:
        save_file(args.out, (json.dumps(results, indent=1) + '\n').encode(), '--out')
    return 0


def _check(args, sizes) -> None:
    """Raise ConfigError for options that only fail after minutes of work."""
    from ..bench.sizes import parameters, size_config
    if args.clock == 'cpu' and args.threads != 1:
        raise ConfigError('--clock cpu sees one thread only: use it with --threads 1')
    check_outputs(args)
    for name in ('threads', 'rounds'):
        if getattr(args, name) < 1:
            raise ConfigError(f'--{name} is {getattr(args, name)}, expected at least 1')
    if not args.seconds >= 0:
        raise ConfigError(f'--seconds is {args.seconds}, expected a number from 0')
    for name in args.precision.split(','):
        if name != AUTO:
            parse_precision(name)
    if unknown := [name for name in args.vision.split(',') if name not in VISIONS]:
        raise ConfigError(f'--vision {args.vision}: expected {", ".join(VISIONS)}, not '
                          f'{unknown_names(unknown, VISIONS)}')
    for option in ('precision', 'vision'):
        names = getattr(args, option).split(',')
        if len(set(names)) < len(names):
            raise ConfigError(f'--{option} {getattr(args, option)} names one twice: leave it out')
    for name in sizes:
        config = size_config(name, args.head)
        visual = config.num_visual
        if args.keep is not None and not 1 <= args.keep <= visual:
            raise ConfigError(f'--keep must be in 1..{visual} visual tokens, got {args.keep}')
        _check_memory(name, parameters(config),
                      [*_precisions(config, args)] * len(args.vision.split(',')),
                      times_bfloat16(args.bfloat16))


def _precisions(config, args) -> dict[str, str]:
    """Return {precision: why auto chose it, else ''} of the quantized sides of a size."""
    from ..inference.device import find_device
    from ..loading.machines import auto_precision
    names = {}
    for name in args.precision.split(','):
        choice = auto_precision(config, {}, find_device('cpu')) if name == AUTO else None
        names[choice.precision if choice else name] = str(choice or '')
    return names


def _check_memory(name: str, count: int, precisions, with_bfloat16: bool) -> None:
    """Raise ConfigError where a size's plain sides and the quantized ones do not fit."""
    quantized = sum(_BYTES[parse_precision(name).weight_bits] for name in precisions)
    needed = count * (4 + 2 * with_bfloat16 + quantized)
    needed, there = needed / 2 ** 30, machine()['memory_gib']
    if needed > there:
        raise ConfigError(f'--sizes {name} takes {needed:.1f} GiB of memory, plain and '
                          f'quantized, and this machine has {there:.1f}: take a smaller size, or '
                          'benchmarks/gpu/run.sh on a GPU')


def _measure(name: str, args) -> dict:
    """Time all sides of one size, print its table and return the figures."""
    from ..bench.sizes import size_config
    from ..bench.tables import compare, describe, fastest_plain, table
    from ..bench.timing import time_sides
    with Progress(f'{name}: making the models') as progress:
        config = size_config(name, args.head)
        precisions = _precisions(config, args)
        sides = _sides(config, args, precisions)
        progress.show('', f'{name}: timing {len(sides)} sides in turn')
        times = time_sides(sides, args.rounds, args.seconds, args.clock)
        result = compare(times, fastest_plain(times))
    for choice in filter(None, precisions.values()):
        print(f'precision {choice}')
    facts = describe(config, args.vision)
    print(table(name, facts, result), flush=True)
    return {**facts, **result}


def times_bfloat16(choice: str) -> bool:
    """Return whether plain bfloat16 is a side: 'on', or 'auto' on a processor that has it."""
    return choice == 'on' or choice == 'auto' and has_fast_bfloat16()


def _sides(config, args, precisions) -> list:
    """Return the models to time, each with its inputs."""
    import torch

    from ..bench.sides import float32_model, Inputs, quantized_model, random_model, Side
    from ..bench.sizes import usual_keep
    from ..bench.tables import ALL_ROWS
    from ..tokens.choice import SelectionConfig
    inputs, keep = Inputs.random(config), args.keep or usual_keep(config)
    plain, pruned = float32_model(config), SelectionConfig(keep=keep, ties='even')
    sides = [Side('float32', plain, inputs), Side(f'float32+{keep}', plain, inputs, pruned)]
    visions = args.vision.split(',')
    for name, vision in product(precisions, visions):
        quantized, end = quantized_model(config, name, vision), f', {vision}' * bool(visions[1:])
        sides += [Side(name + end, quantized, inputs),
                  Side(f'sqap {name}+{keep}{end}', quantized, inputs, pruned)]
    if times_bfloat16(args.bfloat16):
        sides.append(Side('bfloat16', random_model(config).bfloat16(),
                          inputs.to(torch.bfloat16)))
    if args.all_rows:
        sides += [dataclasses.replace(side, name=side.name + ALL_ROWS, all_rows=True)
                  for side in sides]
    return sides
