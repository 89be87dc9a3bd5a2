# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Selecting tokens by tensor operations gives what the plain code gives."""
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from sqap_vla_ros.tokens.choice import METHODS, select_tokens, SelectionConfig, TIES
from sqap_vla_ros.tokens.on_device import (
    check_status, known_on_host, needs_draw, random_draw, select, select_on_device)
import torch
from torch.fx.experimental.proxy_tensor import make_fx


@st.composite
def cases(draw):
    """Return grid, scores with ties, distances with some or no protection, and a config."""
    grid = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    count = grid[0] * grid[1]
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    scores = random.random(count).astype(np.float32).round(draw(st.integers(1, 6)))
    near = np.where(random.random(count) < random.random(), random.random(count) * 3, np.inf)
    near = near.round(draw(st.integers(1, 6))).astype(np.float32)
    config = SelectionConfig(
        draw(st.integers(1, count)), draw(st.integers(0, 40)), draw(st.booleans()),
        draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(METHODS)),
        ties=draw(st.sampled_from(TIES)))
    return grid, scores, draw(st.sampled_from([near, None])), config, draw(st.integers(0, 9))


@settings(max_examples=300, deadline=None)
@given(cases())
def test_tensors_and_arrays_give_the_same_tokens_for_the_same_reasons(case):
    grid, scores, near, config, step = case
    expected = select_tokens(scores if config.needs_scores else None, near, grid, config, step)
    for function in (select, select_on_device):
        for distance in (near, None if near is None else torch.from_numpy(near)):
            kept, reason = function(torch.from_numpy(scores), distance, grid, config, step)
            assert kept.tolist() == expected.kept.tolist()
            assert reason.tolist() == expected.reason.tolist()


def test_shapes_depend_on_the_configuration_alone():
    for config in (SelectionConfig(40), SelectionConfig(40, preserve=False),
                   SelectionConfig(40, sample=False), SelectionConfig(40, method='attention')):
        for near in (None, np.full(64, 0.5), torch.empty(64, device='meta')):
            kept, reason = select_on_device(torch.empty(64, device='meta'), near, (8, 8), config)
            assert kept.shape == reason.shape == (40,)
            assert kept.device.type == 'meta'


def test_one_recorded_sequence_of_operations_serves_every_distance():
    """As a captured graph does: traced once, then run on other values in the same tensors."""
    config = SelectionConfig(20, 12)
    scores, distance = torch.rand(64), torch.full((64,), float('inf'))

    def choose(scores, distance):
        return select_on_device(scores, distance, (8, 8), config)

    replay = make_fx(choose)(scores, distance)
    generator = np.random.default_rng(0)
    for share in (0, 0.02, 0.2, 1):
        near = np.where(generator.random(64) < share, generator.random(64), np.inf)
        near = near.astype(np.float32)
        scores = generator.random(64).astype(np.float32)
        expected = select_tokens(scores, near, (8, 8), config)
        kept, reason = replay(torch.from_numpy(scores), torch.from_numpy(near))
        assert kept.tolist() == expected.kept.tolist()
        assert reason.tolist() == expected.reason.tolist()


def test_broken_scores_are_counted_without_looking_at_them():
    scores, status = torch.rand(64), torch.zeros(1, dtype=torch.int32)
    scores[[5, 6]] = torch.tensor([float('nan'), float('inf')])
    kept, _ = select_on_device(scores, None, (8, 8), SelectionConfig(40), status=status)
    assert status.item() == 2 and len(set(kept.tolist())) == 40
    with pytest.raises(ValueError, match='2 of 64 attention scores are not finite'):
        check_status(status.item(), 64)
    check_status(0, 64)


def test_the_host_alone_decides_where_nothing_from_the_device_matters():
    assert all(known_on_host(SelectionConfig(4, method=method))
               for method in ('random', 'uniform'))
    assert known_on_host(SelectionConfig(4, preserve=False, protect=False))
    assert not known_on_host(SelectionConfig(4, preserve=False))
    assert not known_on_host(SelectionConfig(4, method='attention'))


def test_a_draw_that_was_made_before_is_taken_instead_of_a_new_one():
    config = SelectionConfig(20, preserve=False, sample=False)
    assert needs_draw(config) and not needs_draw(SelectionConfig(20, sample=False))
    draw = torch.from_numpy(random_draw((8, 8), config, 3))
    nothing = torch.full((64,), float('inf'))
    kept, _ = select_on_device(torch.rand(64), nothing, (8, 8), config, 4, draw)
    assert kept.tolist() == select_tokens(None, None, (8, 8), config, 3).kept.tolist()


@pytest.mark.parametrize('distance', [np.zeros(63, np.float32), np.full(64, np.nan, np.float32),
                                      torch.zeros(63)])
def test_distances_that_do_not_fit_are_refused(distance):
    with pytest.raises(ValueError, match='protected distances'):
        select_on_device(torch.rand(64), distance, (8, 8), SelectionConfig(40))


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r'\[64\], found \[63\]'):
        select_on_device(torch.rand(63), None, (8, 8), SelectionConfig(40))
