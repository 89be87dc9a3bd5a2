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
from ..numerics.precision import same_weights
from ..policy import load_policy
from ..quant import QuantScheme
from ..samples.sample import chosen, Samples
from ..support.progress import Progress

FLOATS = 'float32'  # what is not quantized stays as it is: the curve is of GPTQ alone
CONVERTED = 'w4a8'  # as `sqap-vla convert` does unless told otherwise
SHARED = same_weights(CONVERTED)  # of which one conversion serves all


def measured_curve(measured: Measured) -> list[dict]:
    """
    Return one dict a variant and number of frames: name, frames and error (of an Estimate).

    frames 0 is rounding to nearest.  Empty where no curve is asked for.  Raises ConfigError for a
    calibration that cannot be used.
    """
    options = measured.options
    samples = measured.learnt
    if samples is None:
        return []
    if shared := _seen_before(measured.samples, samples):
        print(f'WARNING: {shared} of the frames that errors are measured on are among those that '
              'GPTQ learns from: name others by --calibration')
    counts = sorted({min(count, len(samples.samples)) for count in options.calibrate})
    names = tuple(dict.fromkeys(
        row.precision for row in measured.found if row.control == 'none'
        and row.method is None and row.precision in SHARED)) or SHARED
    with Progress('errors by calibration frames', total=len(names) * (len(counts) + 1),
                  unit='variant') as progress:
        return list(_curve(measured, samples, counts, names, progress))


def _seen_before(samples: Samples, learnt: Samples) -> int:
    """Return how many samples are among those that are learnt from."""
    known = {sample.images[0].tobytes() for sample in learnt.samples}
    return sum(sample.images[0].tobytes() in known for sample in samples.samples)


def _curve(measured, samples: Samples, counts: Sequence[int], names, progress) -> Iterator[dict]:
    for count in (0, *counts):
        with tempfile.TemporaryDirectory() as folder:
            path = measured.options.checkpoint
            if count:
                progress.show(f'converting with {count} frames')
                path = Path(folder) / 'quantized'
                few = tuple(samples.samples[index]
                            for index in chosen(len(samples.samples), count))
                convert(Task(measured.source.for_keeping(), QuantScheme(CONVERTED), FLOATS,
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
        asked.known(asked.checkpoint, policy.vision_type.name))
    return asdict(measured.resampling.mean(
        differences(measured.columns, found.actions, measured.full.actions).error))
