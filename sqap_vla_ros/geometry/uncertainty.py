# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How far from its pixel a point can be seen whose place is known to some centimetres only.

What counts is how the point moves as the camera sees it: a hand that moves before a camera, a
camera that moves on the hand, and one that turns, which moves all it sees, however far away.
docs/cameras.md derives the formula.
"""

import numpy as np

from .camera import project

RING = 32  # directions on the border of the cone, a multiple of 4: straight outwards is among them
LARGEST_SHARE = 0.25  # of the image's shorter side


def radius_of_motion(camera, points, moved_m):
    """
    Return float64 [M], px: how far from its own pixel each point can be seen.

    points: float [M, 3] in the camera's optical frame, m.  moved_m: [M], how far from there each
    may be, in any direction.  Seen from the lens, a ball of that size fills a cone about the
    point's ray, of half angle asin(moved / distance); the lens images the cone's border, and the
    pixel of it that is furthest counts.  0 where nothing moves, inf where the cone reaches
    beyond what the lens images.
    """
    points = np.asarray(points, np.float64).reshape(-1, 3)
    moved_m = np.broadcast_to(np.asarray(moved_m, np.float64), len(points))
    lens = -camera.translation_m @ camera.R  # of a rectified stereo camera it is beside the frame
    away = np.linalg.norm(points - lens, axis=1)
    radii = np.where(moved_m > 0, np.inf, 0.0)
    bounded = (moved_m > 0) & (moved_m < away)
    if not bounded.any():
        return radii
    centre = project(camera, points[bounded])[0]
    sines = moved_m[bounded] / away[bounded]
    rays = (points[bounded] - lens) / away[bounded, None]
    border = _cones(rays, sines, camera.R[2]) * away[bounded, None, None] + lens
    pixels = project(camera, border.reshape(-1, 3))[0].reshape(-1, RING, 2)
    off = np.linalg.norm(pixels - centre[:, None], axis=2)
    radii[bounded] = np.where(np.isfinite(off).all(axis=1), off.max(axis=1), np.inf)
    return radii


def _cones(rays, sines, axis):
    """Return unit vectors [M, RING, 3] on the borders of cones about rays [M, 3]."""
    outward = rays * (rays @ axis)[:, None] - axis
    length = np.linalg.norm(outward, axis=1, keepdims=True)
    sideways = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    outward = np.where(length > 1e-9, outward / np.maximum(length, 1e-9),
                       sideways / np.linalg.norm(sideways))
    along = np.cross(rays, outward)
    angle = 2 * np.pi * np.arange(RING) / RING
    aside = (np.cos(angle)[:, None] * outward[:, None] + np.sin(angle)[:, None] * along[:, None])
    return (np.sqrt(1 - sines ** 2)[:, None, None] * rays[:, None]
            + sines[:, None, None] * aside)


def capped(radii_px, image_size):
    """
    Return (radii float64 [M], limit): none larger than a quarter of the image's shorter side.

    image_size: (height, width).  A radius without end would protect all that is seen, and the
    budget of tokens would say nothing of the task any more.
    """
    limit = LARGEST_SHARE * min(image_size)
    return np.minimum(np.asarray(radii_px, np.float64), limit), limit
