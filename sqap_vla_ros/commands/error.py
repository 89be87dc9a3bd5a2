# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla error`: see action_error/run.py."""

from __future__ import annotations

from pathlib import Path

from .options import add_policy_arguments, CHECKPOINT, policy_options
from .sample_options import (
    add_sample_arguments, check_sample_arguments, samples_of, SOURCES)
from ..action_error.options import ErrorOptions, VARIANTS
from ..errors import ConfigError
from ..support.progress import Progress
from ..support.resources import checkpoint_path

POLICY = ('unnorm_key', 'tokenizer', 'device', 'dtype', 'vision_dtype', 'int8', 'threads',
          'ddim_steps', 'guidance', 'execute_steps', 'prune_layer', 'preserve_top_k', 'protect',
          'dropped', 'camera_budget', 'radius_patches', 'seed')


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla error`."""
    from ..evaluate.plan import VARIANT_NAMES
    add, default = parser.add_argument, ErrorOptions(Path(), '')
    add('checkpoint', help='the original, in full precision: ' + CHECKPOINT)
    add('--samples', required=True, metavar='SOURCE',
        help='recorded observations that neither training nor calibration has seen: '
        + SOURCES)
    add('--frames', type=int, default=default.frames, metavar='N',
        help='frames to take of --samples, evenly chosen, at least 1')
    add('--variants', default=','.join(VARIANTS), metavar='NAMES',
        help=f'what is compared with full precision: {VARIANT_NAMES}')
    add('--keep', default='', metavar='NUMBERS',
        help='numbers of visual tokens that each pruning variant keeps, such as 154,102,64; each '
        'from 1 to as many as the checkpoint has; 60, 40 and 25 per cent of them unless given')
    add('--quantized', metavar='NAME_OR_DIR',
        help='a converted checkpoint of the original, whose weights the variants of 4-bit '
        'weights take; rounded to nearest at load unless given')
    add('--calibrate', default='', metavar='NUMBERS',
        help='measure, too, how the error falls with the frames that GPTQ learns from: numbers of '
        'frames, each at least 1, such as 2,4,8,16,32,64; needs --calibration')
    add('--calibration', metavar='SOURCE',
        help='recorded observations for --calibrate, others than --samples')
    add('--out', type=Path, metavar='DIR',
        help='a new directory for error.json and report.html')
    add('--record', action='store_true',
        help='with --vision-dtype int8: write what the encoder in 8 bits does to the actions '
        'beside the weights of CHECKPOINT and --quantized, for vision_dtype auto to go by')
    add_sample_arguments(parser, '--samples or --calibration')
    add_policy_arguments(parser, *POLICY)


def run(args) -> int:
    """Measure, print the tables, and write what was asked for."""
    from ..action_error.write import check_out, write_results
    options = error_options(args)
    check_out(args.out)
    check_sample_arguments(args, {'--samples': args.samples, '--calibration': args.calibration})
    with Progress('loading PyTorch'):
        from ..action_error.curve import measured_curve
        from ..action_error.record import check_interval, record, recorded
        from ..action_error.run import measure
        from ..action_error.table import curve_text, tables_text

    def read(place, source, count, flag):
        return samples_of(args, place, source, count, flag, protects=True)
    if args.record:
        measured = measure(recorded(options), read, check_interval)
    else:
        measured = measure(options, read)
    print(tables_text(measured), flush=True)
    if args.out:
        write_results(measured, args.out)
    if args.record:
        print(record(measured), flush=True)
    curve = measured_curve(measured)
    if curve:
        print(curve_text(curve))
    if args.out:
        if curve:
            write_results(measured, args.out, curve)
        print(f'{args.out}/report.html')
    return 0


def error_options(args) -> ErrorOptions:
    """Return what the command line asks for; raise ConfigError where it makes no sense."""
    return ErrorOptions(
        checkpoint_path(args.checkpoint), args.samples,
        tuple(filter(None, args.variants.split(','))), numbers(args.keep, '--keep', '154,102'),
        args.quantized and checkpoint_path(args.quantized), policy_options(args, keep=None),
        args.frames, numbers(args.calibrate, '--calibrate', '2,4,8,16'), args.calibration)


def numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    """Return the whole numbers of a list; raise ConfigError if it holds something else."""
    try:
        return tuple(int(word) for word in text.split(',') if word.strip())
    except ValueError as error:
        raise ConfigError(f'{option} {text}: give whole numbers, such as {example}') from error
