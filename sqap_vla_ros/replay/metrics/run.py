# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From the results of a replay to its summary."""

from __future__ import annotations

import numpy as np

from .held import frame_lengths, group_unit, Held
from .pairs import norm_errors, pair, reference_of
from .percentiles import counted, mean_of
from .robot import sliding_joints
from .samples import digest, sample
from .shift import best_shift
from .smoothness import smoothness
from .summary import Gripper, ImageCounts, RowSummary, Summary, TruthErrors
from .sums import CONSTANT, summed
from .times import episode_slices
from .timing import timing
from .tokens import token_reference, token_statistics
from .truths import clock_note, explained, gripper_truths
from ...support.progress import Progress

NOTHING_TO_HOLD = ('nothing to hold answers of kind {kind} against: no command of that kind was '
                   'recorded, and the motion is not known at two images or more; recorded '
                   'commands: {found}. Name their topics by --topics')
MEASURED_ALONE = ('no command of the arm that answers of kind {kind} can be held against was '
                  'recorded: they are held against the motion that was measured, which is what '
                  'the arm made of its commands')

CONSTANT_AXES = ('{truth} does not vary along {axes} (by {least:g} at most): there is no NRMSE, '
                 'which divides by the range; see RMSE and MAE')

SHIFTED = ('{row} agrees best with {truth} as it was {seconds:.3g} s {when} (the error is '
           '{percent:.0f} % less there): {reason}')
CLOCKS = ('are the clocks of camera and commands the same, and was nothing delayed while it was '
          'recorded?')
ARM_LAGS = 'an arm follows its commands a little later'


def summarised(results) -> Summary:
    """Return the summary of replay.results.Results; works on whatever is there, and says what."""
    images, slides = results.images, sliding_joints(results)
    notes = dict.fromkeys(filter(None, [clock_note(images)]))  # each once, in order
    held: dict[str, tuple[Held, ...]] = {}
    with Progress('metrics', 3 * len(results.answers), 'step') as shown:
        for answers in results.answers:
            shown.advance(note=answers.title)
            held[answers.title], more = explained(results, answers)
            notes.update(dict.fromkeys([*more, *_about(results, answers, held[answers.title])]))
        errors, rows, pairs = {}, [], []
        reference = token_reference(results.answers)
        for answers in results.answers:
            shown.advance(note=answers.title)
            errors[answers.title] = {each.facts.title: frame_lengths(
                each, len(images), answers.execute_steps) for each in held[answers.title]}
            rows.append(_row(results, answers, held[answers.title], errors[answers.title],
                             reference, slides))
        for answers in results.answers:
            shown.advance(note=answers.title)
            found, why = _pair(results, answers, errors, slides)
            pairs += [found] if found else []
            notes.update(dict.fromkeys([why] if why else []))
    truths = {each.facts.title: each.facts for mine in held.values() for each in mine}
    notes.update(dict.fromkeys([*_constants(rows), *_shifts(rows, truths)]))
    return Summary(_images(images), tuple(truths.values()), tuple(rows), tuple(pairs),
                   tuple(sample(images, answers) for answers in results.answers), tuple(notes))


def _pair(results, answers, errors, slides):
    """Return a row beside its reference, None where it is none's; and why it cannot be."""
    other = reference_of(answers, results.answers)
    if other is None:
        return None, ''
    if answers.velocities.shape != other.velocities.shape:
        return None, (f'{answers.title} and {other.title} answer in other shapes, '
                      f'{answers.velocities.shape[1:]} and {other.velocities.shape[1:]} [rows, '
                      'columns]: they are not compared')
    return pair(results.images, answers, other, errors, slides), ''


def _constants(rows) -> list[str]:
    """Return which axes have no NRMSE, once a truth."""
    found = {}
    for row in rows:
        for each in row.against:
            names = [axis.axis for axis in each.executed if axis.count and axis.nrmse is None]
            if names:
                found[each.truth] = CONSTANT_AXES.format(
                    truth=each.truth, axes=', '.join(names), least=CONSTANT)
    return list(found.values())


def _shifts(rows, truths) -> list[str]:
    """Return what agrees better at another time, of the first row."""
    return [SHIFTED.format(
        row=row.title, truth=each.truth, seconds=abs(each.shift_s), reason=(
            ARM_LAGS if truths[each.truth].measured else CLOCKS),
        when='later' if each.shift_s > 0 else 'earlier', percent=100 * (1 - each.shifted))
        for row in rows[:1] for each in row.against if each.shift_s]


def _images(images) -> ImageCounts:
    slices = episode_slices(images)
    spans_ns = [int(images.stamps_ns[part].max() - images.stamps_ns[part].min())
                for part in slices]
    duration_s, steps = sum(spans_ns) * 1e-9, len(images) - len(slices)
    return ImageCounts(
        len(images), len(set(np.asarray(images.episodes).tolist())),
        sum(bool(text) for text in images.problems), counted(images.problems),
        sum(bool(texts) for texts in images.warnings), duration_s,
        steps / duration_s if duration_s > 0 else None, digest(images))


def _row(results, answers, held, errors, reference, slides) -> RowSummary:
    images, known = results.images, answers.answered
    missing = ~known & np.array([not text for text in images.problems], bool)
    return RowSummary(
        answers.title, answers.name, answers.control, answers.kind, answers.frame, answers.dt_s,
        answers.velocities.shape[1], answers.execute_steps, int(known.sum()), int(missing.sum()),
        counted(answers.problems),
        tuple(_against(each, answers, errors[each.facts.title], images) for each in held),
        _grippers(results, answers), smoothness(images, answers, slides),
        token_statistics(images, answers, reference), timing(images, answers))


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


def _grippers(results, answers) -> tuple[Gripper, ...]:
    steps = answers.execute_steps
    said = answers.gripper[:, :steps]
    if not np.isfinite(said).any():
        return ()
    return tuple(_gripper(source, said, truth[:, :steps])
                 for source, truth in gripper_truths(results, answers))


def _gripper(source: str, said: np.ndarray, truth: np.ndarray) -> Gripper:
    known = np.isfinite(said) & np.isfinite(truth)
    said, truth = said[known], truth[known]
    same, is_open = (said > 0.5) == (truth > 0.5), truth > 0.5
    return Gripper(source, len(said), mean_of(same), mean_of(same[is_open]),
                   mean_of(same[~is_open]), mean_of(np.abs(said - truth)))


def _about(results, answers, held) -> list[str]:
    """Return what has to be known about what answers are held against."""
    if not held:
        found = ', '.join(f'{each.source} ({each.kind})' for each in results.commands) or 'none'
        return [NOTHING_TO_HOLD.format(kind=answers.kind, found=found)]
    return [MEASURED_ALONE.format(kind=answers.kind)] if held[0].facts.measured else []
