# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Token selection: exact budgets, the three strategies and their ablations."""
import itertools
import math

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import FILLED, PRESERVED, PROTECTED, SAMPLED
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
from sqap_vla_ros.tokens.farthest import farthest_points

GRID = (16, 16)
N = 256


def brute_force_fps(grid, start, count):
    """Return the definition, word for word: argmax over i of min over j of the distance."""
    centers = [(row, col) for row in range(grid[0]) for col in range(grid[1])]
    chosen, added = list(start), []
    while len(added) < count:
        free = [i for i in range(len(centers)) if i not in chosen]
        if chosen:
            gap = [min(math.dist(centers[i], centers[j]) for j in chosen) for i in free]
            best = free[gap.index(max(gap))]
        else:
            best = (grid[0] - 1) // 2 * grid[1] + (grid[1] - 1) // 2
        chosen.append(best)
        added.append(best)
    return added


def scene(seed=0, protected=20):
    generator = np.random.default_rng(seed)
    distance = np.full(N, np.inf)
    distance[generator.choice(N, protected, replace=False)] = generator.random(protected)
    return generator.random(N), distance


def checked(selection, keep):
    """Check what holds for every selection, and return it."""
    assert selection.kept.dtype == np.int64 and selection.reason.dtype == np.uint8
    assert selection.kept.shape == selection.reason.shape == (keep,)
    assert (np.diff(selection.kept) > 0).all()
    assert 0 <= selection.kept[0] and selection.kept[-1] < math.prod(selection.grid)
    assert set(selection.reason) <= {PRESERVED, PROTECTED, SAMPLED, FILLED}
    return selection


def kept_for(selection, reason):
    return set(selection.kept[selection.reason == reason].tolist())


@settings(max_examples=60)
@given(st.data(), st.integers(1, 7), st.integers(1, 7))
def test_farthest_points_are_those_of_the_definition(data, rows, cols):
    start = data.draw(st.lists(st.integers(0, rows * cols - 1), unique=True))
    count = data.draw(st.integers(0, rows * cols - len(start)))
    found = farthest_points((rows, cols), start, count)
    assert found.tolist() == brute_force_fps((rows, cols), start, count)


@settings(max_examples=60)
@given(st.data(), st.integers(1, 9), st.integers(1, 9))
def test_even_ties_are_farthest_points_too(data, rows, cols):
    start = data.draw(st.lists(st.integers(0, rows * cols - 1), unique=True))
    count = data.draw(st.integers(0, rows * cols - len(start)))
    added = farthest_points((rows, cols), start, count, 'even').tolist()
    assert not set(added) & set(start) and len(set(added)) == count
    chosen = list(start)
    for index in added:
        gap = {i: min((math.dist(divmod(i, cols), divmod(j, cols)) for j in chosen), default=0)
               for i in range(rows * cols) if i not in chosen}
        assert gap[index] == max(gap.values())
        chosen.append(index)


