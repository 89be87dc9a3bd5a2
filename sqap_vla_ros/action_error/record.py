# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Leave what an encoder in 8 bits does beside the weights: `sqap-vla error --record`."""

from __future__ import annotations

from dataclasses import replace

from .asking import AGAIN
from .options import ErrorOptions
from .resampling import LEAST_EPISODES, Resampling
from .run import Measured
from .summary import estimate, rows_of
from ..errors import ConfigError
from ..formats import open_checkpoint
from ..formats.source import Source
from ..kernels import levels, native_reason
from ..kernels.native import best_level
from ..loading.encoder_error import EncoderError, error_file, LARGEST, write_encoder_error
from ..loading.vision_type import INT8
from ..model.native_layers import VARIABLE, wants_native
from ..support.files import check_output

ABOUT_BYTES = 4096


def recorded(options: ErrorOptions) -> ErrorOptions:
    """
    Return the options with the row that is recorded: full precision behind an encoder in 8 bits.

    Raises ConfigError, before any work, where nothing could be recorded.
    """
    if options.policy.vision_dtype != INT8:
        raise ConfigError('--record keeps what an encoder in 8 bits does to the actions, and '
                          f'vision_dtype is {options.policy.vision_dtype}: add --vision-dtype '
                          f'{INT8}')
    if reason := native_reason():
        raise ConfigError(f'--record measures the native kernels, which are not there: {reason}')
    if not wants_native():
        raise ConfigError(f'--record measures blocks in one native call, and {VARIABLE} says '
                          'otherwise: unset it')
    for source in _sources(options):
        check_output(error_file(source), '--record', ABOUT_BYTES)
    variants = options.variants if AGAIN in options.variants else (AGAIN, *options.variants)
    return replace(options, variants=variants)


def record(measured: Measured) -> str:
    """
    Write the error beside the weights, and return what to tell.

    Raises ConfigError where a file cannot be written.
    """
    found = estimate(next(row for row in rows_of(measured.table) if row['name'] == AGAIN)['error'])
    mean, low, high = (round(value, 6) for value in (found.mean, found.low, found.high))
    facts = {'error': mean, 'low': low, 'high': high,
             'frames': len(measured.samples.samples), 'episodes': measured.resampling.episodes}
    files = [str(write_encoder_error(source, **facts)) for source in _sources(measured.options)]
    error = EncoderError(**facts, of='', level=levels.NAMES[best_level()])
    served = [name for name in levels.NAMES[1:] if name != 'amx' and error.holds_for(name)]
    then = f'above {LARGEST}: vision_dtype auto leaves float32'
    if error.is_small:
        then = (f'at most {LARGEST}: measured with {error.level}, so that vision_dtype auto takes '
                f'{INT8} with {", ".join(served)}')
    return f'encoder in 8 bits: error {error}, upper end {then} ({", ".join(files)})'


def check_interval(resampling: Resampling) -> None:
    """Raise ConfigError for too few episodes to record anything."""
    if not resampling.is_enough:
        raise ConfigError(f'--record needs an interval, and samples of {resampling.episodes} '
                          f'episodes give none: expected {LEAST_EPISODES} or more')


def _sources(options: ErrorOptions) -> list[Source]:
    """Return what has this encoder: the original checkpoint, and what was converted of it."""
    return [open_checkpoint(path, options.policy.tokenizer)
            for path in (options.checkpoint, options.quantized) if path]
