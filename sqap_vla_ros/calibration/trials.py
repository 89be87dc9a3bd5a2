# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Try what may be wrong on what was seen: which candidate puts the points where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mistakes import AS_IS, Candidate, pairs, single_mistakes
from .offset import Offset, offset_of
from .sample import Sample

SAME = 0.5  # candidates that differ by less than this share of the noise are one here
BOARD_POINTS = 4  # so many, and two mistakes at once are tried: fewer fit by chance
PAIRED = ('body_frame', 'inverted', 'upside_down', 'image_turned', 'mirrored', 'flipped',
          'rectification', 'base_turned', 'stretched', 'cropped')
SAME_TURN = {'upside_down', 'image_turned'}  # which undo each other


@dataclass(frozen=True, eq=False)
class Evidence:
    """
    Where one image shows points whose place is known.

    points: float64 [N, 3] in the base frame, m.  pixels: [N, 2] of the published image.  names:
    of each.
    """

    sample: Sample
    points: np.ndarray
    pixels: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Trial:
    """
    One candidate on all evidence.

    projected: pixels [N, 2].  alike: others that say the same of these points.
    """

    candidate: Candidate
    projected: np.ndarray
    offset: Offset
    alike: tuple[Candidate, ...] = ()

    @property
    def title(self) -> str:
        """Return what is wrong, with those that can't be told from it here."""
        return ', or '.join(candidate.title for candidate in (self.candidate, *self.alike))


def tried(candidate: Candidate, evidence) -> Trial:
    """Return how well a candidate explains the evidence."""
    projected = np.concatenate([
        candidate.project(item.sample, item.points)[0] for item in evidence])
    observed = np.concatenate([item.pixels for item in evidence])
    return Trial(candidate, projected, offset_of(observed, projected))


def all_trials(evidence, noise_px: float) -> list[Trial]:
    """
    Return the trial of what TF and camera_info say, and those of the mistakes, best first.

    noise_px: how exactly the evidence is known.  Two mistakes at once are tried where no single
    one explains points enough.
    """
    mistakes = single_mistakes(evidence[0].sample)
    as_is = tried(AS_IS, evidence)
    singles = _ranked([tried(Candidate((mistake,)), evidence) for mistake in mistakes])
    best_px = min(trial.offset.median_px for trial in (as_is, *singles))
    if best_px > limit_px(evidence[0].sample) and places(evidence) >= BOARD_POINTS:
        singles = _ranked([*singles, *(tried(pair, evidence) for pair in _pairs(mistakes))])
    order = {mistake.title: number for number, mistake in enumerate(mistakes)}
    return [as_is, *_merged(as_is, singles, noise_px, order)]


def places(evidence) -> int:
    """Return how many different points of the base frame are seen."""
    points = np.concatenate([item.points for item in evidence])
    return len(np.unique(points.round(3), axis=0))


def limit_px(sample: Sample) -> float:
    """Return up to which offset a camera counts as calibrated: 20 px at 640 x 480."""
    return max(8.0, max(sample.size) / 32)


def _pairs(mistakes):
    common = [mistake for mistake in mistakes if mistake.key in PAIRED]
    return [pair for pair in pairs(common)
            if {mistake.key for mistake in pair.mistakes} != SAME_TURN]


def _ranked(trials):
    return sorted(trials, key=lambda trial: (
        trial.offset.p95_px, len(trial.candidate.mistakes)))


def _merged(as_is, trials, noise_px, order):
    """Leave out what is as it is, and put together what says the same, the commonest first."""
    kept = []
    for trial in trials:
        if _same(trial, as_is, noise_px):
            continue
        twin = next((number for number, other in enumerate(kept)
                     if _same(trial, other, noise_px)), None)
        if twin is None:
            kept.append(trial)
        elif len(trial.candidate.mistakes) == len(kept[twin].candidate.mistakes):
            other = kept[twin]
            first, *alike = sorted(
                (other.candidate, *other.alike, trial.candidate),
                key=lambda candidate: [order[mistake.title] for mistake in candidate.mistakes])
            kept[twin] = Trial(first, other.projected, other.offset, tuple(alike))
    return kept


def _same(one, other, noise_px) -> bool:
    apart = np.abs(one.projected - other.projected)
    nowhere = np.isnan(one.projected), np.isnan(other.projected)
    return bool((nowhere[0] == nowhere[1]).all()
                and np.nanmax(apart, initial=0.0) < SAME * noise_px)
