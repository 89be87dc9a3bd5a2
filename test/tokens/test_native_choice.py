# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The native selection makes the choice of tokens.select_tokens, or leaves it to that."""
import numpy as np
import pytest
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig, TIES
from sqap_vla_ros.tokens.native_choice import native_select
from sqap_vla_ros.tokens.on_device import select
import torch

pytestmark = pytest.mark.skipif(bool(native_reason()), reason=native_reason())


def draw_case(rng, number):
    """Return scores, distances, grid and configuration; half of them with many equal numbers."""
    grid = tuple(int(size) for size in rng.integers(1, 18, 2))
    total = grid[0] * grid[1]
    config = SelectionConfig(
        int(rng.integers(1, total + 1)), int(rng.integers(0, 40)), bool(rng.integers(2)),
        bool(rng.integers(2)), ties=TIES[rng.integers(2)])
    scores = rng.integers(0, 9, total) if number % 2 else rng.standard_normal(total)
    near = rng.random(total) < rng.random()
    distance = np.where(near, rng.integers(0, 4, total) / 2, np.inf)
    return scores.astype(np.float32), None if number % 5 == 0 else distance, grid, config


def test_it_is_the_choice_of_the_python_code():
    rng = np.random.default_rng(0)
    for number in range(600):
        scores, distance, grid, config = draw_case(rng, number)
        expected = select_tokens(scores, distance, grid, config)
        kept, reason = native_select(torch.from_numpy(scores), distance, grid, config)
        assert np.array_equal(kept.numpy(), expected.kept), (number, grid, config)
        assert np.array_equal(reason.numpy(), expected.reason), (number, grid, config)


def test_a_network_on_the_cpu_selects_by_it(monkeypatch):
    def forbidden(*_):
        raise AssertionError('the Python code was called')
    monkeypatch.setattr('sqap_vla_ros.tokens.on_device.select_tokens', forbidden)
    kept, reason = select(torch.rand(16), np.full(16, np.inf), (4, 4), SelectionConfig(5))
    assert len(kept) == len(reason) == 5
    with pytest.raises(AssertionError, match='Python code'):
        select(torch.rand(16), None, (4, 4), SelectionConfig(5, method='attention'))


def test_it_leaves_what_it_cannot_do_to_the_python_code():
    scores, distance = torch.rand(16), np.full(16, np.inf)
    for config in (SelectionConfig(4, sample=False), SelectionConfig(4, method='random'),
                   SelectionConfig(4, method='attention'), SelectionConfig(17)):
        assert native_select(scores, distance, (4, 4), config) is None
    config = SelectionConfig(4)
    assert native_select(scores, distance, (4, 5), config) is None
    assert native_select(scores, distance[:3], (4, 4), config) is None
    assert native_select(scores, np.full(16, np.nan), (4, 4), config) is None
    assert native_select(torch.full((16,), float('nan')), distance, (4, 4), config) is None
    assert native_select(scores, distance, (4, 4), config) is not None
