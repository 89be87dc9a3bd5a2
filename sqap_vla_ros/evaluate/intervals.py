# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Success rates, and differences of two that were measured on the same initial states."""

from __future__ import annotations

import math


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a success rate (Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    rate, spread = successes / trials, z * z / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference(both: int, first: int, second: int, neither: int):
    """
    Return rate 1 - rate 2 and the bounds of its 95 % interval.

    both, first, second, neither: pairs in which both, only the first, only the second, or
    neither succeeded.  The interval is method 10 of Newcombe, "Improved confidence intervals
    for the difference between binomial proportions based on paired data", Statistics in
    Medicine 17 (1998): Wilson's intervals of both rates, joined with their correlation.
    """
    pairs = both + first + second + neither
    if pairs == 0:
        return 0.0, -1.0, 1.0
    rate_1, rate_2 = (both + first) / pairs, (both + second) / pairs
    low_1, high_1 = wilson_interval(both + first, pairs)
    low_2, high_2 = wilson_interval(both + second, pairs)
    phi = _correlation(both, first, second, neither)

    def joined(one: float, other: float) -> float:
        return math.sqrt(one * one - 2 * phi * one * other + other * other)
    difference = rate_1 - rate_2
    return (difference, difference - joined(rate_1 - low_1, high_2 - rate_2),
            difference + joined(high_1 - rate_1, rate_2 - low_2))


def mean_interval(values) -> tuple[float, float, float]:
    """Return the mean of at least two values and its 95 % interval, by the normal law."""
    count, mean = len(values), sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    half = 1.96 * spread / math.sqrt(count)
    return mean, mean - half, mean + half


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Return phi of the pairs; a positive one with the continuity correction of method 10."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if margins == 0:
        return 0.0
    excess = both * neither - first * second
    if excess > 0:
        excess = max(0.0, excess - (both + first + second + neither) / 2)
    return excess / math.sqrt(margins)
