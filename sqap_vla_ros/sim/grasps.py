# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How a hand that points down takes hold of an object, from the object's own geometry.

What is narrow enough is grasped across its narrower side, near its top, or across the side that
needs the smaller turn where both fit; what is not (bowls, plates) at the rim. Offsets are those
of the end effector, between the fingertips, from the object's origin, in the base frame, m.
"""
from dataclasses import dataclass

import cv2
import numpy as np

MAX_WIDTH_M = 0.07  # of the hand's 0.08 m
EASY_WIDTH_M = 0.066  # narrow enough not to turn the hand for the narrower side
ROUND_RATIO = 1.2  # sides closer to each other than this are taken for a circle
RIM_INSET_M = 0.006
RIM_DEPTH_M = 0.011
DEPTH_M = 0.034  # how far below its top a tall object is grasped
MIN_HEIGHT_M = 0.008  # of the end effector over an object's underside
SLAB_M = 0.008


@dataclass(frozen=True)
class Grasp:
    """Where the hand takes hold, with how much (m) between the fingers."""

    offset: np.ndarray  # [3], m, of the end effector from the object's origin
    yaw: float  # rad, of the hand from its nominal orientation, whose fingers close along y
    width: float


def grasp_of(points):
    """Return the preferred Grasp of surface points [n, 3] from the origin, in the base's axes."""
    return grasps_of(points)[0]


def grasps_of(points):
    """Return the Grasps of an object (see grasp_of), the preferred one first."""
    center, sides, angle = outline(points)
    if sides.min() > MAX_WIDTH_M:
        return _rim_grasps(points, center)
    low, high = points[:, 2].min(), points[:, 2].max()
    height = max(high - DEPTH_M, low + min(MIN_HEIGHT_M, (high - low) / 2))
    offset = np.array([*center, height])
    if sides.max() < ROUND_RATIO * sides.min():
        slab = points[np.abs(points[:, 2] - height) < SLAB_M]
        width = np.ptp(slab[:, 1]) if len(slab) else sides.min()
        return (Grasp(offset, 0.0, float(width)),)
    if sides.max() < EASY_WIDTH_M and abs(angle) > np.pi / 4:
        return (Grasp(offset, angle - np.copysign(np.pi / 2, angle), float(sides.max())),)
    return (Grasp(offset, angle, float(sides.min())),)


def _rim_grasps(points, center):
    """Return the Grasps at both sides of a rim that need no turn of the hand."""
    low, high = points.min(axis=0), points.max(axis=0)
    height = high[2] - RIM_DEPTH_M
    return tuple(Grasp(np.array([center[0], y, height]), 0.0, RIM_INSET_M)
                 for y in (high[1] - RIM_INSET_M, low[1] + RIM_INSET_M))


def outline(points):
    """Return (center [2], sides [2], longer first, its angle in rad) of points seen from above."""
    center, sides, degrees = cv2.minAreaRect(points[:, :2].astype(np.float32))
    if sides[0] < sides[1]:
        sides, degrees = sides[::-1], degrees + 90
    angle = np.deg2rad((degrees + 90) % 180 - 90)
    return np.array(center), np.array(sides), float(angle)
