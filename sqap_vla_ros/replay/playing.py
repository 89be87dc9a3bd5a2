# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of what the arm would have been told: how smooth it is, and how often it stood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics.held import axes_of
from .metrics.percentiles import percentiles
from .metrics.row_numbers import Percentiles
from .played import Played

GAP = 1.5  # periods; commands further apart do not follow one another


@dataclass(frozen=True)
class Steps:
    """
    How velocities change from one control period to the next, for one group of axes.

    group, unit: 'linear' in m/s, 'angular' in rad/s, or 'joints'.  jump: the change in a period
    in which one answer takes over from another.  inside: in all others while the arm moves.
    jerk_at_seams, jerk_inside: second differences by the period squared, unit/s^2, of three
    commands that do, or do not, span such a change.
    """

    group: str
    unit: str
    jump: Percentiles
    inside: Percentiles
    jerk_at_seams: Percentiles
    jerk_inside: Percentiles


@dataclass(frozen=True)
class Playing:
    """
    What became of one row of the table on its way to the arm.

    commands: said, one every period_s.  stood: share of them that let the arm stand, of those
    behind the first that moves.  asked: images; answered: in time to be told; used: answers that
    were played.  late: answers for which the arm stood or crawled, since the one before had run
    out (a missed deadline).  steps: a group of axes each.  faults: (s from the first image, why)
    the arm was stopped until an operator has looked.
    """

    title: str
    commands: int
    period_s: float
    stood: float | None
    asked: int
    answered: int
    used: int
    late: int
    steps: tuple[Steps, ...]
    faults: tuple[tuple[float, str], ...]


def playing(played: Played, begun_ns: int = 0, slides=()) -> Playing:
    """Return the numbers; begun_ns: when the first image came in; slides: joints in metres."""
    moves = played.answers >= 0
    behind = moves[np.argmax(moves):] if moves.any() else moves[:0]
    velocities, answers = _evenly(played)
    _, units, groups = axes_of(played.names, 'velocity', slides)
    return Playing(
        played.title, len(moves), played.period_s,
        float(1 - behind.mean()) if len(behind) else None, len(played.asked),
        int((played.known_ns >= 0).sum()), int(played.used.sum()),
        int((played.late & played.used).sum()),
        tuple(_steps(group, set(units[axes]), velocities[:, axes], answers, played.period_s)
              for group, axes in groups.items()),
        tuple(((time_ns - begun_ns) / 1e9, why) for time_ns, why in played.faults))


def _evenly(played: Played) -> tuple[np.ndarray, np.ndarray]:
    """Return velocities [G, D] and answers [G] a period apart; NaN and -2 between episodes."""
    times_ns, period_ns = played.stamps_ns, round(played.period_s * 1e9)
    if not len(times_ns):
        return played.velocities, played.answers
    apart = np.diff(times_ns)
    edges = np.flatnonzero((apart > GAP * period_ns) | (apart < 0)) + 1
    index = []
    for run in np.split(np.arange(len(times_ns)), edges):
        grid = np.arange(times_ns[run[0]], times_ns[run[-1]] + 1, period_ns)
        index += [run[0] + np.searchsorted(times_ns[run], grid, side='right') - 1, [-1]]
    index = np.concatenate(index).astype(int)
    return (np.where(index[:, None] >= 0, played.velocities[index], np.nan),
            np.where(index >= 0, played.answers[index], -2))


def _steps(group: str, units: set[str], velocities, answers, period_s: float) -> Steps:
    moves = answers >= 0
    pairs = moves[1:] & moves[:-1]
    seams = pairs & (answers[1:] != answers[:-1])
    jumps = np.linalg.norm(np.diff(velocities, axis=0), axis=1)
    triples = pairs[1:] & pairs[:-1]
    spans = triples & (seams[1:] | seams[:-1])
    jerks = np.linalg.norm(np.diff(velocities, 2, axis=0), axis=1) / period_s ** 2
    return Steps(group, units.pop() if len(units) == 1 else 'mixed', percentiles(jumps[seams]),
                 percentiles(jumps[pairs & ~seams]), percentiles(jerks[spans]),
                 percentiles(jerks[triples & ~spans]))


def playing_text(numbers: Playing) -> str:
    """Return them in a line, for a terminal."""
    if numbers.stood is None:
        why = ('no answer would have been there before the recording ended: --latency S takes '
               "another computer's" if numbers.asked and not numbers.answered else
               'nothing would have moved')
        return f'{numbers.title}: {why} (asked: {numbers.asked} times)'
    seams = ', '.join(
        f'{steps.group} {steps.jump.p95:.3g} {steps.unit} (inside {steps.inside.p95:.3g})'
        for steps in numbers.steps if steps.jump.count and steps.inside.count)
    return (f'{numbers.title}: {numbers.asked} images asked about, {numbers.late} of '
            f'{numbers.used} answers late, the arm stood {numbers.stood:.1%} of the time'
            + (f'; 95 % of steps between answers are below {seams}' if seams else '')
            + ''.join(f'; stopped for good after {time_s:.1f} s: {why}'
                      for time_s, why in numbers.faults))
