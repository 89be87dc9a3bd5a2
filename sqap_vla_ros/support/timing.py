# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How long things take: percentiles of times, and the best of several calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
import math
import time

import numpy as np


class Recent:
    """The newest values."""

    def __init__(self, count: int = 500):
        """Keep this many."""
        self._values = deque(maxlen=count)

    def add(self, value: float):
        """Add one."""
        self._values.append(value)

    def mean(self) -> float:
        """Return the mean, NaN when there are no values."""
        return float(np.mean(self._values)) if self._values else float('nan')

    def percentile(self, percent: float) -> float:
        """Return a percentile, NaN when there are no values."""
        return float(np.percentile(self._values, percent)) if self._values else math.nan


def percentiles(values: Sequence[float], percents=(50, 95)) -> dict[str, float | None]:
    """Return {'p50': ..., 'p95': ...} of numbers; None of none."""
    return {f'p{percent}': float(np.percentile(values, percent)) if len(values) else None
            for percent in percents}


def best_seconds(function: Callable, *arguments, rounds: int = 5) -> float:
    """Return the shortest of some calls, s, after one that is not timed."""
    function(*arguments)
    best = math.inf
    for _ in range(rounds):
        start = time.perf_counter()
        function(*arguments)
        best = min(best, time.perf_counter() - start)
    return best
