# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Widened placements: inside their squares, apart from each other, decided by the seed."""
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from sqap_vla_ros.sim.placements import Box, Footprint, is_free, sample_placements

FOOTPRINTS = [Footprint('bowl', 0.055, 0.05), Footprint('bottle', 0.02, 0.16),
              Footprint('plate', 0.07, 0.02)]
CENTERS = np.array([[0.0, 0.0], [-0.13, -0.05], [0.15, 0.0]])
FIXTURES = [Box(-0.1, -0.4, 0.2, -0.2)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.08, 0.14]))
def test_objects_lie_in_their_squares_and_do_not_touch(seed, side):
    positions = sample_placements(np.random.default_rng(seed), CENTERS, side, FOOTPRINTS,
                                  FIXTURES, 'bowl')
    assert np.abs(positions - CENTERS).max() <= side / 2
    for i, first in enumerate(FOOTPRINTS):
        for j, second in enumerate(FOOTPRINTS[:i]):
            gap = np.linalg.norm(positions[i] - positions[j])
            assert gap > first.radius + second.radius
        assert FIXTURES[0].distance(positions[i]) > first.radius


def test_the_same_seed_gives_the_same_placement_and_another_seed_another():
    def draw(seed):
        return sample_placements(np.random.default_rng(seed), CENTERS, 0.14, FOOTPRINTS,
                                 FIXTURES, 'bowl')
    np.testing.assert_array_equal(draw(1), draw(1))
    assert np.abs(draw(1) - draw(2)).max() > 0.001


def test_a_bottle_may_not_stand_where_the_hand_comes_down():
    apart = np.array([[0.0, 0.0], [0.0, 0.15], [0.3, 0.0]])
    assert not is_free(apart, FOOTPRINTS, [], 'bowl')
    assert is_free(apart * [[1, 1], [1, -1], [1, 1]], FOOTPRINTS, [], 'bowl')


def test_a_flat_object_may_lie_under_the_hand_but_not_under_the_fingers():
    flat = [FOOTPRINTS[0], Footprint('cheese', 0.02, 0.02)]
    assert is_free(np.array([[0.0, 0.0], [0.0, 0.16]]), flat, [], 'bowl')
    assert not is_free(np.array([[0.0, 0.0], [0.0, 0.10]]), flat, [], 'bowl')


def test_a_crowd_that_cannot_fit_is_reported():
    crowd = [Footprint(str(i), 0.2, 0.1) for i in range(3)]
    with pytest.raises(RuntimeError, match='smaller'):
        sample_placements(np.random.default_rng(0), np.zeros((3, 2)), 0.1, crowd, [], '0')


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_the_distance_to_a_box_is_that_to_its_nearest_point(x, y):
    box = Box(-0.2, -0.1, 0.3, 0.4)
    nearest = np.array([np.clip(x, box.x0, box.x1), np.clip(y, box.y0, box.y1)])
    assert box.distance((x, y)) == pytest.approx(np.linalg.norm(nearest - [x, y]))
