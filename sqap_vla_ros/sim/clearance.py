# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How high the hand has to be to pass over what stands between it and its target."""
import numpy as np

from sqap_vla_ros.sim.placements import FINGERS, HAND

FINGERS_RADIUS_M = 0.03
PALM_RADIUS_M = 0.10
PALM_HEIGHT_M = 0.09  # from the end effector, between the fingertips, up to the palm
HELD_RADIUS_M = 0.06
MARGIN_M = 0.04
FINGERTIP_M = 0.01  # below the end effector
HAND_HEIGHT_M = 0.03  # from the end effector up to the underside of the hand, less a margin
_SAMPLES = np.linspace(0.0, 1.0, 12)[:, None]


class Clearance:
    """The obstacles of a LiberoEnv as it stands now, without the ignored objects."""

    def __init__(self, env, ignored=()):
        boxes = [(box.x0, box.y0, box.x1, box.y1, box.height + env.table_height())
                 for box in env.fixtures()]
        for name, position in env.object_positions().items():
            if name in env.movable_objects() and name not in ignored:
                points = env.object_points(name) + position
                boxes.append((*points.min(0)[:2], *points.max(0)[:2], points[:, 2].max()))
        self._boxes = np.reshape(boxes, (-1, 5))  # x0, y0, x1, y1, top

    def hand_height(self, start, end):
        """Return the least height (m) of an empty hand on its way, end effector [3] to [3]."""
        return max(self._needed(start, end, FINGERS_RADIUS_M),
                   self._needed(start, end, PALM_RADIUS_M) - PALM_HEIGHT_M)

    def held_height(self, start, end, underside):
        """Return the same for a hand that holds an object with this underside (m)."""
        below = start[2] - underside
        return max(self._needed(start, end, HELD_RADIUS_M) + below,
                   self._needed(start, end, PALM_RADIUS_M) - PALM_HEIGHT_M)

    def leaves_room(self, grasp):
        """Return whether fingers and hand may come down to a grasp, end effector [3]."""
        return not (self._meets(FINGERS, grasp, grasp[2] - FINGERTIP_M)
                    or self._meets(HAND, grasp, grasp[2] + HAND_HEIGHT_M))

    def _meets(self, outline, center, height):
        """Return whether something higher than a height (m) is in an outline round a centre."""
        low, high = np.reshape(outline, (2, 2)) + np.asarray(center)[:2]
        inside = ((self._boxes[:, :2] < high) & (self._boxes[:, 2:4] > low)).all(axis=1)
        return (self._boxes[inside, 4] > height).any()

    def _needed(self, start, end, radius):
        """Return the highest top, with a margin, that is within a radius of the path."""
        path = start[:2] + _SAMPLES * (np.asarray(end)[:2] - start[:2])  # [S, 2]
        low, high = self._boxes[:, :2], self._boxes[:, 2:4]
        outside = np.maximum(low - path[:, None], path[:, None] - high).clip(min=0)  # [S, O, 2]
        near = (np.hypot(*np.moveaxis(outside, -1, 0)) < radius).any(0)
        return self._boxes[near, 4].max() + MARGIN_M if near.any() else -np.inf
