# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Two rows of the table on the same images: how differently they answer, and which is worse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .held import (
    axes_of, frame_lengths, group_unit, Held, parts, POSE_COLUMNS)
from .intervals import mean_interval
from .percentiles import mean_of
from .row_numbers import Interval
from .summary import Pair, PairNorm
from .sums import summed
from .truth_errors import NormErrors, Truth
from ...control.action_space import ABSOLUTE_KINDS, TWIST_NAMES
from ...control.output_modes import CARTESIAN_KINDS


def reference_of(answers, all_answers):
    """Return what a row is held against: its variant without control, or the first row."""
    if answers.control != 'none':
        for each in all_answers:
            if (each.name, each.control) == (answers.name, 'none'):
                return each
    return all_answers[0] if answers is not all_answers[0] else None


def compared_as(answers) -> str:
    """Return what answers are told apart by: 'position' for absolute kinds, else 'velocity'."""
    return 'position' if answers.kind in ABSOLUTE_KINDS else 'velocity'


def values_of(answers) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return float64 [N, T, D] that answers are told apart by, and the names of D."""
    cartesian = answers.kind in CARTESIAN_KINDS
    if compared_as(answers) == 'velocity':
        return answers.velocities, TWIST_NAMES if cartesian else answers.names
    names = POSE_COLUMNS if cartesian else answers.names
    if answers.positions is None:  # then nothing was answered
        return np.full((*answers.velocities.shape[:2], len(names)), np.nan), names
    return answers.positions, names


def beside(answers, reference, slides=()) -> Held:
    """Return answers held against those of another row."""
    mine, columns = values_of(answers)
    theirs = values_of(reference)[0]
    return held_beside(mine, theirs, columns, compared_as(answers), answers.frame,
                       reference.title, slides)


def held_beside(mine, theirs, columns, way: str, frame: str, title: str, slides=()) -> Held:
    """Return values [N, T, D] held against others of the same columns."""
    turn = np.array([0.0, 0.0, 0.0, 1.0]) if columns == POSE_COLUMNS else None
    if turn is not None:
        known = theirs[np.isfinite(theirs).all(-1)]
        turn = known[0, 3:] if len(known) else turn
    facts = Truth(title, title, False, '', way, frame, 'the same image, the same row', 0)
    return Held(facts, *axes_of(tuple(columns), way, slides), lambda part: mine[part],
                lambda part: theirs[part], turn)


def pair(images, answers, reference, errors: Mapping, slides=()) -> Pair:
    """
    Return a row beside its reference.

    errors: {title of a row: {truth: {group: float64 [N]}}}, see held.frame_lengths.
    """
    held, steps = beside(answers, reference, slides), answers.execute_steps
    count = len(images)
    both = answers.answered & reference.answered
    differences = frame_lengths(held, count, steps)
    mine, theirs = errors.get(answers.title, {}), errors.get(reference.title, {})
    norms = tuple(PairNorm(
        group, group_unit(held, group), norm_errors(group, group_unit(held, group), values,
                                                    images.episodes),
        _relative(held, group, count, steps), _worse(mine, theirs, group, images.episodes))
        for group, values in differences.items())
    return Pair(answers.title, reference.title, held.facts.compared_as, int(both.sum()),
                summed(held, count, answers.velocities.shape[1]).axes(slice(0, steps)), norms,
                _same_grip(answers, reference), _slower(answers, reference, images.episodes))


def norm_errors(group: str, unit: str, values: np.ndarray, episodes: np.ndarray) -> NormErrors:
    """Return lengths [N] in short."""
    interval = mean_interval(values, episodes)
    known = values[np.isfinite(values)]
    p95, largest = (float(np.percentile(known, 95)), float(known.max())) if len(known) else (
        None, None)
    return NormErrors(group, unit, len(known), interval.mean, interval.low, interval.high, p95,
                      largest)


def _relative(held: Held, group: str, count: int, steps: int) -> float | None:
    """Return rms of the difference / rms of what the reference says, about its mean if a place."""
    axes, sums = held.groups[group], np.zeros(2)
    if held.facts.compared_as == 'position':
        return None
    for part in parts(count):
        difference = held.errors(part)[:, :steps, axes]
        said = np.where(np.isfinite(difference), held.truth(part)[:, :steps, axes], np.nan)
        sums += np.nansum(difference ** 2), np.nansum(said ** 2)
    return float(np.sqrt(sums[0] / sums[1])) if sums[1] > 0 else None


def _worse(mine: Mapping, theirs: Mapping, group: str, episodes) -> dict[str, Interval]:
    """Return by how much a row's errors are larger, image by image, against each truth."""
    return {truth: mean_interval(groups[group] - theirs[truth][group], episodes)
            for truth, groups in mine.items()
            if group in groups and group in theirs.get(truth, {})}


def _same_grip(answers, reference) -> float | None:
    steps = answers.execute_steps
    mine, theirs = answers.gripper[:, :steps], reference.gripper[:, :steps]
    known = np.isfinite(mine) & np.isfinite(theirs)
    return mean_of(((mine > 0.5) == (theirs > 0.5))[known])


def _slower(answers, reference, episodes) -> Interval | None:
    mine, theirs = answers.latency_ms.get('total'), reference.latency_ms.get('total')
    if mine is None or theirs is None:
        return None
    return mean_interval(mine - theirs, episodes)
