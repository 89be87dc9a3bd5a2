# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From the results of a replay to its summary."""

from __future__ import annotations

import numpy as np

from .grippers import grippers
from .held import frame_lengths, group_unit, Held
from .notes import notes_on
from .pairs import norm_errors, pair, reference_of
from .percentiles import counted
from .robot import sliding_joints
from .samples import digest, sample
from .shift import best_shift
from .smoothness import smoothness
from .summary import ImageCounts, Pair, RowSummary, Summary
from .sums import summed
from .times import episode_slices, known_stamps_ns
from .timing import timing
from .tokens import token_reference, token_statistics
from .truth_errors import TruthErrors
from .truths import explained
from ...support.progress import Progress


def summarised(results) -> Summary:
    """Return the summary of replay.results.Results; works on whatever is there, and says what."""
    images, answers = results.images, results.answers
    with Progress('metrics', 3 * len(answers), 'step') as shown:
        found = {each.title: _shown(explained, shown, results, each) for each in answers}
        held = {title: mine for title, (mine, _) in found.items()}
        errors = {each.title: {one.facts.title: frame_lengths(
            one, len(images), each.execute_steps) for one in held[each.title]}
            for each in answers}
        rows = tuple(_shown(_row, shown, results, each, held[each.title], errors[each.title])
                     for each in answers)
        pairs = tuple(each for each in (_shown(_pair, shown, results, mine, errors)
                                        for mine in answers) if each)
    truths = {each.facts.title: each.facts for mine in held.values() for each in mine}
    return Summary(_images(images), tuple(truths.values()), rows, pairs,
                   tuple(sample(images, each) for each in answers),
                   notes_on(results, found, rows, truths))


def _shown(function, shown: Progress, results, answers, *arguments):
    """Return what a function finds for answers, and show that it does."""
    shown.advance(note=answers.title)
    return function(results, answers, *arguments)


def _pair(results, answers, errors) -> Pair | None:
    """Return a row beside its reference; None where it has none that answers alike."""
    other = reference_of(answers, results.answers)
    if other is None or other.velocities.shape != answers.velocities.shape:
        return None
    return pair(results.images, answers, other, errors, sliding_joints(results))


def _images(images) -> ImageCounts:
    slices = episode_slices(images)
    stamps_ns = known_stamps_ns(images)
    spans_ns = [int(stamps_ns[part].max() - stamps_ns[part].min()) for part in slices]
    duration_s, steps = sum(spans_ns) * 1e-9, len(images) - len(slices)
    return ImageCounts(
        len(images), len(set(np.asarray(images.episodes).tolist())),
        sum(bool(text) for text in images.problems), counted(images.problems),
        sum(bool(texts) for texts in images.warnings), duration_s,
        steps / duration_s if duration_s > 0 else None, digest(images))


def _row(results, answers, held, errors) -> RowSummary:
    images, known = results.images, answers.answered
    missing = ~known & np.array([not text for text in images.problems], bool)
    return RowSummary(
        answers.title, answers.name, answers.control, answers.kind, answers.frame, answers.dt_s,
        answers.velocities.shape[1], answers.execute_steps, int(known.sum()), int(missing.sum()),
        counted(answers.problems),
        tuple(_against(each, answers, errors[each.facts.title], images) for each in held),
        grippers(results, answers), smoothness(images, answers, sliding_joints(results)),
        token_statistics(images, answers, token_reference(results.answers)),
        timing(images, answers))


def _against(held: Held, answers, norms, images) -> TruthErrors:
    count, rows = answers.velocities.shape[:2]
    steps, sums = answers.execute_steps, summed(held, count, rows)
    compared = int(sums.count[:steps].max(axis=1, initial=0).sum())
    shift = best_shift(held, count, rows)
    return TruthErrors(
        held.facts.title, sums.axes(slice(0, steps)), sums.axes(slice(0, 1)),
        sums.axes(slice(0, rows)),
        tuple(norm_errors(group, group_unit(held, group), values, images.episodes)
              for group, values in norms.items()),
        sums.growth(answers.dt_s), int(answers.answered.sum()) * steps - compared,
        *(None, None) if shift is None else (shift[0] * answers.dt_s, shift[1]))
