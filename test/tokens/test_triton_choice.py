# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The one-block selection, in Triton's interpreter, gives what the plain code gives."""
import itertools

import cuda_interpreter  # noqa: F401
import numpy as np
import pytest
from sqap_vla_ros.observation import FILLED
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig, TIES
from sqap_vla_ros.tokens.on_device import needs_draw, random_draw
from sqap_vla_ros.tokens.triton_choice import select_tokens_cuda
import torch

SWITCHES = [*itertools.product([True, False], repeat=3)]  # preserve, protect, sample


def scene(generator, count):
    """Return float32 scores and distances; often with ties, nothing or everything protected."""
    scores = generator.standard_normal(count).round(generator.integers(0, 7))
    share = generator.choice([0, 0.1, 0.5, 1])
    distance = (3 * generator.random(count)).round(generator.integers(0, 7))
    distance[generator.random(count) >= share] = np.inf
    return scores.astype(np.float32), distance.astype(np.float32)


def check(scores, distance, grid, config, step=0):
    """Compare the kernel's choice with the plain code's, token by token."""
    expected = select_tokens(scores if config.needs_scores else None, distance, grid, config, step)
    draw = torch.from_numpy(random_draw(grid, config, step)) if needs_draw(config) else None
    status = torch.full((1,), -1, dtype=torch.int32)
    kept, reason = select_tokens_cuda(
        torch.from_numpy(scores), None if distance is None else torch.from_numpy(distance), grid,
        config, draw, status)
    assert kept.tolist() == expected.kept.tolist(), (grid, config)
    assert reason.tolist() == expected.reason.tolist(), (grid, config)
    assert status.item() == 0


@pytest.mark.parametrize('preserve, protect, sample', [
    switches for switches in SWITCHES if switches != (False, False, False)])
def test_every_switch_gives_the_plain_choice_on_small_grids(preserve, protect, sample):
    generator = np.random.default_rng(4 * preserve + 2 * protect + sample)
    for _ in range(6):
        grid = tuple(map(int, generator.integers(1, 8, 2)))
        count = grid[0] * grid[1]
        config = SelectionConfig(
            int(generator.integers(1, count + 1)), int(generator.integers(0, count + 4)),
            preserve, protect, sample, ties=str(generator.choice(TIES)))
        scores, distance = scene(generator, count)
        check(scores, distance if generator.random() < 0.8 else None, grid, config,
              int(generator.integers(9)))


@pytest.mark.parametrize('ties', TIES)
def test_the_default_budget_on_the_models_grid(ties):
    generator = np.random.default_rng(7)
    check(*scene(generator, 256), (16, 16), SelectionConfig(154, ties=ties))


@pytest.mark.parametrize('grid, keep', [
    ((24, 24), 40), ((32, 32), 30), ((12, 40), 30), ((1, 600), 20), ((24, 48), 20)])
def test_larger_grids_and_long_ones(grid, keep):
    generator = np.random.default_rng(8)
    scores, distance = scene(generator, grid[0] * grid[1])
    check(scores, distance, grid, SelectionConfig(keep, 16, ties='even'))


def test_sampling_alone_starts_in_the_centre_and_goes_on_after_the_last_distance():
    for grid, keep in (((5, 7), 1), ((6, 5), 29), ((8, 8), 64)):
        check(np.zeros(grid[0] * grid[1], np.float32), None, grid,
              SelectionConfig(keep, preserve=False, protect=False))


def test_attention_alone_takes_the_best_scores():
    generator = np.random.default_rng(9)
    for keep in (1, 30):
        check(*scene(generator, 64), (8, 8), SelectionConfig(keep, method='attention'))


def test_a_random_draw_is_taken_as_it_was_drawn():
    config = SelectionConfig(20, preserve=False, protect=False, sample=False)
    expected = select_tokens(None, None, (8, 8), config, 5).kept
    draw = torch.zeros(64, dtype=torch.uint8)
    draw[expected] = 1
    kept, reason = select_tokens_cuda(torch.zeros(64), None, (8, 8), config, draw)
    assert kept.tolist() == expected.tolist() and set(reason.tolist()) == {FILLED}


def test_both_zeros_and_scores_of_other_types_are_ranked_as_numbers():
    scores = torch.tensor([-0.0, 0.0, -1.0, 0.0, -0.0, 2.0])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        kept, _ = select_tokens_cuda(scores.to(dtype), None, (2, 3),
                                     SelectionConfig(3, method='attention'))
        assert kept.tolist() == [0, 1, 5]


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_scores_that_are_not_finite_are_counted_and_the_shapes_stay(bad):
    scores, status = torch.rand(64), torch.zeros(1, dtype=torch.int32)
    scores[[3, 40, 63]] = bad
    for sample in (True, False):
        config = SelectionConfig(20, 5, sample=sample)
        kept, reason = select_tokens_cuda(scores, None, (8, 8), config, status=status)
        assert status.item() == 3
        assert len(set(kept.tolist())) == len(reason) == 20
        assert 0 <= kept.min() and kept.max() < 64


def test_what_the_device_cannot_choose_is_refused():
    for config in (SelectionConfig(4, method='uniform'), SelectionConfig(65)):
        with pytest.raises(ValueError, match='not a choice'):
            select_tokens_cuda(torch.zeros(64), None, (8, 8), config)
