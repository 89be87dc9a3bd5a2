# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where objects may stand at the start of an episode: squares much wider than the benchmark's.

The stock regions are 2 cm squares, so a policy that never looks can succeed. Here every
movable object is drawn from a square of a given side round its stock region's centre; draws in
which two objects, an object and a fixture, or the hand where it grasps or places and something
tall would touch are thrown away. Positions are metres, on the table's plane.
"""
from dataclasses import dataclass

import numpy as np

from sqap_vla_ros.errors import ConfigError

CLEARANCE_M = 0.012
MAX_DRAWS = 20000
FREE_SHARE = 0.9
STEP_M = 0.01
TALL_M = 0.1  # what is this tall reaches the hand while the fingers are at the table

# Outlines (x0, y0, x1, y1) relative to the end effector of a hand that points down and closes
# along y: the fingers reach the table, the hand comes as low as a tall object is high.
FINGERS = (-0.02, -0.05, 0.02, 0.06)
HAND = (-0.045, -0.115, 0.045, 0.115)


class NoRoomError(ConfigError):
    """No start of an episode was found in which everything stands free."""


@dataclass(frozen=True)
class Footprint:
    """The upright cylinder that an object fills: name, radius and height (m)."""

    name: str
    radius: float
    height: float


@dataclass(frozen=True)
class Box:
    """An outline on the table and its height: x0 <= x1, y0 <= y1 (m)."""

    x0: float
    y0: float
    x1: float
    y1: float
    height: float = 0.0

    def distance(self, point):
        """Return how far (m) a point (x, y) is from the box, 0 inside it."""
        dx = max(self.x0 - point[0], 0.0, point[0] - self.x1)
        dy = max(self.y0 - point[1], 0.0, point[1] - self.y1)
        return float(np.hypot(dx, dy))

    def gap(self, other):
        """Return how far (m) another box is from this one, 0 where they overlap."""
        dx = max(self.x0 - other.x1, 0.0, other.x0 - self.x1)
        dy = max(self.y0 - other.y1, 0.0, other.y0 - self.y1)
        return float(np.hypot(dx, dy))


@dataclass(frozen=True)
class Reach:
    """Where the hand comes down at an object: its offset (x, y) from the object's origin, m."""

    name: str
    offset: tuple
    down_to_table: bool = True  # the fingers get as low as the table there
    tall: float = TALL_M  # the height from which on other things reach the hand


def is_free(positions, footprints, fixtures, reaches):
    """Say whether objects at positions [M, 2] clear each other, the fixtures and the hand."""
    return (all(clears_others(i, positions, footprints, fixtures)
                for i in range(len(footprints)))
            and all(hand_is_free(positions, footprints, fixtures, reach) for reach in reaches))


def clears_others(index, positions, footprints, fixtures):
    """Say whether an object clears the fixtures and the objects before it in the rows."""
    radius = footprints[index].radius + CLEARANCE_M
    return (all(box.distance(positions[index]) >= radius for box in fixtures)
            and all(np.linalg.norm(positions[index] - positions[other])
                    >= radius + footprints[other].radius for other in range(index)))


def hand_is_free(positions, footprints, fixtures, reach):
    """Say whether nothing is in the way of the hand at a Reach."""
    names = [footprint.name for footprint in footprints]
    center = positions[names.index(reach.name)] + np.asarray(reach.offset)
    hand = _outline(HAND, center)
    if any(box.height > reach.tall and hand.gap(box) < CLEARANCE_M for box in fixtures):
        return False
    fingers = _outline(FINGERS, center)
    for position, footprint in zip(positions, footprints):
        if footprint.name == reach.name:
            continue
        needed = footprint.radius + CLEARANCE_M
        if footprint.height > reach.tall and hand.distance(position) < needed:
            return False
        if reach.down_to_table and fingers.distance(position) < needed:
            return False
    return True


def _outline(outline, center):
    x0, y0, x1, y1 = outline
    return Box(x0 + center[0], y0 + center[1], x1 + center[0], y1 + center[1])


def free_square(center, side_m, radius, fixtures, bounds):
    """
    Return the centre (x, y) of the square, nearest to `center`, that the fixtures leave free.

    A square counts as free when an object of this radius has room in FREE_SHARE of it; where
    none does, it is the one with the most room. bounds: ((x0, x1), (y0, y1)) that hold the
    whole square, as far as they are large enough.
    """
    low, high = np.transpose(bounds) + [[side_m / 2], [-side_m / 2]]
    high = np.maximum(low, high)
    steps = np.arange(-side_m, side_m + STEP_M, STEP_M)
    shifts = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    centers = np.unique(np.clip(np.asarray(center) + shifts, low, high), axis=0)  # [C, 2]
    cells = np.linspace(-side_m / 2, side_m / 2, 11)
    points = centers[:, None] + np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2)
    room = np.ones(points.shape[:2], bool)  # [C, 121]
    for box in fixtures:
        outside = np.maximum([box.x0, box.y0] - points, points - [box.x1, box.y1])
        room &= np.hypot(*np.moveaxis(outside.clip(min=0), -1, 0)) > radius + CLEARANCE_M
    share = np.minimum(room.mean(axis=1), FREE_SHARE)
    moved = np.linalg.norm(centers - center, axis=1)
    return centers[np.lexsort((moved, -share))[0]]


def sample_placements(rng, centers, side_m, footprints, fixtures, reaches):
    """Return free positions [M, 2] in squares round centers [M, 2] (m), or raise NoRoomError."""
    centers = np.asarray(centers, np.float64)
    for _ in range(MAX_DRAWS):
        positions = centers + rng.uniform(-side_m / 2, side_m / 2, centers.shape)
        if is_free(positions, footprints, fixtures, reaches):
            return positions
    raise NoRoomError(f'no collision-free placement in squares of {side_m} m in {MAX_DRAWS} '
                      'draws: make placement_m smaller')
