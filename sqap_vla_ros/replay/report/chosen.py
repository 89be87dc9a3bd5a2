# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which images a report tells of: those in its curves, those with a picture, and the worst.

A report of hours is as small as one of minutes, and what is worst is in it in either case.
"""

from __future__ import annotations

from dataclasses import dataclass
import re

import numpy as np

MOST_DRAWN = 1500  # more points than a screen has columns
MOST_WORST = 12
APART_S = 0.5  # between two of the worst: neighbours show one and the same mistake
MOST_PROBLEMS = 20


@dataclass(frozen=True, eq=False)
class Chosen:
    """
    Rows of Results.images, each int64 and ascending but `worst`.

    drawn: in curves.  shown: with a picture, among the drawn.  worst: by answer, largest error
    first, among the shown; of answers without a control and with an error.
    """

    drawn: np.ndarray
    shown: np.ndarray
    worst: tuple[tuple[int, ...], ...]


def chosen_rows(images, answers, errors, most_shown: int) -> Chosen:
    """
    Choose them.

    errors: float64 [N] for each answer, NaN where there is none.  most_shown: pictures, about.
    """
    count = len(images)
    worst = tuple(worst_rows(error, images) if answer.control == 'none' else ()
                  for answer, error in zip(answers, errors))
    forced = {row for rows in worst for row in rows} | set(problem_rows(images, answers))
    spread = np.linspace(0, count - 1, min(count, max(most_shown - len(forced), 2)))
    shown = np.union1d(spread.round().astype(int), sorted(forced)).astype(np.int64)
    return Chosen(np.union1d(drawn_rows(count, errors), shown).astype(np.int64), shown, worst)


def worst_rows(error: np.ndarray, images) -> tuple[int, ...]:
    """Return rows of the largest errors, at most one of those that are closer than APART_S."""
    rows = []
    order = np.argsort(-np.nan_to_num(error, nan=-np.inf), kind='stable')
    for row in order[:int(np.isfinite(error).sum())]:
        near = [other for other in rows if images.episodes[other] == images.episodes[row]
                and abs(images.stamps_ns[other] - images.stamps_ns[row]) < APART_S * 1e9]
        if not near:
            rows.append(int(row))
        if len(rows) == MOST_WORST:
            break
    return tuple(rows)


def problem_rows(images, answers) -> list[int]:
    """Return the first row of each problem, of the images and of the answers to them."""
    first = {}
    for texts in (images.problems, *(answer.problems for answer in answers)):
        for row, text in enumerate(texts):
            if text:
                first.setdefault(re.sub(r'\d+', '', text), row)
    return list(first.values())[:MOST_PROBLEMS]


def drawn_rows(count: int, errors) -> np.ndarray:
    """Return at most MOST_DRAWN rows: of each run its first and the one with the largest error."""
    if count <= MOST_DRAWN:
        return np.arange(count)
    largest = np.zeros(count)
    for error in errors:
        largest = np.fmax(largest, error)
    edges = np.linspace(0, count, MOST_DRAWN // 2 + 1).round().astype(int)
    peaks = [start + int(largest[start:end].argmax()) for start, end in zip(edges, edges[1:])]
    return np.union1d(edges[:-1], peaks)
