# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Token selection over several images: shared budgets, floors, and nobody's neighbours."""
import itertools
import math

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import FILLED, PRESERVED, PROTECTED, SAMPLED
from sqap_vla_ros.tokens.choice import BUDGETS, METHODS, select_tokens, SelectionConfig
from sqap_vla_ros.tokens.farthest import farthest_points, TIES

GRID, SIZE = (16, 16), 256


def counts(selection):
    """Return how many tokens each image keeps."""
    return [len(selection.of_image(image).kept) for image in range(selection.images)]


def scene(images, seed=0, share=0.1):
    generator = np.random.default_rng(seed)
    distance = 3 * generator.random(images * SIZE)
    distance[generator.random(images * SIZE) >= share] = np.inf
    return generator.random(images * SIZE), distance


def kept_for(selection, reason):
    return set(selection.kept[selection.reason == reason].tolist())


def gaps(grid, images, chosen):
    """Return {free patch: how far it is from those chosen of its image}, inf without any."""
    size = math.prod(grid)
    return {patch: min((math.dist(divmod(patch % size, grid[1]), divmod(other % size, grid[1]))
                        for other in chosen if other // size == patch // size), default=math.inf)
            for patch in range(images * size) if patch not in chosen}


@settings(max_examples=50)
@given(st.data(), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.sampled_from(TIES))
def test_each_sampled_patch_is_the_farthest_within_its_image(data, rows, cols, images, ties):
    grid, size = (rows, cols), rows * cols
    start = data.draw(st.lists(st.integers(0, images * size - 1), unique=True))
    count = data.draw(st.integers(0, images * size - len(start)))
    added = farthest_points(grid, start, count, ties, images).tolist()
    assert len(set(added)) == count and not set(added) & set(start)
    chosen, centre = list(start), (rows - 1) // 2 * cols + (cols - 1) // 2
    for patch in added:
        gap = gaps(grid, images, chosen)
        assert gap[patch] == max(gap.values())
        assert gap[patch] < math.inf or patch % size == centre
        chosen.append(patch)


@settings(max_examples=50)
@given(st.data(), st.integers(1, 3), st.sampled_from(TIES), st.integers(0, 20))
def test_sampling_pays_what_an_image_is_owed_and_is_the_farthest_else(data, images, ties, least):
    start = data.draw(st.lists(st.integers(0, 15 * images - 1), unique=True, max_size=10))
    count = data.draw(st.integers(0, 15 * images - len(start)))
    added = farthest_points((3, 5), start, count, ties, images, least)
    held = np.bincount(np.array([*start, *added], int) // 15, minlength=images)
    before = np.bincount(np.array(start, int) // 15, minlength=images)
    owed = np.minimum(np.maximum(least - before, 0), 15 - before)
    if owed.sum() <= count:
        assert (held >= np.minimum(least, 15)).all()
    free = farthest_points((3, 5), start, count, ties, images)
    enough = np.bincount(np.array([*start, *free], int) // 15, minlength=images) >= least
    if enough.all():
        assert set(added.tolist()) == set(free.tolist())


def test_no_image_is_owed_more_than_it_has():
    added = farthest_points((3, 5), [0, 1], 28, 'index', 2, 16)
    assert set(added.tolist()) == set(range(2, 30))


@settings(max_examples=200)
@given(st.data(), st.integers(1, 3), st.sampled_from(METHODS), st.sampled_from(BUDGETS),
       st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_budgets_are_exact_and_no_image_is_starved(data, images, method, budget, switches):
    grid = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    count = images * math.prod(grid)
    keep = data.draw(st.sampled_from([count, 1]) | st.integers(1, count))
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scores = generator.integers(0, 4, count) * (np.arange(count) < count // images)
    distance = np.where(np.arange(count) < generator.integers(0, count + 1),
                        generator.random(count), np.inf)
    config = SelectionConfig(keep, data.draw(st.integers(0, 40)), *switches, method,
                             ties=data.draw(st.sampled_from(TIES)), budget=budget)
    selection = select_tokens(scores, distance, grid, config, 3, images)
    assert selection.kept.shape == selection.reason.shape == (keep,)
    assert (np.diff(selection.kept) > 0).all() and selection.kept[-1] < count
    least = keep // images if budget == 'each' else keep // (2 * images)
    assert min(counts(selection)) >= least
    again = select_tokens(scores, distance, grid, config, 3, images)
    np.testing.assert_array_equal(selection.kept, again.kept)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('images, keep, top_k', [(2, 201, 31), (3, 7, 2), (3, 2, 1)])
def test_budgets_of_their_own_choose_as_if_each_image_were_alone(method, images, keep, top_k):
    scores, distance = scene(images)
    config = SelectionConfig(keep, top_k, method=method, ties='even', budget='each')
    found = select_tokens(scores, distance, GRID, config, images=images)
    for image in range(images):
        alone = keep // images + (image < keep % images)
        if method == 'random' or not alone:
            assert len(found.of_image(image).kept) == alone
            continue
        part = slice(image * SIZE, (image + 1) * SIZE)
        one = SelectionConfig(alone, top_k // images + (image < top_k % images), method=method,
                              ties='even')
        expected = select_tokens(scores[part], distance[part], GRID, one)
        np.testing.assert_array_equal(found.of_image(image).kept, expected.kept)
        np.testing.assert_array_equal(found.of_image(image).reason, expected.reason)


def test_random_draws_differ_between_images_that_have_budgets_of_their_own():
    for budget in BUDGETS:
        found = select_tokens(None, None, GRID, SelectionConfig(
            100, method='random', budget=budget), images=2)
        one, other = (set(found.of_image(image).kept.tolist()) for image in range(2))
        assert one != other


def test_a_joint_budget_follows_the_attention():
    scores, nothing = scene(2)[0], np.full(2 * SIZE, np.inf)
    scores[SIZE:] /= 100
    config = SelectionConfig(308, 64, ties='even')
    joint = select_tokens(scores, nothing, GRID, config, images=2)
    assert kept_for(joint, PRESERVED) == set(np.argsort(-scores)[:64].tolist())
    assert max(kept_for(joint, PRESERVED)) < SIZE
    each = select_tokens(scores, nothing, GRID, SelectionConfig(
        308, 64, ties='even', budget='each'), images=2)
    assert counts(each) == [154, 154]
    assert [each.of_image(image).counts()['preserved'] for image in range(2)] == [32, 32]


def test_attention_that_is_all_on_one_image_leaves_the_others_half_an_equal_share():
    scores = np.concatenate([1 + np.arange(SIZE), np.arange(SIZE), np.zeros(SIZE)])
    scores[SIZE:2 * SIZE] /= 1000
    for config in (SelectionConfig(120, method='attention'), SelectionConfig(120, 120),
                   SelectionConfig(120, 60, sample=False)):
        found = select_tokens(scores, None, GRID, config, images=3)
        assert counts(found) == [80, 20, 20]
        assert found.of_image(0).kept.tolist() == list(range(176, 256))  # its best
        assert found.of_image(1).kept.tolist() == list(range(236, 256)) or config.sample


def test_sampling_gives_an_image_its_least_though_patches_of_another_are_farther():
    scores = np.zeros(2 * SIZE)
    scores[:15] = 1.0  # in the first row: what is below is far from it
    found = select_tokens(scores, None, GRID, SelectionConfig(20, 15, ties='even'), images=2)
    assert counts(found) == [15, 5]


def test_what_is_protected_counts_towards_the_least_of_its_image():
    scores = np.concatenate([np.ones(SIZE), np.zeros(SIZE)])
    distance = np.full(2 * SIZE, np.inf)
    distance[SIZE + 17:SIZE + 27] = 1.0
    found = select_tokens(scores, distance, GRID, SelectionConfig(40, 40), images=2)
    assert counts(found) == [30, 10]
    assert kept_for(found, PROTECTED) == set(range(SIZE + 17, SIZE + 27))


def test_what_is_protected_and_preserved_costs_nothing_twice():
    scores = np.concatenate([np.zeros(SIZE), np.arange(SIZE) + 1.0])
    distance = np.full(2 * SIZE, np.inf)
    distance[-20:] = 1.0  # the best scores
    found = select_tokens(scores, distance, GRID, SelectionConfig(40, 20), images=2)
    assert kept_for(found, PRESERVED) == set(range(2 * SIZE - 20, 2 * SIZE))
    assert not kept_for(found, PROTECTED)


def test_protection_takes_the_nearest_of_all_images_and_half_the_budget():
    distance = np.arange(2.0 * SIZE)[::-1]
    found = select_tokens(None, distance, GRID, SelectionConfig(64, preserve=False), images=2)
    assert kept_for(found, PROTECTED) == set(range(480, 512))


def test_a_patch_is_no_neighbour_of_another_image():
    # the last patch of the first image and the first of the second are numbered side by side
    distance = np.full(32, np.inf)
    distance[15] = 0.0
    config = SelectionConfig(2, preserve=False)
    assert select_tokens(None, distance, (4, 4), config, images=2).kept.tolist() == [15, 16 + 5]


def test_images_that_look_alike_keep_the_same_patches():
    scores, distance = scene(1)
    for budget, method in itertools.product(BUDGETS, ('sqap', 'uniform')):
        config = SelectionConfig(308, 64, method=method, ties='even', budget=budget)
        found = select_tokens(np.tile(scores, 2), np.tile(distance, 2), GRID, config, images=2)
        one, other = (found.of_image(image) for image in range(2))
        np.testing.assert_array_equal(one.kept, other.kept)
        np.testing.assert_array_equal(one.reason, other.reason)


@pytest.mark.parametrize('ties, most', [('even', 8), ('index', 60)])
def test_many_sampled_patches_are_spread_over_all_images(ties, most):
    config = SelectionConfig(308, preserve=False, protect=False, ties=ties)
    kept = select_tokens(None, None, GRID, config, images=2).kept
    quarters = np.bincount(4 * (kept // SIZE) + 2 * (kept % SIZE // 128) + kept % 16 // 8)
    assert np.ptp(quarters) <= most


def test_filling_by_nearness_draws_where_an_image_has_nothing_to_protect():
    distance = np.full(2 * SIZE, np.inf)
    distance[:4] = 0.5
    config = SelectionConfig(160, preserve=False, sample=False, seed=3)
    found = select_tokens(None, distance, GRID, config, images=2)
    assert counts(found) == [120, 40] and kept_for(found, PROTECTED) == set(range(4))
    drawn = found.of_image(1).kept
    assert drawn.max() > 2 * 40
    other = select_tokens(None, distance, GRID, config, 1, 2).of_image(1).kept
    assert not np.array_equal(drawn, other)


def test_one_image_chooses_alike_with_either_budget():
    scores, distance = scene(1)
    for method in METHODS:
        one, other = (select_tokens(scores, distance, GRID, SelectionConfig(
            100, method=method, budget=budget)) for budget in BUDGETS)
        np.testing.assert_array_equal(one.kept, other.kept)
        np.testing.assert_array_equal(one.reason, other.reason)
        assert one.images == 1


def test_a_budget_above_all_images_is_refused_with_the_numbers():
    with pytest.raises(ConfigError, match='keep = 513 tokens of 2 images of 16 x 16.*512'):
        select_tokens(np.zeros(512), None, GRID, SelectionConfig(513), images=2)


def test_an_unknown_budget_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="budget 'one'.*joint"):
        SelectionConfig(154, budget='one')


def test_what_is_filled_follows_the_scores_of_all_images():
    scores, _ = scene(2)
    config = SelectionConfig(200, 20, protect=False, sample=False)
    found = select_tokens(scores, None, GRID, config, images=2)
    assert set(found.kept.tolist()) == set(np.argsort(-scores)[:200].tolist())
    assert len(kept_for(found, FILLED)) == 180 and not kept_for(found, SAMPLED)
