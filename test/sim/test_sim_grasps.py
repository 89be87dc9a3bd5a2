# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Grasps from an object's geometry: across the narrow side, at the rim, and what is clear."""
from hypothesis import given, strategies as st
import numpy as np
import pytest

from sqap_vla_ros.sim.clearance import Clearance, MARGIN_M, PALM_HEIGHT_M
from sqap_vla_ros.sim.grasps import EASY_WIDTH_M, grasp_of, grasps_of, MAX_WIDTH_M, outline
from sqap_vla_ros.sim.placements import Box


def box_points(length, width, height, yaw=0.0, steps=9):
    """Return points [n, 3] that fill an upright box on the plane z = 0, turned by yaw (rad)."""
    axes = [np.linspace(-side / 2, side / 2, steps) for side in (length, width)]
    points = np.stack(np.meshgrid(*axes, np.linspace(0, height, 21)), -1).reshape(-1, 3)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    return points @ turn.T


def bowl_points(radius=0.055, height=0.05):
    angles = np.linspace(0, 2 * np.pi, 40)
    return np.concatenate([np.column_stack([
        r * np.cos(angles), r * np.sin(angles), np.full(40, z)])
        for r, z in ((0.3 * radius, 0.0), (radius, height))])


@given(st.floats(-1.5, 1.5))
def test_a_long_box_is_grasped_across_its_narrow_side_whatever_its_yaw(yaw):
    grasp = grasp_of(box_points(0.09, 0.03, 0.02, yaw))
    assert grasp.width == pytest.approx(0.03, abs=1e-5)
    assert np.sin(grasp.yaw - yaw) == pytest.approx(0, abs=1e-3)  # a half turn is the same
    np.testing.assert_allclose(grasp.offset[:2], 0, atol=1e-6)


def test_a_box_of_which_both_sides_fit_needs_no_quarter_turn():
    lying = grasp_of(box_points(0.04, 0.06, 0.15))
    assert lying.yaw == pytest.approx(0, abs=1e-3) and lying.width == pytest.approx(0.06)
    long = grasp_of(box_points(0.04, EASY_WIDTH_M + 0.002, 0.15))
    assert abs(long.yaw) == pytest.approx(np.pi / 2, abs=1e-3)
    assert long.width == pytest.approx(0.04)


@given(st.floats(-3, 3))
def test_a_can_is_grasped_without_a_turn(yaw):
    assert grasp_of(box_points(0.05, 0.05, 0.1, yaw)).yaw == 0.0


def test_a_tall_object_is_grasped_near_its_top_and_a_flat_one_above_the_table():
    assert grasp_of(box_points(0.04, 0.04, 0.15)).offset[2] == pytest.approx(0.116)
    assert grasp_of(box_points(0.08, 0.04, 0.02)).offset[2] == pytest.approx(0.008)


def test_what_is_wider_than_the_hand_is_grasped_at_either_side_of_its_rim():
    preferred, other = grasps_of(bowl_points())
    assert preferred.offset[1] == pytest.approx(0.049, abs=1e-3)
    assert other.offset[1] == pytest.approx(-0.049, abs=1e-3)
    for grasp in (preferred, other):
        assert grasp.yaw == 0 and grasp.width < 0.01
        assert 0.03 < grasp.offset[2] < 0.05


def test_a_box_as_wide_as_the_hand_opens_is_no_longer_grasped_across():
    assert grasp_of(box_points(0.1, MAX_WIDTH_M - 0.001, 0.1)).width > 0.06
    assert grasp_of(box_points(0.1, MAX_WIDTH_M + 0.001, 0.1)).width < 0.01


@given(st.floats(-1.5, 1.5), st.floats(0.02, 0.05))
def test_the_outline_is_the_rectangle_that_was_made(yaw, width):
    center, sides, angle = outline(box_points(0.08, width, 0.05, yaw) + [0.3, -0.2, 0])
    np.testing.assert_allclose(center, [0.3, -0.2], atol=1e-5)
    np.testing.assert_allclose(sides, [0.08, width], atol=1e-5)
    assert -np.pi / 2 <= angle <= np.pi / 2
    assert np.sin(angle - yaw) == pytest.approx(0, abs=1e-3)


class TableOf:
    """What Clearance asks of an environment: objects with points, and fixtures."""

    def __init__(self, fixtures=(), **objects):
        self._fixtures, self._objects = fixtures, objects

    def fixtures(self):
        return self._fixtures

    def table_height(self):
        return 0.0

    def movable_objects(self):
        return tuple(self._objects)

    def object_positions(self):
        return {name: np.array([x, y, 0.0]) for name, (x, y, _) in self._objects.items()}

    def object_points(self, name):
        return box_points(0.06, 0.06, self._objects[name][2])


START, END = np.array([0.3, 0.0, 0.3]), np.array([0.7, 0.0, 0.1])


@pytest.mark.parametrize('objects, ignored, height', [
    ({'milk': (0.5, 0.0, 0.15), 'soup': (0.5, 0.5, 0.4)}, [], 0.15 + MARGIN_M),
    ({'milk': (0.5, 0.10, 0.15)}, [], 0.15 + MARGIN_M - PALM_HEIGHT_M),  # only the palm passes it
    ({'milk': (0.5, 0.0, 0.15)}, ['milk'], -np.inf)])
def test_the_hand_passes_over_what_stands_on_its_way_alone(objects, ignored, height):
    clearance = Clearance(TableOf([Box(2, 2, 3, 3, 1)], **objects), ignored)
    assert clearance.hand_height(START, END) == pytest.approx(height)


def test_a_held_object_is_carried_with_its_underside_over_fixtures():
    clearance = Clearance(TableOf([Box(0.45, -0.1, 0.55, 0.1, 0.2)]))
    assert clearance.held_height(START, END, underside=0.25) == pytest.approx(
        0.2 + MARGIN_M + 0.05)


def test_fingers_have_room_beside_a_low_object_and_none_beside_a_tall_one():
    rim = np.array([0.5, 0.05, 0.04])
    assert not Clearance(TableOf(milk=(0.5, 0.12, 0.15))).leaves_room(rim)
    assert Clearance(TableOf(butter=(0.5, 0.12, 0.02))).leaves_room(rim)
    assert Clearance(TableOf(milk=(0.5, 0.2, 0.15))).leaves_room(rim)
