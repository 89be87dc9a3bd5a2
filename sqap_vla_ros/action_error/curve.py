# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How the error falls with the number of frames that GPTQ learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
import tempfile

from .asking import answered
from .columns import differences
from .run import Measured
from ..convert.conversion import convert, Task
from ..evaluate.plan import Row
from ..policy import load_policy
from ..quant import QuantScheme
from ..samples.reading import read_samples
from ..samples.sample import chosen, Samples
from ..support.progress import Progress

FLOATS = 'float32'  # what is not quantized stays as it is: the curve is of GPTQ alone
USUAL = ('w4a4', 'w4a8')


def measured_curve(measured: Measured) -> list[dict]:
    """
    Return one dict a variant and number of frames: name, frames and error (of an Estimate).

    frames 0 is rounding to nearest.  Empty where no curve is asked for.  Raises ConfigError for
    a calibration that cannot be used.
    """
    options = measured.options
    if not options.calibrate:
        return []
    source = measured.source
    samples = read_samples(options.calibration, max(options.calibrate), source.config)
    counts = sorted({min(count, len(samples.samples)) for count in options.calibrate})
    rows = [row for row in measured.found if row.control == 'none' and row.method is None
            and row.precision.startswith('w4') and row.precision != 'w4a16']
    names = tuple(row.precision for row in rows) or USUAL
    with Progress('errors by calibration frames', total=len(names) * (len(counts) + 1),
                  unit='variant') as progress:
        return list(_curve(measured, samples, counts, names, progress))


def _curve(measured, samples: Samples, counts: Sequence[int], names, progress) -> Iterator[dict]:
    for count in (0, *counts):
        with tempfile.TemporaryDirectory() as folder:
            path = measured.options.checkpoint
            if count:
                progress.show(f'converting with {count} frames')
                path = Path(folder) / 'quantized'
                few = tuple(samples.samples[index]
                            for index in chosen(len(samples.samples), count))
                convert(Task(measured.source.for_keeping(), QuantScheme(names[0]), FLOATS,
                             replace(samples, samples=few)), path)
            for name in names:
                yield {'name': name, 'frames': count,
                       'error': _error(measured, path, name)}
                progress.advance(note=f'{name}, {count} frames')


def _error(measured, path: Path, precision: str) -> dict:
    """Return the error of a precision of a checkpoint, as of an Estimate."""
    asked = measured.asked
    policy = load_policy(path, asked.policy, precision=precision, keep=None)
    found = answered(Row(precision), policy, [
        sample.observation(measured.source.config.cameras) for sample in measured.samples.samples],
        asked.known(asked.checkpoint))
    return asdict(measured.resampling.mean(
        differences(measured.columns, found.actions, measured.full.actions).error))
