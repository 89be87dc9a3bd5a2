# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Selecting tokens by tensor operations gives what the plain code gives."""
from hypothesis import given, settings, strategies as st
import numpy as np
from sqap_vla_ros.model.selection import select, select_on_device
from sqap_vla_ros.tokens import METHODS, select_tokens, SelectionConfig, TIES
import torch


@st.composite
def cases(draw):
    """Return grid, scores with ties, distances with some or no protection, and a config."""
    grid = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    count = grid[0] * grid[1]
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    scores = random.random(count).astype(np.float32).round(draw(st.integers(1, 6)))
    near = np.where(random.random(count) < random.random(), random.random(count) * 3, np.inf)
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
        kept, reason = function(torch.from_numpy(scores), near, grid, config, step)
        assert kept.tolist() == expected.kept.tolist()
        assert reason.tolist() == expected.reason.tolist()


def test_shapes_depend_on_the_configuration_alone():
    config = SelectionConfig(40)
    for near in (None, np.full(64, 0.5)):
        kept, reason = select_on_device(torch.empty(64, device='meta'), near, (8, 8), config)
        assert kept.shape == reason.shape == (40,)
        assert kept.device.type == 'meta'
