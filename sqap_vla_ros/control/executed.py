# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a plan was executed between two times."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
import math

KEPT_NS = 30 * 10**9
LEAST_KNOWN_NS = 10**9  # to speak of a share


class Executed:
    """
    A clock that runs while rows are executed: at full speed, in part, or not at all.

    Times are integer nanoseconds; what lies more than 30 s back is forgotten.
    """

    def __init__(self):
        """Begin at a stand-still."""
        self._marks = deque()  # (time, plan time executed by then)
        self.clear()

    def clear(self) -> None:
        """Forget everything; the arm stands still."""
        self._marks.clear()
        self._rate = (0, 1)

    def twin(self) -> Executed:
        """Return a clock that goes on alike, and has forgotten what was before."""
        twin = Executed()
        twin._rate = self._rate
        twin._marks.extend(list(self._marks)[-1:])
        return twin

    @property
    def total_ns(self) -> int:
        """Return the plan time executed by the last mark."""
        return self._marks[-1][1] if self._marks else 0

    def at_rate(self, now_ns: int, plan_ns: int, period_ns: int) -> None:
        """Run from now on so that plan_ns of the plan are executed in every period_ns."""
        self.until(now_ns)
        self._rate = (plan_ns, period_ns)

    def until(self, now_ns: int) -> None:
        """Mark what has been executed by now; time that has jumped back begins anew."""
        if self._marks and now_ns < self._marks[-1][0]:
            self._marks.clear()
        total_ns = self._marks[-1][1] + self.gained(self._marks[-1][0], now_ns) \
            if self._marks else 0
        while self._marks and self._marks[0][0] < now_ns - KEPT_NS:
            self._marks.popleft()
        if self._marks and self._marks[-1][0] == now_ns:
            return
        self._marks.append((now_ns, total_ns))

    def gained(self, first_ns: int, last_ns: int) -> int:
        """Return how much is executed between two times at the present rate."""
        plan_ns, period_ns = self._rate
        return max(0, last_ns - first_ns) * plan_ns // period_ns

    def between(self, first_ns: int, last_ns: int) -> int:
        """Return how much of plans was executed between two times, of which the last is now."""
        self.until(last_ns)
        return self._marks[-1][1] - self._total_at(first_ns)

    def share(self, now_ns: int, window_ns: int) -> float:
        """Return the share of the last window in which rows ran; NaN where too little is known."""
        self.until(now_ns)
        known_ns = min(window_ns, now_ns - self._marks[0][0])
        if known_ns < LEAST_KNOWN_NS:
            return math.nan
        return self.between(now_ns - known_ns, now_ns) / known_ns

    def _total_at(self, time_ns: int) -> int:
        marks = self._marks
        index = bisect_right(marks, time_ns, key=lambda mark: mark[0])
        if index == 0:
            return marks[0][1]
        if index == len(marks):
            return marks[-1][1]
        (before_ns, before), (after_ns, after) = marks[index - 1], marks[index]
        return before + (after - before) * (time_ns - before_ns) // (after_ns - before_ns)
