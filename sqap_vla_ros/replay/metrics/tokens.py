# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which visual tokens were kept, and whether the robot's were among them."""

from __future__ import annotations

import math

import numpy as np

from .held import parts
from .percentiles import mean_of
from .row_numbers import Tokens
from .times import episode_slices
from ..results import DROPPED
from ...observation import REASONS


def token_reference(answers):
    """Return the first row that prunes, that others' tokens are held against; None without."""
    return next((each for each in answers if prunes(each) and each.control == 'none'), None)


def prunes(answers) -> bool:
    """Return whether any token of any answer was dropped."""
    known = answers.answered
    return any((answers.reasons[part][known[part]] == DROPPED).any()
               for part in parts(len(known)))


def token_statistics(images, answers, reference) -> Tokens:
    """Return the statistics of a row; reference: see token_reference."""
    known = answers.answered
    recall, overlaps, reasons = [], [], np.zeros(len(REASONS))
    kept, each = [np.zeros((0, answers.views))], math.prod(answers.grid)
    other = reference if reference is not None and _comparable(answers, reference) else None
    both = known if other is None else known & other.answered
    for part in parts(len(known)):
        mine, covered = _kept(answers, part), answers.covered[part]
        there = covered.any(1) & known[part]
        recall.append((mine & covered)[there].sum(1) / covered[there].sum(1))
        kept.append(mine[known[part]].reshape(-1, answers.views, each).sum(2))
        reasons += np.array([(answers.reasons[part][known[part]] == number).sum()
                             for number in range(len(REASONS))])
        if other is not None:
            overlaps.append(_jaccard(mine[both[part]], _kept(other, part)[both[part]]))
    recall, kept = np.concatenate(recall or [[]]), np.concatenate(kept)
    return Tokens(
        tuple(answers.grid), answers.reasons.shape[1], mean_of(kept.sum(1)),
        tuple(map(mean_of, kept.T)),
        {name: float(count) / max(reasons.sum(), 1.0) for name, count in zip(REASONS, reasons)},
        mean_of([bool(pixels) for pixels in images.pixels]), mean_of(_covers(answers)),
        mean_of(recall), float(recall.min()) if len(recall) else None, mean_of(recall == 1.0),
        mean_of(_between_frames(images, answers)),
        None if other is None else mean_of(np.concatenate(overlaps or [[]])),
        '' if other is None else other.title)


def _comparable(answers, reference) -> bool:
    return answers is not reference and prunes(answers) and (
        answers.reasons.shape == reference.reasons.shape)


def _kept(answers, where) -> np.ndarray:
    """Return bool [n, P] of some images: Answers.kept, without that of all the others."""
    return answers.reasons[where] != DROPPED


def _covers(answers) -> np.ndarray:
    return answers.covered.any(axis=1)


def _between_frames(images, answers) -> np.ndarray:
    """Return overlaps of the tokens of answered images and those answered before them."""
    found, known = [np.zeros(0)], answers.answered
    for episode in episode_slices(images):
        answered = np.flatnonzero(known[episode]) + episode.start
        for part in parts(max(len(answered) - 1, 0)):
            before, after = answered[part], answered[part.start + 1:part.stop + 1]
            found.append(_jaccard(_kept(answers, before), _kept(answers, after)))
    return np.concatenate(found)


def _jaccard(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return what both keep of what either keeps, bool [n, P] each; NaN where neither does."""
    either = (one | other).sum(1)
    return np.divide((one & other).sum(1), either, out=np.full(len(either), np.nan),
                     where=either > 0)
