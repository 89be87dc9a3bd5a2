# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is told of each variant: plain values for the table, the JSON file and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from .columns import Columns, Differences
from .prediction import Prediction
from .resampling import Estimate, Resampling
from ..evaluate.plan import Row

MOST_WORST = 3  # frames that are named for each row


def summarize(found: Mapping[Row, Differences], columns: Columns, resampling: Resampling,
              tokens: int, prediction: Prediction) -> list[dict]:
    """
    Return one dict a row.

    found: of each row from full precision, controls among them.  tokens: visual ones in all.
    Each has name, variant, precision, tokens, method, nearest, dropped, control, error (an
    Estimate), p50, p95, largest, worst, axes, gripper_agreement, `more` than the first row
    without a control, and `predicted`, which is None for controls.
    """
    plain = [row for row in found if row.control == 'none']
    first = plain[0] if plain else None
    return [_summary(row, each, columns, resampling, tokens, prediction,
                     None if first in (None, row) else (first, found[first]))
            for row, each in found.items()]


def _summary(row, each, columns, resampling, tokens, prediction, first) -> dict:
    error = each.error
    p50, p95 = np.percentile(error, (50, 95))
    is_plain = row.control == 'none'
    return {
        'name': row.name, 'variant': row.variant, 'precision': row.precision,
        'tokens': row.keep or tokens, 'method': row.method, 'control': row.control,
        'nearest': row.facts.is_nearest, 'dropped': row.facts.dropped,
        'error': asdict(resampling.mean(error)), 'p50': float(p50), 'p95': float(p95),
        'largest': float(error.max()), 'worst': worst_frames(error),
        'axes': _axes(each, columns, resampling),
        'gripper_agreement': None if each.agreement is None else asdict(
            resampling.mean(each.agreement)),
        'more': _more(error, first, resampling) if is_plain and first else None,
        'predicted': prediction.of(error, resampling) if is_plain else None}


def _axes(each: Differences, columns: Columns, resampling) -> list[dict]:
    return [{'name': name, 'unit': unit, 'real': asdict(resampling.mean(each.real[:, place])),
             'normalised': asdict(resampling.mean(each.normalised[:, place]))}
            for place, (name, unit) in enumerate(zip(columns.names, columns.units))]


def _more(error, first, resampling) -> dict:
    """Return how much more error a row has than the first, paired."""
    row, other = first
    return {'than': row.name, **asdict(resampling.mean(error - other.error))}


def worst_frames(error: np.ndarray, count: int = MOST_WORST) -> list[int]:
    """Return the frames of the largest errors, largest first; none where all are 0."""
    order = np.argsort(-error, kind='stable')[:count]
    return [int(frame) for frame in order if error[frame] > 0]


def estimate(values: Mapping) -> Estimate:
    """Return the Estimate that asdict made these values of."""
    return Estimate(*(values[name] for name in ('mean', 'low', 'high')))


def rows_of(table: Sequence[dict], control: str = 'none') -> list[dict]:
    """Return the rows under a control."""
    return [row for row in table if row['control'] == control]