def test_even_ties_leave_no_part_of_the_image_thin():
    for keep in (154, 180):  # of 256: no patch left is farther than any other
        for ties, most in (('index', 60), ('even', 8)):
            config = SelectionConfig(keep, preserve=False, protect=False, ties=ties)
            kept = select_tokens(None, None, GRID, config).kept
            quarters = np.bincount(2 * (kept // GRID[1] // 8) + kept % GRID[1] // 8)
            assert (np.ptp(quarters) <= most) and (ties == 'even' or np.ptp(quarters) > 8)


def test_sampling_more_than_the_grid_has_is_refused():
    with pytest.raises(ValueError, match='free'):
        farthest_points((2, 2), [0, 1], 3)


@settings(max_examples=150)
@given(st.data(), st.tuples(st.integers(1, 16), st.integers(1, 16)),
       st.sampled_from(['sqap', 'random', 'uniform', 'attention']),
       st.booleans(), st.booleans(), st.booleans())
def test_the_budget_is_exact_and_the_indices_sorted_whatever_is_asked(
        data, grid, method, preserve, protect, sample):
    count = math.prod(grid)
    keep = data.draw(st.sampled_from([count, 1]) | st.integers(1, count))
    seed = data.draw(st.integers(0, 1000))
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 4, count).astype(np.float32)  # many ties
    distance = np.where(generator.random(count) < generator.random(),
                        generator.random(count), np.inf).astype(np.float32)
    config = SelectionConfig(keep, data.draw(st.integers(0, 40)), preserve, protect, sample,
                             method, seed)
    selection = checked(select_tokens(scores, distance, grid, config, step=3), keep)
    again = select_tokens(scores, distance, grid, config, step=3)
    np.testing.assert_array_equal(selection.kept, again.kept)
    np.testing.assert_array_equal(selection.reason, again.reason)


def test_the_three_strategies_take_their_share_in_order():
    scores, distance = scene()
    selection = checked(select_tokens(scores, distance, GRID, SelectionConfig(154)), 154)
    best = set(np.argsort(-scores)[:32].tolist())
    near = set(np.flatnonzero(np.isfinite(distance)).tolist())
    assert kept_for(selection, PRESERVED) == best
    assert kept_for(selection, PROTECTED) == near - best
    taken = sorted(best | near)
    sampled = brute_force_fps(GRID, taken, 154 - len(taken))
    assert kept_for(selection, SAMPLED) == set(sampled)
    assert selection.counts() == {'preserved': 32, 'protected': len(near - best),
                                  'sampled': len(sampled), 'filled': 0}


def test_protection_takes_at_most_half_the_budget_and_the_nearest_first():
    scores, _ = scene()
    distance = np.arange(N, dtype=np.float64)[::-1]  # all protected, the last patch nearest
    config = SelectionConfig(64, preserve=False)
    selection = checked(select_tokens(scores, distance, GRID, config), 64)
    assert kept_for(selection, PROTECTED) == set(range(224, 256))


def test_a_budget_below_the_preserved_number_leaves_the_robot_its_half():
    scores, distance = scene()
    selection = checked(select_tokens(scores, distance, GRID, SelectionConfig(5)), 5)
    near = set(np.argsort(distance, kind='stable')[:2].tolist())
    assert near <= set(selection.kept.tolist())
    assert kept_for(selection, PRESERVED) == set(np.argsort(-scores)[:3].tolist())
    nothing = np.full(len(scores), np.inf)
    selection = checked(select_tokens(scores, nothing, GRID, SelectionConfig(5)), 5)
    assert kept_for(selection, PRESERVED) == set(np.argsort(-scores)[:5].tolist())


def test_equal_scores_go_to_the_lower_index():
    config = SelectionConfig(10, method='attention')
    assert select_tokens(np.ones(N), None, GRID, config).kept.tolist() == list(range(10))


@pytest.mark.parametrize('preserve, protect, sample', list(
    itertools.product([True, False], repeat=3)))
def test_each_ablation_uses_what_is_on_and_fills_as_the_method_says(preserve, protect, sample):
    scores, distance = scene()
    config = SelectionConfig(100, 32, preserve, protect, sample, seed=7)
    selection = checked(select_tokens(scores, distance, GRID, config), 100)
    ranking = np.argsort(-scores)
    near = set(np.flatnonzero(np.isfinite(distance)).tolist())
    best = set(ranking[:32].tolist()) if preserve else set()
    assert kept_for(selection, PRESERVED) == best
    assert kept_for(selection, PROTECTED) == (near - best if protect else set())
    taken = best | (near if protect else set())
    rest = set(selection.kept.tolist()) - taken
    assert rest == kept_for(selection, SAMPLED if sample else FILLED)
    if sample:
        assert rest == set(brute_force_fps(GRID, sorted(taken), 100 - len(taken)))
    elif preserve:
        assert rest == set([i for i in ranking.tolist() if i not in taken][:100 - len(taken)])
    elif protect:
        assert max(gaps(rest, near)) <= min(gaps(set(range(N)) - rest - taken, near))
    else:
        other = SelectionConfig(100, 32, False, False, False, seed=8)
        assert rest != set(select_tokens(scores, distance, GRID, other).kept.tolist())


def gaps(indices, near):
    return [min(math.dist(divmod(i, 16), divmod(j, 16)) for j in near) for i in indices]


def test_protection_alone_with_nothing_to_protect_fills_at_random():
    config = SelectionConfig(40, preserve=False, sample=False)
    selection = checked(select_tokens(None, None, GRID, config), 40)
    assert kept_for(selection, FILLED) == set(selection.kept.tolist())


def test_sampling_alone_starts_at_the_centre_patch():
    config = SelectionConfig(1, preserve=False, protect=False)
    assert select_tokens(None, None, (5, 7), config).kept.tolist() == [17]


def test_random_draws_differ_from_step_to_step_and_repeat_with_the_seed():
    scores, distance = scene()
    config = SelectionConfig(100, method='random', seed=1)
    draws = [select_tokens(scores, distance, GRID, config, step).kept for step in (0, 1, 0)]
    np.testing.assert_array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[1])
    other = SelectionConfig(100, method='random', seed=2)
    assert not np.array_equal(draws[0], select_tokens(scores, distance, GRID, other, 0).kept)


def test_random_draws_favour_no_patch():
    config = SelectionConfig(64, method='random')
    counts = np.zeros(N)
    for step in range(400):
        counts[select_tokens(None, None, GRID, config, step).kept] += 1
    assert 50 < counts.min() and counts.max() < 150  # the mean is 100, the deviation 8.7


@pytest.mark.parametrize('keep', [1, 64, 100, 255])
def test_uniform_selection_takes_the_middle_of_equal_shares(keep):
    selection = select_tokens(None, None, GRID, SelectionConfig(keep, method='uniform'))
    middle = (np.arange(keep) + 0.5) * N / keep
    assert ((selection.kept <= middle) & (middle < selection.kept + 1)).all()
    assert kept_for(selection, SAMPLED) == set(selection.kept.tolist())


@pytest.mark.parametrize('scores, said', [
    (np.full(N, np.nan), 'not finite'), (np.zeros(N - 1), r'\[255\]'), (None, 'needs')])
def test_scores_of_a_broken_model_are_refused(scores, said):
    with pytest.raises(ValueError, match=said):
        select_tokens(scores, None, GRID, SelectionConfig(154))


def test_protected_distances_of_another_grid_or_nan_are_refused():
    for distance in (np.zeros(N + 1), np.full(N, np.nan)):
        with pytest.raises(ValueError, match='protected'):
            select_tokens(np.zeros(N), distance, GRID, SelectionConfig(154))


def test_a_budget_above_the_grid_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match='keep = 257.*256'):
        select_tokens(np.zeros(N), None, GRID, SelectionConfig(257))


@pytest.mark.parametrize('change', [
    {'keep': 0}, {'keep': 1.5}, {'keep': True}, {'preserve_top_k': -1}, {'method': 'best'},
    {'seed': -1}, {'dropped': 'away'}])
def test_a_configuration_that_cannot_be_is_refused(change):
    with pytest.raises(ConfigError):
        SelectionConfig(**{'keep': 154, **change})
