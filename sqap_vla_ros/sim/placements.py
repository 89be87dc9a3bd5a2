# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where objects may stand at the start of an episode: squares much wider than the benchmark's.

The stock regions are 2 cm squares, so a policy that never looks can succeed. Here every
movable object is drawn from a square of a given side round its stock region's centre; draws in
which two objects, an object and a fixture, or the hand at the grasp and a tall object would
touch are thrown away. Positions are world metres, on the table's plane.
"""
from dataclasses import dataclass

import numpy as np

CLEARANCE_M = 0.012
MAX_DRAWS = 20000
TALL_M = 0.1  # an object this tall reaches the hand while the fingers are at the table

# What the hand that grasps at the rim's +y side sweeps, relative to the grasped object's
# centre: the fingers down to the table, and the hand as far down as a tall object is high.
FINGERS = (-0.02, 0.0, 0.02, 0.11)
HAND = (-0.045, -0.065, 0.045, 0.165)


@dataclass(frozen=True)
class Footprint:
    """The upright cylinder that an object fills: name, radius and height (m)."""

    name: str
    radius: float
    height: float


@dataclass(frozen=True)
class Box:
    """A fixture's outline on the table: x0 <= x1, y0 <= y1 (m)."""

    x0: float
    y0: float
    x1: float
    y1: float

    def distance(self, point):
        """Return how far (m) a point (x, y) is from the box, 0 inside it."""
        dx = max(self.x0 - point[0], 0.0, point[0] - self.x1)
        dy = max(self.y0 - point[1], 0.0, point[1] - self.y1)
        return float(np.hypot(dx, dy))


def is_free(positions, footprints, fixtures, grasped):
    """
    Say whether objects at positions [M, 2] clear each other, the fixtures and the hand.

    footprints: one Footprint a row; fixtures: Boxes; grasped: the name of the object whose
    grasp must be free of tall objects.
    """
    for i, footprint in enumerate(footprints):
        if any(box.distance(positions[i]) < footprint.radius + CLEARANCE_M
               for box in fixtures):
            return False
        for j in range(i):
            gap = np.linalg.norm(positions[i] - positions[j])
            if gap < footprint.radius + footprints[j].radius + CLEARANCE_M:
                return False
    return _grasp_is_free(positions, footprints, grasped)


def _grasp_is_free(positions, footprints, grasped):
    origin = positions[[footprint.name for footprint in footprints].index(grasped)]
    for position, footprint in zip(positions, footprints):
        swept = Box(*(HAND if footprint.height > TALL_M else FINGERS))
        if footprint.name != grasped and (
                swept.distance(position - origin) < footprint.radius + CLEARANCE_M):
            return False
    return True


def sample_placements(rng, centers, side_m, footprints, fixtures, grasped):
    """
    Return positions float64 [M, 2], each in the square of side_m round its centre [M, 2].

    rng: numpy Generator; the same state gives the same positions. Raises RuntimeError when no
    free placement is found in MAX_DRAWS draws.
    """
    centers = np.asarray(centers, np.float64)
    for _ in range(MAX_DRAWS):
        positions = centers + rng.uniform(-side_m / 2, side_m / 2, centers.shape)
        if is_free(positions, footprints, fixtures, grasped):
            return positions
    raise RuntimeError(f'no collision-free placement in squares of {side_m} m in {MAX_DRAWS} '
                       'draws: make placement_m smaller')
