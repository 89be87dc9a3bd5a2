# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A way of positions over time: told ahead, compared with what is told later, resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LONGEST_STEP_NS = 100_000_000  # between two points of a trajectory that is sent


@dataclass(frozen=True)
class Trajectory:
    """times_ns: int64 [N], increasing, at least two.  positions: float64 [N, n] at them."""

    times_ns: np.ndarray
    positions: np.ndarray

    def at(self, times_ns) -> np.ndarray:
        """Return positions [..., n] at times, in between on a straight line; ends are held."""
        passed = np.asarray(times_ns, np.int64) - self.times_ns[0]
        told = self.times_ns - self.times_ns[0]
        return np.stack([np.interp(passed, told, column) for column in self.positions.T], -1)

    def is_so(self, time_ns: int, position: np.ndarray, within: float) -> bool:
        """Return whether this is the position at a time that it covers, within rad or m."""
        return bool(self.times_ns[0] <= time_ns <= self.times_ns[-1]
                    and np.abs(self.at(time_ns) - position).max() <= within)

    def points(self, step_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """
        Return (int64 [M], float64 [M, n]): (i + 1) step_ns from the beginning, and positions.

        The last one is the first at or after the end.
        """
        span_ns = int(self.times_ns[-1] - self.times_ns[0])
        count = max(1, -(-span_ns // step_ns))
        steps_ns = step_ns * np.arange(1, count + 1, dtype=np.int64)
        return steps_ns, self.at(self.times_ns[0] + steps_ns)


def step_ns_of(dt_ns: int, period_ns: int) -> int:
    """Return the time between two points for rows of dt_ns, commanded every period_ns."""
    return max(period_ns, dt_ns // -(-dt_ns // LONGEST_STEP_NS))
