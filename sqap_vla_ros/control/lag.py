# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How long after it was told to an arm is where it was told to be.

An image shows the arm where the commands of a moment before have brought it. What was told since
then is under way, and so it belongs to what a new chunk, which begins at the image, finds done.
Counted from the image's stamp alone, each chunk would pull a lagging arm back by its lag.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from .command import Measured

LONGEST_NS = 150_000_000
AFTER_NS = 100_000_000  # the first time after the stamp closes the way at it
LEAST_WAY = 0.002  # m or rad; what hardly moves tells nothing of its lag


class Lag:
    """Where an arm was told to be, over the last moments, to compare with where it was seen."""

    def __init__(self):
        """Know nothing."""
        self._told = deque()  # (time, place)

    def clear(self) -> None:
        """Forget everything: the arm stands, or is commanded otherwise."""
        self._told.clear()

    def note(self, now_ns: int, told: Measured | None) -> None:
        """Keep where the arm has been told to be by now; None where no position is told."""
        if told is not None:
            self._told.append((now_ns, told))
        while self._told and not 0 <= now_ns - self._told[0][0] <= 8 * LONGEST_NS:
            self._told.popleft()

    def behind_ns(self, seen: Measured | None, stamp_ns: int) -> int:
        """
        Return how long before a stamp the arm was told to be where it was seen then.

        At most 0.15 s, and 0 where that is not known, the arm hardly moved, or it is elsewhere.
        """
        told = [(time_ns, _between(seen, there)) for time_ns, there in self._told
                if seen is not None and stamp_ns - LONGEST_NS <= time_ns <= stamp_ns + AFTER_NS]
        if len(told) < 2 or any(off is None for _, off in told):
            return 0
        times_ns, off = np.array([time for time, _ in told]), np.array([off for _, off in told])
        if np.linalg.norm(np.ptp(off, axis=0)) < LEAST_WAY:
            return 0
        passed_ns = _passed_ns(times_ns, off)
        return 0 if passed_ns is None else max(0, stamp_ns - passed_ns)


def _passed_ns(times_ns: np.ndarray, off: np.ndarray) -> int | None:
    """
    Return when a way of offsets [N, k], straight between its times, comes nearest to none.

    None where it only led away from there: an arm that is blocked does not lag.
    """
    ways, starts = np.diff(off, axis=0), off[:-1]
    lengths = np.maximum(np.sum(ways * ways, axis=1), 1e-18)
    ratios = np.clip(-np.sum(starts * ways, axis=1) / lengths, 0.0, 1.0)
    distances = np.linalg.norm(starts + ratios[:, None] * ways, axis=1)
    best = int(np.argmin(distances))
    if best == 0 and ratios[0] == 0.0 and distances[0] > LEAST_WAY:
        return None
    return int(times_ns[best] + ratios[best] * (times_ns[best + 1] - times_ns[best]))


def _between(seen: Measured, told: Measured) -> np.ndarray | None:
    """Return the way from where the arm was seen to where it was told to be; None if unknown."""
    if told.joints is not None and seen.joints is not None:
        return told.joints - seen.joints[:len(told.joints)]
    if told.pose is not None and seen.pose is not None:
        return told.pose.translation - seen.pose.translation
    return None
