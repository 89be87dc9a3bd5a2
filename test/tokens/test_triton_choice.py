# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The one-block selection, in Triton's interpreter, gives what the plain code gives."""
import cuda_interpreter  # noqa: F401
import numpy as np
import pytest
from sqap_vla_ros.tokens.choice import BUDGETS, select_tokens, SelectionConfig
from sqap_vla_ros.tokens.farthest import TIES
from sqap_vla_ros.tokens.triton_choice import select_tokens_cuda
import torch


def scene(generator, count):
    """Return float32 scores and distances; often with ties, nothing or everything protected."""
    scores = generator.standard_normal(count).round(generator.integers(0, 7))
    share = generator.choice([0, 0.1, 0.5, 1])
    distance = (3 * generator.random(count)).round(generator.integers(0, 7))
    distance[generator.random(count) >= share] = np.inf
    return scores.astype(np.float32), distance.astype(np.float32)


def choose(scores, distance, grid, config, images=1):
    """Return what the kernel writes, as lists."""
    kept, reason = torch.full((config.keep,), -1), torch.full((config.keep,), 99).byte()
    select_tokens_cuda(scores, distance, grid, config, kept, reason, images)
    return kept.tolist(), reason.tolist()


def check(scores, distance, grid, config, images=1):
    """Compare the kernel's choice with the plain code's, token by token."""
    expected = select_tokens(scores, distance, grid, config, images=images)
    found = choose(torch.from_numpy(scores), torch.from_numpy(distance), grid, config, images)
    assert found == (expected.kept.tolist(), expected.reason.tolist()), (grid, config, images)


@pytest.mark.parametrize('protect', [True, False])
@pytest.mark.parametrize('sample', [True, False])
def test_every_switch_gives_the_plain_choice_on_small_grids(protect, sample):
    generator = np.random.default_rng(2 * protect + sample)
    for _ in range(6):
        grid = tuple(map(int, generator.integers(1, 8, 2)))
        count = grid[0] * grid[1]
        config = SelectionConfig(
            int(generator.integers(1, count + 1)), int(generator.integers(0, count + 4)),
            True, protect, sample, ties=str(generator.choice(TIES)))
        check(*scene(generator, count), grid, config)


@pytest.mark.parametrize('ties', TIES)
def test_the_default_budget_on_the_models_grid(ties):
    generator = np.random.default_rng(7)
    check(*scene(generator, 256), (16, 16), SelectionConfig(154, ties=ties))


@pytest.mark.parametrize('grid, keep', [((32, 32), 30), ((1, 600), 20), ((24, 48), 20)])
def test_larger_grids_and_long_ones(grid, keep):
    generator = np.random.default_rng(8)
    check(*scene(generator, grid[0] * grid[1]), grid, SelectionConfig(keep, 16, ties='even'))


def test_sampling_alone_starts_in_the_centre_and_goes_on_after_the_last_distance():
    for grid, keep in (((5, 7), 1), ((6, 5), 29), ((8, 8), 64)):
        zeros = np.zeros(grid[0] * grid[1], np.float32)
        check(zeros, zeros, grid, SelectionConfig(keep, preserve_top_k=0, protect=False))


def test_attention_alone_takes_the_best_scores():
    generator = np.random.default_rng(9)
    for keep in (1, 30):
        check(*scene(generator, 64), (8, 8), SelectionConfig(keep, method='attention'))


def test_both_zeros_are_equal():
    scores = torch.tensor([-0.0, 0.0, -1.0, 0.0, -0.0, 2.0])
    kept, _ = choose(scores, scores, (2, 3), SelectionConfig(3, method='attention'))
    assert kept == [0, 1, 5]


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('sample', [True, False])
def test_with_scores_that_are_not_finite_what_comes_out_are_still_tokens(bad, sample):
    scores = torch.rand(64)
    scores[[3, 40, 63]] = bad
    kept, reason = choose(scores, scores, (8, 8), SelectionConfig(20, 5, sample=sample))
    assert len(set(kept)) == 20 and 0 <= min(kept) and max(kept) < 64 and max(reason) < 4


@pytest.mark.parametrize('budget', BUDGETS)
@pytest.mark.parametrize('sample', [True, False])
def test_several_images_give_the_plain_choice_with_either_budget(budget, sample):
    generator = np.random.default_rng(4 + 2 * (budget == 'joint') + sample)
    for images in (2, 3):
        grid = tuple(map(int, generator.integers(1, 6, 2)))
        count = images * grid[0] * grid[1]
        config = SelectionConfig(
            int(generator.integers(1, count + 1)), int(generator.integers(0, count)), True,
            bool(generator.integers(2)), sample, ties=str(generator.choice(TIES)), budget=budget)
        scores, distance = scene(generator, count)
        scores[count // images:] -= 9  # all attention is on the first image
        check(scores, distance, grid, config, images)


def test_the_budget_of_two_images_on_the_models_grid():
    generator = np.random.default_rng(7)
    check(*scene(generator, 512), (16, 16), SelectionConfig(308, 64, ties='even'), 2)


def test_attention_alone_leaves_every_image_its_least():
    scores = np.arange(60, dtype=np.float32)
    check(scores, scores, (4, 5), SelectionConfig(24, method='attention'), 3)


def test_the_last_patch_of_an_image_is_no_neighbour_of_the_next_image():
    scores = (np.arange(32) == 15).astype(np.float32)
    for keep in (2, 5):
        check(scores, scores, (4, 4), SelectionConfig(keep, 1, protect=False), 2)
