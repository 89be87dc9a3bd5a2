# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The 95 % interval of means over frames, of which those of one episode are alike.

Whole episodes are drawn with replacement (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 8), and the same ones for everything that was measured on the same
frames, so that differences of two variants are paired.  With few episodes percentiles are too
close together; they are taken further out as Hesterberg proposes ("What Teachers Should Know
About the Bootstrap", The American Statistician 69, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from ..replay.metrics.intervals import student

LEAST_EPISODES = 6  # fewer tell too little of how much episodes differ
DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; low and high are None with too few episodes."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self):
        """Return it with four digits behind the point."""
        if self.low is None:
            return f'{self.mean:.4f}'
        return f'{self.mean:.4f} ({self.low:.4f} .. {self.high:.4f})'


class Resampling:
    """
    Draws of the episodes of some frames.

    episodes: how many there are.  is_enough: whether there are enough for an interval.
    """

    def __init__(self, numbers, seed: int = 0, draws: int = DRAWS):
        """Take the number of each frame's episode, int [n]."""
        _, self._of = np.unique(np.asarray(numbers), return_inverse=True)
        self.episodes = int(self._of.max()) + 1 if len(self._of) else 0
        self.is_enough = self.episodes >= LEAST_EPISODES
        self._seed, self._draws = seed, draws

    @cached_property
    def _counts(self) -> np.ndarray:
        """Return how often each episode is drawn, float64 [draws, episodes]."""
        rng, count = np.random.default_rng(self._seed), self.episodes
        return rng.multinomial(count, np.full(count, 1.0 / count), self._draws).astype(float)

    @cached_property
    def _levels(self) -> tuple[float, float]:
        """Return the percentiles that 95 % stand for, in per cent."""
        count = self.episodes
        low = 100.0 * NormalDist().cdf(-student(count - 1) * (count / (count - 1)) ** 0.5)
        return low, 100.0 - low

    def means(self, values) -> np.ndarray:
        """Return the mean of values [n] in each draw, float64 [draws]."""
        sums = np.bincount(self._of, np.asarray(values, np.float64), self.episodes)
        sizes = np.bincount(self._of, minlength=self.episodes).astype(float)
        return (self._counts @ sums) / (self._counts @ sizes)

    def mean(self, values) -> Estimate:
        """Return the mean of values [n], one a frame, with its interval."""
        mean = float(np.mean(values))
        if not self.is_enough:
            return Estimate(mean)
        low, high = np.percentile(self.means(values), self._levels)
        return Estimate(mean, float(low), float(high))
