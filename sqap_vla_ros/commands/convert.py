# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The options and the progress bar of `sqap-vla convert`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
import time

from .options import add_policy_arguments, CHECKPOINT, policy_options
from .sample_options import (
    add_sample_arguments, check_sample_arguments, samples_of, SOURCES)
from ..errors import ConfigError
from ..numerics.precision import PRECISIONS
from ..support.progress import Progress
from ..support.resources import checkpoint_path

_GIB = 2 ** 30
ROUNDINGS = 'gptq', 'nearest'
SAMPLES, HELD_OUT = 64, 16


class _Gone(argparse.Action):
    """An option that is no more, which names the ones that took its place."""

    def __init__(self, **arguments):
        super().__init__(**{**arguments, 'nargs': '?'})

    def __call__(self, parser, namespace, values, option_string=None):
        parser.error(f'there is no option {option_string} any more: --calibration PLACE rounds by '
                     'GPTQ on what it holds, unless --rounding nearest stands beside it')


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla convert`."""
    add = parser.add_argument
    add('source', help=CHECKPOINT)
    add('out', help='directory to make; OUT.partial beside it holds an unfinished one')
    add('--precision', default='w4a8', metavar='NAME',
        help='of the decoder: ' + ', '.join(PRECISIONS)
        + '; what w4a8, w4a4t8 or w4a4 make loads at each of the three')
    add('--no-rotate', action='store_true', help='leave the Hadamard rotations out')
    add('--overrides', default='', metavar='TEXT',
        help="other precisions by layer, such as 'o_proj,down_proj: w8a8; layers.0: fp'")
    add('--qk-bits', type=int, default=16, choices=(16, 8, 4),
        help='bits of Q and K in attention, 16 for floats')
    add('--group-size', type=int, default=128, metavar='N',
        help='input channels that share a weight scale at W4A16, a power of two from 16 on; 0 for '
        'all')
    add('--per-tensor', action='store_true',
        help='one activation scale for all tokens instead of one for each')
    add('--calibration', metavar='PLACE',
        help=f'what the robot sees, to round the weights by: {SOURCES}')
    add('--rounding', choices=ROUNDINGS, metavar='NAME',
        help='of the weights: gptq, which learns from --calibration, or nearest; gptq where there '
        'is a calibration, else nearest')
    add('--samples', type=int, metavar='N',
        help=f'calibration samples to take, at least 1; {SAMPLES} unless given')
    add('--held-out', type=int, metavar='N',
        help='further samples on which the action error is measured, at least 0; '
        f'{HELD_OUT} unless given, half of what is read at most, a quarter where there is less '
        'than both take')
    add('--gptq', action=_Gone, help=argparse.SUPPRESS)
    add('--float-type', default='bfloat16', choices=('bfloat16', 'float16', 'float32'),
        help='of what stays in floats')
    add('--seed', type=int, default=0, metavar='N', help='of the random rotation, at least 0')
    add_policy_arguments(parser, 'int8', 'tokenizer', 'unnorm_key', 'threads')
    add_sample_arguments(parser, '--calibration')


def run(args) -> int:
    """Convert, with a progress bar, and print what was made and the peak memory."""
    from ..support.memory import PeakMemory
    started = time.monotonic()
    with Progress('reading the checkpoint'):
        import torch
        if args.threads:
            torch.set_num_threads(args.threads)
        task = make_task(args)
    task, held_out = _calibrated(task, args)
    _print_plan(task)
    with PeakMemory() as peak:
        size = _convert(task, args.out)
    print(f'{args.out}: {size / 2**20:.1f} MiB of weights in {time.monotonic() - started:.0f} s; '
          f'peak memory {peak.anonymous / _GIB:.2f} GiB of its own, '
          f'{peak.resident / _GIB:.2f} GiB with pages of mapped files')
    if held_out is not None:
        _print_errors(task, args.out, held_out)
    print(f'look at it with `sqap-vla info {args.out}`')
    return 0


def make_task(args):
    """
    Return the Task that the options describe, without a calibration.

    Raises ConfigError where they don't fit.
    """
    from ..convert.conversion import Task
    from ..formats import open_checkpoint
    from ..quant import parse_overrides, QuantScheme
    if args.rounding == 'gptq' and not args.calibration:
        raise ConfigError('--rounding gptq learns from what the robot sees: name some by '
                          '--calibration PLACE (see docs/convert.md)')
    _check_counts(args)
    if args.precision == 'auto':
        raise ConfigError('--precision auto chooses when a checkpoint is loaded, not when it is '
                          'converted: take w4a8, which loads at w4a4t8 and w4a4 too')
    check_sample_arguments(args, {'--calibration': args.calibration})
    options = policy_options(args)
    overrides = {**parse_overrides(args.overrides), **dict.fromkeys(options.int8, 'w8a8')}
    scheme = QuantScheme(
        args.precision, not args.no_rotate, overrides, args.qk_bits, not args.per_tensor,
        args.group_size, args.seed)
    source = open_checkpoint(checkpoint_path(args.source), options.tokenizer)
    if options.unnorm_key or source.config.unnorm_key or len(source.norm_stats) == 1:
        source = source.with_key(options.unnorm_key)
    source.check_driving()
    source = source.for_keeping()
    if args.calibration and scheme.precision == 'fp' and not overrides:
        raise ConfigError('--calibration serves to round weights, and --precision fp leaves them '
                          'as they are: leave one of both out')
    return Task(source, scheme, args.float_type)


def _counts(args) -> tuple[int, int]:
    """Return how many samples are learnt from, and held out."""
    return (SAMPLES if args.samples is None else args.samples,
            HELD_OUT if args.held_out is None else args.held_out)


def _check_counts(args) -> None:
    samples, held_out = _counts(args)
    given = [f'--{name.replace("_", "-")}' for name in ('samples', 'held_out')
             if getattr(args, name) is not None]
    if given and not args.calibration:
        raise ConfigError(f'{" and ".join(given)} without a calibration: name what the robot sees '
                          'by --calibration PLACE (see docs/convert.md)')
    if args.calibration and min(samples, held_out + 1) < 1:
        raise ConfigError(f'--samples is {samples} and --held-out {held_out}, expected at least 1 '
                          'and 0')


def _calibrated(task, args):
    """Return (the Task with its calibration, the Samples that are held out), None for none."""
    from ..samples.doubts import check_samples, doubts, few
    if not args.calibration:
        return task, None
    samples, held_out = _counts(args)
    found = samples_of(args, args.calibration, task.source, samples + held_out, '--calibration')
    check_samples(found, task.source)
    spare = max(len(found.samples) // 4, len(found.samples) - samples)
    learnt, held = found.split(min(held_out, spare))
    learnt = learnt.thinned(samples)
    if args.rounding == 'nearest':
        learnt, held = None, found
    print(f'{found.name}: {found.source}, {len(found.samples)} of {found.total} samples, of '
          f'{len(found.episodes)} episodes: ' + (
              'nothing is learnt from them' if learnt is None else
              f'{len(learnt.samples)} to round by, {len(held.samples)} held out'))
    too_few = few(learnt, task.source) if learnt else ''
    for note in filter(None, (*found.notes, *doubts(found, task.source), too_few)):
        print(f'note: {note}')
    return replace(task, calibration=learnt), held


def _print_errors(task, out, held_out) -> None:
    from ..convert.measured import lack_of_memory, measured
    if not held_out.samples:
        print('the action error was not measured: no samples were held out for it')
        return
    lack = lack_of_memory(task)
    if lack:
        print(lack)
        return
    found = measured(task, out, held_out)
    print(found.in_words())
    for doubt in found.doubts():
        print(f'note: {doubt}')


def _print_plan(task) -> None:
    source, scheme = task.source, task.scheme
    size = sum(file.stat().st_size for file in source.tensors.files)
    overrides = ''.join(f', {name} {precision}' for name, precision in scheme.overrides.items())
    print(f'{source.path}: {source.family}, {size / _GIB:.2f} GiB in {len(source.tensors.files)} '
          f'files -> {scheme.precision}{overrides}, '
          f'{"with" if scheme.rotate else "without"} rotations, '
          f'{"GPTQ" if task.calibration else "rounded to nearest"}', flush=True)


def _convert(task, out) -> int:
    """Convert under a progress bar that counts the original's bytes."""
    from ..convert.conversion import convert
    from ..formats.tensor_file import tensor_bytes
    tensors = task.source.tensors
    total = sum(tensor_bytes(tensors.dtypes[name], shape)
                for name, shape in tensors.shapes.items())
    with Progress('convert', total=total, unit='B', scaled=True) as progress:
        try:
            return convert(task, Path(out), lambda unit, size: progress.advance(size, unit.name),
                           progress.write)
        except KeyboardInterrupt:
            progress.write('interrupted: the same command goes on where this one stopped; '
                           f'{out}.partial holds what is done')
            raise
