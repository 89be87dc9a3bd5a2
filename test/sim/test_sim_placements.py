# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Widened placements: inside their squares, apart from each other, decided by the seed."""
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError

from sqap_vla_ros.sim.placements import (
    Box, clears_others, Footprint, free_square, is_free, Reach, sample_placements)

FOOTPRINTS = [Footprint('bowl', 0.055, 0.05), Footprint('bottle', 0.02, 0.16),
              Footprint('plate', 0.07, 0.02)]
CENTERS = np.array([[0.0, 0.0], [-0.13, -0.05], [0.15, 0.0]])
FIXTURES = [Box(-0.1, -0.4, 0.2, -0.2, 0.3)]
AT_BOWL = Reach('bowl', (0.0, 0.05))
AROUND = ((-1.0, 1.0), (-1.0, 1.0))
finite = st.floats(-1, 1)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from([0.08, 0.14, 0.25]))
def test_objects_lie_in_their_squares_and_do_not_touch(seed, side):
    positions = sample_placements(np.random.default_rng(seed), CENTERS, side, FOOTPRINTS,
                                  FIXTURES, [AT_BOWL])
    assert np.abs(positions - CENTERS).max() <= side / 2
    for i, first in enumerate(FOOTPRINTS):
        for j, second in enumerate(FOOTPRINTS[:i]):
            gap = np.linalg.norm(positions[i] - positions[j])
            assert gap > first.radius + second.radius
        assert FIXTURES[0].distance(positions[i]) > first.radius


def test_a_bottle_may_not_stand_where_the_hand_comes_down():
    apart = np.array([[0.0, 0.0], [0.0, 0.15], [0.3, 0.0]])
    assert not is_free(apart, FOOTPRINTS, [], [AT_BOWL])
    assert is_free(apart, FOOTPRINTS, [], [])
    assert is_free(apart * [[1, 1], [1, -1], [1, 1]], FOOTPRINTS, [], [AT_BOWL])


def test_what_is_lower_than_the_hand_does_not_reach_it():
    beside = np.array([[0.0, 0.0], [0.0, 0.15], [0.3, 0.0]])
    assert is_free(beside, FOOTPRINTS, [], [Reach('bowl', (0.0, 0.05), False, tall=0.2)])


def test_a_flat_object_may_lie_under_the_hand_but_not_under_the_fingers():
    flat = [FOOTPRINTS[0], Footprint('cheese', 0.02, 0.02)]
    under_fingers, under_hand = np.array([[0, 0], [0, 0.10]]), np.array([[0, 0], [0, 0.16]])
    assert is_free(under_hand, flat, [], [AT_BOWL])
    assert not is_free(under_fingers, flat, [], [AT_BOWL])
    assert is_free(under_fingers, flat, [], [Reach('bowl', (0.0, 0.05), down_to_table=False)])


def test_only_a_tall_fixture_is_in_the_way_of_the_hand():
    bowl, beside = np.zeros((1, 2)), (-0.3, 0.14, 0.3, 0.5)
    assert not is_free(bowl, FOOTPRINTS[:1], [Box(*beside, 0.3)], [AT_BOWL])
    assert is_free(bowl, FOOTPRINTS[:1], [Box(*beside, 0.05)], [AT_BOWL])


def test_an_object_clears_those_before_it_and_the_fixtures():
    positions = np.array([[0.0, 0.0], [0.08, 0.0]])
    assert clears_others(0, positions, FOOTPRINTS, [])
    assert not clears_others(1, positions, FOOTPRINTS, [])
    assert clears_others(1, positions + [[0, 0], [0.01, 0]], FOOTPRINTS, [])
    assert not clears_others(0, positions, FOOTPRINTS, [Box(0.06, -1, 1, 1)])


def test_a_crowd_that_cannot_fit_is_reported():
    crowd = [Footprint(str(i), 0.2, 0.1) for i in range(3)]
    with pytest.raises(ConfigError, match='smaller'):
        sample_placements(np.random.default_rng(0), np.zeros((3, 2)), 0.1, crowd, [], [])


def test_a_free_square_stays_where_it_is():
    center = free_square([0.1, -0.2], 0.25, 0.05, [Box(0.5, 0.5, 1, 1)], AROUND)
    np.testing.assert_allclose(center, [0.1, -0.2], atol=1e-12)


def test_a_square_moves_away_from_a_fixture_but_not_further_than_it_has_to():
    wall = Box(0.05, -2, 2, 2)
    center = free_square([0.0, 0.0], 0.2, 0.03, [wall], AROUND)
    assert abs(center[1]) < 1e-9 and -0.1 < center[0] < -0.05
    corner = center + [0.1, 0.1]
    assert wall.distance(corner) < 0.03  # a tenth of the square may be blocked


@given(finite, finite)
def test_a_square_lies_within_the_bounds(x, y):
    bounds = np.array([(0.3, 0.75), (-0.3, 0.3)])
    center = free_square([x, y], 0.25, 0.05, [], bounds)
    assert (center - 0.125 >= bounds[:, 0] - 1e-9).all()
    assert (center + 0.125 <= bounds[:, 1] + 1e-9).all()


@given(finite, finite)
def test_the_distance_to_a_box_is_that_to_its_nearest_point(x, y):
    box = Box(-0.2, -0.1, 0.3, 0.4)
    nearest = np.array([np.clip(x, box.x0, box.x1), np.clip(y, box.y0, box.y1)])
    assert box.distance((x, y)) == pytest.approx(np.linalg.norm(nearest - [x, y]))


@given(finite, finite)
def test_the_gap_between_boxes_is_symmetric_and_that_to_a_point_for_a_small_one(x, y):
    box, point = Box(-0.2, -0.1, 0.3, 0.4), Box(x, y, x, y)
    assert box.gap(point) == point.gap(box) == pytest.approx(box.distance((x, y)))
