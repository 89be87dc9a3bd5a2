# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What could not be told of a replay, why, and what brings it."""

from __future__ import annotations

from .pairs import reference_of
from .sums import CONSTANT
from .times import SILENCE_S, silences
from .truths import clock_note
from ...ingest.stamps import duration_text

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
UNMATCHED = 'none of the {rows} executed rows of {row} has a truth in {truth}: {reason}'
SILENT = ('no image came in for {longest} behind image {number}, {seconds:.1f} s from the first '
          '(such times: {count}): the clock of the recording computer was set ahead, or '
          'the camera was silent. Of what a node would have told the arm meanwhile, which stands, '
          'the first {silence:g} s or so are written')
OUT_OF_REACH = 'do its commands and the images lie at the same times?'
TOO_FAR = ('where the arm was is known at the images that were looked at, and these are more than '
           '0.5 s apart, or TF was not known at them: take a smaller --stride')
OTHER_SHAPES = ('{row} and {other} answer in other shapes, {mine} and {theirs} [rows, columns]: '
                'they are not compared')


def notes_on(results, found, rows, truths) -> tuple[str, ...]:
    """
    Return each note once, in order.

    found: {title: what truths.explained returned}.  rows: of the Summary.  truths: {title: facts}.
    """
    notes = [clock_note(results.images), silence_note(results.images)]
    for answers in results.answers:
        held, reasons = found[answers.title]
        notes += [*reasons, _held_against(results, answers, held), _other_shape(results, answers)]
    notes += [*_constants(rows), *_shifts(rows, truths), *_unmatched(rows, truths)]
    return tuple(dict.fromkeys(filter(None, notes)))


def silence_note(images) -> str:
    """Return what is to be known where no image came in for long, else ''."""
    found = silences(images)
    if not found:
        return ''
    index, longest_s = max(found, key=lambda each: each[1])
    return SILENT.format(
        longest=duration_text(longest_s), number=int(images.numbers[index]), count=len(found),
        seconds=(int(images.times_ns[index]) - int(images.times_ns[0])) * 1e-9,
        silence=SILENCE_S)


def _held_against(results, answers, held) -> str:
    if not held:
        found = ', '.join(f'{each.source} ({each.kind})' for each in results.commands) or 'none'
        return NOTHING_TO_HOLD.format(kind=answers.kind, found=found)
    return MEASURED_ALONE.format(kind=answers.kind) if held[0].facts.measured else ''


def _other_shape(results, answers) -> str:
    other = reference_of(answers, results.answers)
    if other is None or other.velocities.shape == answers.velocities.shape:
        return ''
    return OTHER_SHAPES.format(row=answers.title, other=other.title,
                               mine=answers.velocities.shape[1:],
                               theirs=other.velocities.shape[1:])


def _constants(rows) -> list[str]:
    """Return which axes have no NRMSE, once a truth."""
    found = {}
    for each in (each for row in rows for each in row.against):
        names = [axis.axis for axis in each.executed if axis.count and axis.nrmse is None]
        if names:
            found[each.truth] = CONSTANT_AXES.format(
                truth=each.truth, axes=', '.join(names), least=CONSTANT)
    return list(found.values())


def _shifts(rows, truths) -> list[str]:
    """Return what agrees better at another time, of the first row."""
    return [SHIFTED.format(
        row=row.title, truth=each.truth, seconds=abs(each.shift_s),
        reason=ARM_LAGS if truths[each.truth].measured else CLOCKS,
        when='later' if each.shift_s > 0 else 'earlier', percent=100 * (1 - each.shifted))
        for row in rows[:1] for each in row.against if each.shift_s]


def _unmatched(rows, truths) -> list[str]:
    """Return what nothing could be held against, of the first row."""
    return [UNMATCHED.format(
        rows=each.unmatched, row=row.title, truth=each.truth,
        reason=TOO_FAR if truths[each.truth].measured else OUT_OF_REACH)
        for row in rows[:1] for each in row.against
        if each.unmatched and not any(axis.count for axis in each.executed)]
