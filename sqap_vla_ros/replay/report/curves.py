# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What was said, what was done and where the arm was, column by column, for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..metrics.held import frame_error, Held
from ..metrics.truths import gripper_truth, held_against, measured_motion
from ..results import Answers, Results

GRIPPER = 'gripper'


@dataclass(frozen=True, eq=False)
class Curves:
    """
    The columns D of one answer to some images n: the arm's, and the gripper's if it has one.

    names, units: of the columns.  said, truth: float64 [n, T, D], NaN where there is none.
    state: float64 [n, D], measured during the first row, in the same units.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    said: np.ndarray
    truth: np.ndarray
    state: np.ndarray


@dataclass(frozen=True, eq=False)
class Told:
    """
    One answer, with what it is held against.

    held: the main truth, None where nothing was recorded that it could be held against.
    error: float64 [N], what the worst images are told by, in error_unit; NaN where none.
    """

    answers: Answers
    held: Held | None
    error: np.ndarray
    error_name: str = ''
    error_unit: str = ''

    @property
    def truth(self) -> str:
        """Return what it is held against, '' for nothing."""
        return self.held.facts.title if self.held else ''

    @property
    def truth_is(self) -> str:
        """Return 'recorded' for a command, 'measured' for motion, '' for nothing."""
        return ('measured' if self.held.facts.measured else 'recorded') if self.held else ''


def told(results: Results, answers: Answers) -> Told:
    """Hold an answer against what was recorded."""
    every = held_against(results, answers)
    if not every:
        return Told(answers, None, np.full(len(results.images), np.nan))
    error, unit, name = frame_error(every[0], answers)
    return Told(answers, every[0], error, name, unit)


def curves_of(results: Results, one: Told, rows: np.ndarray) -> Curves:
    """Return the curves at these rows of Results.images, int64 [n]."""
    answers = one.answers
    if one.held is None:
        names, units = answers.names, _units(answers.names)
        said = answers.velocities[rows]
        truth = np.full(said.shape, np.nan)
    else:
        names, units = tuple(one.held.names), tuple(one.held.units)
        said, truth = one.held.said(rows), one.held.truth(rows)
    state = _state(results, one, names, units, rows)
    if any(np.isfinite(each.gripper).any() for each in results.answers):
        names, units = (*names, GRIPPER), (*units, '1: open')
        said = np.dstack([said, answers.gripper[rows]])
        truth = np.dstack([truth, gripper_truth(results, answers)[rows]])
        state = np.column_stack([state, np.full(len(rows), np.nan)])
    return Curves(names, units, said, truth, state)


def _units(names) -> tuple[str, ...]:
    """Return the units of velocities."""
    return tuple('m/s' if name in ('vx', 'vy', 'vz') else 'rad/s' for name in names)


def _state(results, one, names, units, rows) -> np.ndarray:
    """Return float64 [n, D]: the motion that was measured, where it is of the same columns."""
    if one.held and one.held.facts.measured:
        return np.full((len(rows), len(names)), np.nan)  # which is what they are held against
    for motion in measured_motion(results, one.answers):
        if (tuple(motion.names), tuple(motion.units)) == (names, units):
            return motion.truth(rows)[:, 0]
    return np.full((len(rows), len(names)), np.nan)
