# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the last few times, for diagnostics."""

from collections import deque

import numpy as np


class Recent:
    """The newest values."""

    def __init__(self, count: int = 500):
        """Keep this many."""
        self._values = deque(maxlen=count)

    def add(self, value: float):
        """Add one."""
        self._values.append(value)

    def percentile(self, percent: float) -> float:
        """Return a percentile, NaN when there are no values."""
        return float(np.percentile(self._values, percent)) if self._values else float('nan')
