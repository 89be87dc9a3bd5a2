# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers in short: percentiles, shares, and texts that differ only in their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
import re

import numpy as np

from .row_numbers import Percentiles

MOST_TEXTS = 20
_NUMBER = re.compile(r'\d+(\.\d+)?')


def percentiles(values) -> Percentiles:
    """Return the percentiles of numbers of any shape; NaN is left out."""
    values = np.asarray(values, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return Percentiles(0, None, None, None, None, None)
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return Percentiles(len(values), p50, p95, p99, float(values.mean()), float(values.max()))


def mean_of(values) -> float | None:
    """Return the mean of numbers, NaN left out; None of none."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def counted(texts: Iterable[str]) -> dict[str, int]:
    """Return {text: how often}, the commonest first, with # for numbers; '' is left out."""
    counts = Counter(_NUMBER.sub('#', text) for text in texts if text)
    kept = counts.most_common(MOST_TEXTS)
    rest = counts.total() - sum(count for _, count in kept)
    return {**dict(kept), **({'others': rest} if rest else {})}
