# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Why an error that was measured may not be that of the robot it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from .asking import Answers, BLANK, FULL, REPEAT
from .columns import Columns, Differences, differences
from .resampling import LEAST_EPISODES, Resampling
from ..evaluate.plan import Row
from ..formats import open_checkpoint
from ..formats.source import Source
from ..samples.doubts import doubts as unlike_training, unknown_pictures, unseen
from ..samples.sample import Samples

FEW_FRAMES = 30


def doubts(samples: Samples, source: Source, resampling: Resampling,
           prunes: bool) -> Iterator[str]:
    """Yield what is known of the samples before anything is asked; prunes: whether a row does."""
    count = len(samples.samples)
    if not resampling.is_enough:
        yield (f'{count} frames of {resampling.episodes} episodes: no intervals, at least '
               f'{LEAST_EPISODES} episodes are needed, since frames of one are alike')
    elif count < FEW_FRAMES:
        yield f'{count} frames are few: intervals of at least {FEW_FRAMES} can be relied on'
    yield from unlike_training(samples, source)
    yield from samples.notes
    bare = sum(sample.protected is None for sample in samples.samples)
    if prunes and bare:
        yield (f'{_share(bare, count)} of the frames tell of no camera and pose: pruned variants '
               'keep no tokens round the hand there, as they would on the robot')


def learnt_doubts(samples: Samples, quantized: Path | None) -> Iterator[str]:
    """Yield whether a converted checkpoint, if there is one, was rounded by the same samples."""
    if quantized is None:
        return
    learnt, here = open_checkpoint(quantized).config.conversion.get('calibration', {}), samples
    if here.name == learnt.get('name') or here.fingerprint == learnt.get('digest'):
        yield (f'{quantized} was rounded by {learnt.get("samples")} frames of '
               f'{learnt.get("name")!r}, and errors are measured on {here.name!r}: of frames that '
               'GPTQ has learnt from they come out too small, name others by --samples')


def answers_doubts(samples: Samples, columns: Columns, answers: dict[Row, Answers],
                   found: dict[Row, Differences]) -> Iterator[str]:
    """Yield what the answers show; see run.Measured."""
    yield from _doubted_states(answers[FULL])
    full, blank = answers[FULL], answers[replace(FULL, control=BLANK)]
    yield from _unlike_the_recorded(samples, columns, full, blank)
    seen = float(differences(columns, full.actions, blank.actions).error.mean())
    if unseen(seen):
        yield f'{samples.name}: {unseen(seen)}'
    for row, each in found.items():
        if row.control == REPEAT and each.error.any():
            yield (f'{row.name}, asked twice, answered otherwise the second time, by '
                   f'{each.error.mean():.2g} on average: smaller errors mean nothing')


def _doubted_states(full: Answers) -> Iterator[str]:
    found = [texts for texts in full.doubts if texts]
    if found:
        yield f'{_share(len(found), len(full.doubts))} of the frames: {found[0][0]}'


def _unlike_the_recorded(samples: Samples, columns: Columns, full: Answers,
                         blank: Answers) -> Iterator[str]:
    """Yield whether looking brings full precision no nearer to what was recorded."""
    chosen = [number for number, sample in enumerate(samples.samples)
              if sample.action is not None
              and np.shape(sample.action) == full.actions.shape[1:]]
    if not chosen:
        return
    truth = np.array([samples.samples[number].action for number in chosen])
    seeing, blind = (float(differences(columns, each.actions[chosen], truth).error.mean())
                     for each in (full, blank))
    if text := unknown_pictures(seeing, blind):
        yield text


def _share(count: int, total: int) -> str:
    return f'{count} of {total} ({100 * count / total:.0f} %)'
