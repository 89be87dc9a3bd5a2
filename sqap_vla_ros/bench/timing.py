# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Time several sides in turn, and compare them round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import time

import numpy as np

from .sides import BACKBONE, Side, STAGES

CLOCKS = {'wall': time.perf_counter, 'cpu': time.thread_time}
ROWS = (*STAGES, 'backbone', 'total')
_WARM_UP = 2
_RESAMPLES = 2000


def time_sides(sides: Sequence[Side], rounds: int, seconds: float,
               clock: str = 'wall') -> dict[str, dict[str, np.ndarray]]:
    """Return milliseconds [rounds] by side and row of ROWS, once all are warm; see in_turn."""
    for side in sides:
        for _ in range(_WARM_UP):
            side.infer()
    laps = in_turn(sides, rounds, seconds, lambda side: side.infer(CLOCKS[clock]))
    return {name: _columns(found) for name, found in laps.items()}


def in_turn(sides: Sequence, rounds: int, seconds: float, lap: Callable) -> dict[str, list]:
    """
    Return what lap(side) gives in each round, by the sides' names.

    Every round runs each side once, beginning with another one each time, so that all see the
    same load.  It ends after `rounds` rounds, or after `seconds` with at least five.
    """
    laps: dict[str, list] = {side.name: [] for side in sides}
    end = time.perf_counter() + seconds
    for done in range(rounds):
        if done >= 5 and time.perf_counter() > end:
            break
        first = done % len(sides)
        for side in (*sides[first:], *sides[:first]):
            laps[side.name].append(lap(side))
    return laps


def _columns(laps: list[dict[str, float]]) -> dict[str, np.ndarray]:
    columns = {stage: np.array([lap[stage] for lap in laps]) for stage in STAGES}
    columns['backbone'] = sum(columns[stage] for stage in BACKBONE)
    columns['total'] = sum(columns[stage] for stage in STAGES)
    return columns


def paired_ratio(slow: np.ndarray, fast: np.ndarray, seed: int = 0) -> dict[str, float]:
    """
    Return how many times faster `fast` is: the median over rounds and its 95 % interval.

    slow, fast: milliseconds [rounds] of the same rounds.  The interval is the percentile
    bootstrap's over rounds.
    """
    ratios = slow / fast
    draws = np.random.default_rng(seed).integers(len(ratios), size=(_RESAMPLES, len(ratios)))
    medians = np.median(ratios[draws], axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return {'ratio': float(np.median(ratios)), 'low': float(low), 'high': float(high)}
