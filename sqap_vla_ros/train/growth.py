# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How a policy grew with its samples, and what more of them would give if it went on so."""

from __future__ import annotations

import numpy as np

TIMES = (2, 4)  # as many samples
PARTS = {'half': 2, 'quarter': 4}  # of the rows, the last one, that an outlook follows
FEWEST_ROWS = 4


def held_out_errors(log: list) -> tuple[np.ndarray, np.ndarray]:
    """Return samples [n] and held-out action errors [n] of the rows of a curves.json."""
    rows = [row for row in log if 'held_out' in row]
    return (np.array([row['samples'] for row in rows], float),
            np.array([row['held_out']['action_l1'] for row in rows], float))


def power_law(samples, errors) -> tuple[float, float]:
    """Return (a, b) of error = a * samples ** -b, least squares of the logarithms."""
    slope, offset = np.polyfit(np.log(samples), np.log(errors), 1)
    return float(np.exp(offset)), float(-slope)


def outlook(log: list) -> list[tuple[int, dict[str, float]]]:
    """
    Return [(times as many samples, {'half': error, 'quarter': error}), ...].

    Each error is where the power law of that last part of the rows leads: where both differ
    nothing is known.  Empty while the quarter has fewer than FEWEST_ROWS.
    """
    samples, errors = held_out_errors(log)
    if len(samples) < FEWEST_ROWS * max(PARTS.values()):
        return []
    laws = {name: power_law(samples[-(len(samples) // part):], errors[-(len(samples) // part):])
            for name, part in PARTS.items()}
    return [(times, {name: a * (times * samples[-1]) ** -b for name, (a, b) in laws.items()})
            for times in TIMES]
