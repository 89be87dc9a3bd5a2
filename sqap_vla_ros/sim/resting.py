# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where an object belongs: how high it rests at its place, and what walls stand round that."""
from dataclasses import dataclass

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.clearance import HAND_HEIGHT_M

SURFACE_RADIUS_M = 0.03  # of the part of a place that an object is put on
WALL_M = 0.03  # higher than this over the surface, the rest of the place's body is a wall
COVER_M = 0.02  # a surface so far above a region's origin means that a fixture covers it

# Measured: how high above the origin of these places an object's underside is when it may be
# let go. A bowl's sides are no wall: what is put into it is let go at their height.
_MEASURED_M = {'flat_stove_1_cook_region': 0.022, 'wooden_cabinet_1_top_side': 0.001,
               'plate_1': 0.008, 'akita_black_bowl_1': 0.05}


@dataclass(frozen=True)
class Place:
    """Where an object belongs, base frame, m."""

    origin: np.ndarray  # [3], of the region or object
    height: float  # of an object's resting underside over that
    wall: float = 0.0  # how high a container's sides reach over the underside; 0: open all round


def place_of(env, reach):
    """Return the Place of the instruction's object; ConfigError for one that is covered."""
    # reach: height (m) of the end effector over the underside of what it holds. Into a container
    # that is lowered until the hand would touch the rim, and dropped from there.
    name, origin = env.target_place(), env.place_position()
    if name in _MEASURED_M:
        return Place(origin, _MEASURED_M[name])
    body = env.target_body()
    if body is None:
        return Place(origin, env.table_height() - origin[2])
    points = env.object_points(body) + env.object_positions()[body] - origin
    near = np.hypot(points[:, 0], points[:, 1]) < SURFACE_RADIUS_M
    surface = points[near, 2].max() if near.any() else points[:, 2].min()
    if surface > COVER_M and body not in env.movable_objects():
        raise ConfigError(f'{name!r} is covered, and the expert works from above: leave '
                          f'{env.instruction!r} out')
    rim = points[:, 2].max()
    if rim < surface + WALL_M:
        return Place(origin, surface)
    height = max(surface, rim - HAND_HEIGHT_M - reach)
    return Place(origin, height, rim - height)
