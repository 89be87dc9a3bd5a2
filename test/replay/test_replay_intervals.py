# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Intervals of means over images that are alike: against arch 8.0 and SciPy, and by trial."""
import numpy as np
import pytest
from sqap_vla_ros.replay.metrics.intervals import block_length, mean_interval, student

stats = pytest.importorskip('scipy.stats')


def series(rho, count, seed):
    """Return an autoregressive series around 0, float64 [count]."""
    rng = np.random.default_rng(seed)
    noise, values = rng.normal(size=count), np.zeros(count)
    for index in range(1, count):
        values[index] = rho * values[index - 1] + noise[index]
    return values


# arch.bootstrap.optimal_block_length(...)['circular'], and the standard deviation of the means of
# 20000 draws of CircularBlockBootstrap with twice our length
@pytest.mark.parametrize('rho, count, seed, length, error', [
    (0.6, 300, 1, 6.39, 0.08157), (0.9, 2000, 3, 46.82, 0.19516), (0.97, 4000, 4, 127.79, 0.46699),
    (0.3, 1000, 5, 8.29, 0.04600), (0.8, 500, 6, 18.46, 0.20507)])
def test_blocks_and_their_error_are_those_of_arch(rho, count, seed, length, error):
    values = series(rho, count, seed)
    mine = block_length(values)
    assert mine == pytest.approx(length, abs=1.4)
    found = mean_interval(values, np.zeros(count))
    assert found.block == 2 * mine and found.drawn == 'blocks' and found.count == count
    blocks = count // found.block
    half = stats.t.ppf(0.975, blocks - 1) * error * np.sqrt(blocks / (blocks - 1))
    assert found.high - found.mean == pytest.approx(half, rel=0.04)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert found.mean == pytest.approx(values.mean())


@pytest.mark.parametrize('freedom', [5, 6, 9, 15, 40, 1000])
def test_students_quantile_is_scipys(freedom):
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def test_the_interval_covers_what_it_says_where_independent_ones_would_not():
    hits = naive = 0
    for seed in range(100):
        values = series(0.8, 400, seed)
        found = mean_interval(values, np.zeros(400))
        hits += found.low is None or found.low <= 0 <= found.high
        naive += abs(values.mean()) <= 1.96 * values.std() / 20
    assert hits >= 88 and naive <= 70


def test_whole_episodes_are_what_is_independent():
    rng = np.random.default_rng(0)
    episodes = np.repeat(np.arange(12), 30)
    values = np.repeat(rng.normal(size=12), 30) + 0.1 * rng.normal(size=360)
    found = mean_interval(values, episodes)
    means = values.reshape(12, 30).mean(1)  # of equal length: a plain t interval of their means
    half = stats.t.ppf(0.975, 11) * means.std(ddof=1) / np.sqrt(12)
    assert found.drawn == 'episodes' and found.high - found.mean == pytest.approx(half, rel=1e-3)


def test_too_few_images_have_no_interval_and_say_why():
    found = mean_interval(np.cumsum(np.ones(30)), np.zeros(30))
    assert found.mean == 15.5 and found.low is None and 'at least 6 are needed' in found.why
    none = mean_interval(np.full(5, np.nan), np.zeros(5))
    assert none.mean is None and none.count == 0


def test_what_is_not_known_is_left_out_and_what_does_not_vary_has_no_width():
    values = np.where(np.arange(200) % 3 == 0, np.nan, 2.5)
    found = mean_interval(values, np.zeros(200))
    assert (found.mean, found.low, found.high, found.count) == (2.5, 2.5, 2.5, 133)
