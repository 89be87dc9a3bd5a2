# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The 95 % interval of a mean over images that are not independent.

Neighbouring images show nearly the same, so that an interval as of independent ones would be far
too short. With episodes enough, whole episodes are drawn; else blocks of neighbours.
"""

from __future__ import annotations

import numpy as np

from .row_numbers import Interval

LEAST_BLOCKS, LEAST_EPISODES = 6, 10
Z95 = 1.959963984540054


def mean_interval(values: np.ndarray, episodes: np.ndarray) -> Interval:
    """Return the mean of values [N] and its interval; NaN is left out.  episodes: [N]."""
    known = np.isfinite(values)
    values, episodes = values[known], episodes[known]
    if not len(values):
        return Interval(None, None, None, 0, 'blocks', 0, 'there are no numbers')
    mean, (_, number) = float(values.mean()), np.unique(episodes, return_inverse=True)
    if number.max() + 1 >= LEAST_EPISODES:
        half = _half_by_episodes(values - mean, number)
        return Interval(mean, mean - half, mean + half, len(values), 'episodes', 0)
    length = 2 * block_length(values) if values.std() > 0 else 1
    blocks = len(values) // length
    if blocks < LEAST_BLOCKS:
        return Interval(mean, None, None, len(values), 'blocks', length,
                        f'{len(values)} images are {blocks} blocks of {length} that are alike: '
                        f'at least {LEAST_BLOCKS} are needed')
    half = _half_by_blocks(values - mean, length, blocks)
    return Interval(mean, mean - half, mean + half, len(values), 'blocks', length)


def student(freedom: int) -> float:
    """
    Return the 97.5 % quantile of Student's t, for 5 degrees of freedom and more.

    By the expansion of Fisher and Cornish (1960) around the normal one; right to 0.3 %.
    """
    z, v = Z95, float(freedom)
    return (z + (z ** 3 + z) / (4 * v) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2)
            + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3))


def block_length(values: np.ndarray) -> int:
    """
    Return how many neighbours to draw together, at least 1.

    Politis and White, "Automatic block-length selection for the dependent bootstrap",
    Econometric Reviews 23 (2004), with the correction by Patton, Politis and White (2009), for
    the circular bootstrap of the mean of a series [N].
    """
    count = len(values)
    centred = values - values.mean()
    if count < 8 or not centred.any():
        return 1
    reach = max(5, int(np.sqrt(np.log10(count))))
    most = min(int(np.ceil(np.sqrt(count))) + reach, count - 1)
    covariances = _autocovariances(centred, most)
    correlations = np.abs(covariances / covariances[0])
    bound = 2.0 * np.sqrt(np.log10(count) / count)
    silent = next((lag for lag in range(most - reach + 1)
                   if (correlations[lag + 1:lag + 1 + reach] < bound).all()), None)
    lags = most if silent is None else min(2 * max(silent, 1), most)
    lag = np.arange(1, lags + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lag / lags))
    spectrum = covariances[0] + 2.0 * (window * covariances[1:lags + 1]).sum()
    slope = 2.0 * (window * lag * covariances[1:lags + 1]).sum()
    length = (1.5 * slope ** 2 / max(spectrum ** 2, 1e-300) * count) ** (1 / 3)
    return int(np.clip(np.ceil(length), 1, np.ceil(min(3 * np.sqrt(count), count / 3))))


def _autocovariances(centred: np.ndarray, most: int) -> np.ndarray:
    """Return float64 [most + 1], by lag, of a series around 0."""
    count = len(centred)
    size = 1 << (count + most).bit_length()
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    return np.fft.irfft(power, size)[:most + 1] / count


def _half_by_blocks(centred: np.ndarray, length: int, blocks: int) -> float:
    """Return half the interval; blocks may begin anywhere, the end joins the beginning."""
    around = np.concatenate([[0.0], np.cumsum(np.concatenate([centred, centred[:length]]))])
    sums = around[length:length + len(centred)] - around[:len(centred)]
    spread = float(np.sqrt((sums ** 2).mean())) / length
    return student(blocks - 1) * spread / np.sqrt(blocks - 1)


def _half_by_episodes(centred: np.ndarray, number: np.ndarray) -> float:
    """Return half the interval; number: of the episode, from 0, [N]."""
    sums = np.bincount(number, centred)
    count = len(sums)
    error = np.sqrt((sums ** 2).sum() * count / (count - 1)) / len(centred)
    return student(count - 1) * float(error)
