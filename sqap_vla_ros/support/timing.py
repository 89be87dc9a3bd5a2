# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How long things take: percentiles of times, and the best of several calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
import math
import threading
import time

import numpy as np


class Recent:
    """The newest values."""

    def __init__(self, count: float = 500):
        """Keep this many."""
        self._values = deque(maxlen=round(count))

    def add(self, value: float):
        """Add one."""
        self._values.append(value)

    def mean(self) -> float:
        """Return the mean, NaN when there are no values."""
        return float(np.mean(self._values)) if self._values else float('nan')

    def percentile(self, percent: float) -> float:
        """Return a percentile, NaN when there are no values."""
        return self.percentiles(percent)[0]

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Return several percentiles, NaN when there are no values."""
        if not self._values:
            return (math.nan,) * len(percents)
        return tuple(np.percentile(self._values, percents).tolist())


def thread_clock() -> int:
    """Return the clock of the calling thread's processor time; time.clock_gettime reads it."""
    return time.pthread_getcpuclockid(threading.get_ident())


class Rate:
    """How often something happens a second; times are of any steady clock, in seconds."""

    def __init__(self, window_s: float = 5.0):
        """Look back so far."""
        self._window_s, self._events, self.total = window_s, deque(), 0

    def add(self, now_s: float, count: int = 1):
        """Note that it has happened so often since the last time."""
        self.total += count
        self._events.append((now_s, count))
        while now_s - self._events[0][0] > self._window_s:
            self._events.popleft()

    def hz(self, now_s: float) -> float:
        """Return how often it happened a second within the window, 0 while that is not known."""
        events = [event for event in tuple(self._events) if now_s - event[0] <= self._window_s]
        if len(events) < 2 or now_s <= events[0][0]:
            return 0.0
        return sum(count for _, count in events[1:]) / (now_s - events[0][0])


class ProcessorTime:
    """Processor time that the calling threads spend in `with` blocks, and what share that is."""

    def __init__(self):
        """Begin with none."""
        self._spent_s, self._told_s, self._since_s = 0.0, 0.0, time.monotonic()

    def __enter__(self):
        """Begin to count; blocks of one object must not overlap."""
        self._began_s = time.thread_time()

    def __exit__(self, *_):
        """Count."""
        self._spent_s += time.thread_time() - self._began_s

    def share(self) -> float:
        """Return the share of one core since the last call."""
        spent_s, now_s = self._spent_s, time.monotonic()
        share = (spent_s - self._told_s) / max(1e-9, now_s - self._since_s)
        self._told_s, self._since_s = spent_s, now_s
        return share


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
