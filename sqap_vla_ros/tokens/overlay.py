# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The picture that shows which patches the policy kept, and why.

Dropped patches are darkened. Kept ones are outlined in the colours of Okabe and Ito, which
people with any kind of colour blindness tell apart, and carry a mark of their own shape, so
that the picture also reads in grey.
"""

import cv2
import numpy as np

from ..geometry.patches import patch_centers
from ..observation import FILLED, PRESERVED, PROTECTED, REASONS, SAMPLED

COLORS = {PRESERVED: (230, 159, 0), PROTECTED: (86, 180, 233), SAMPLED: (0, 158, 115),
          FILLED: (204, 121, 167)}
MARKERS = {PRESERVED: cv2.MARKER_TILTED_CROSS, PROTECTED: cv2.MARKER_DIAMOND,
           SAMPLED: cv2.MARKER_CROSS, FILLED: cv2.MARKER_SQUARE}
DIMMED = 0.35
SMALLEST_SIDE_PX = 448  # smaller images are enlarged, or marks and letters can't be read
LEGEND_PX = 22


def draw_overlay(image, selection, transform, protected=None) -> np.ndarray:
    """
    Return the image uint8 [H, W, 3] RGB, perhaps enlarged, with patches and a legend below.

    selection: TokenSelection; transform: the ImageTransform between the image and the patches;
    protected: ProtectedPoints to mark, in the image's pixels.
    """
    scale = max(1, -(-SMALLEST_SIDE_PX // min(image.shape[:2])))
    corners = scale * (_patch_corners(image.shape[:2], selection.grid, transform) + 0.5)
    corners = corners.round().astype(int)
    canvas = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
    picture = (canvas * DIMMED).astype(np.uint8)
    for (left, top), (right, bottom) in corners[selection.kept]:
        box = slice(max(top, 0), bottom), slice(max(left, 0), right)
        picture[box] = canvas[box]
    for patch, reason in zip(selection.kept, selection.reason):
        _mark(picture, corners[patch], int(reason))
    if protected is not None:
        _draw_points(picture, scale * (protected.pixels + 0.5))
    return np.concatenate([picture, _legend(picture.shape[1], selection)])


def _patch_corners(image_size, grid, transform):
    """Return float64 [N, 2, 2]: top left and bottom right (u, v) of each patch in the image."""
    centers = patch_centers(grid, transform.size)
    half = np.array([transform.size[1] / grid[1], transform.size[0] / grid[0]]) / 2
    ends = [transform.input_to_pixels(centers + sign * half, image_size) for sign in (-1, 1)]
    return np.stack([np.minimum(*ends), np.maximum(*ends)], axis=1)


def _mark(picture, box, reason):
    (left, top), (right, bottom) = box
    color = COLORS[reason]
    cv2.rectangle(picture, (left + 1, top + 1), (right - 2, bottom - 2), color, 1)
    center = (left + right) // 2, (top + bottom) // 2
    for stroke, thickness in (((0, 0, 0), 3), (color, 1)):
        cv2.drawMarker(picture, center, stroke, MARKERS[reason], max(5, (right - left) // 3),
                       thickness, cv2.LINE_AA)


def _draw_points(picture, points):
    for u, v in points[np.isfinite(points).all(axis=1)].round().astype(int):
        for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            cv2.circle(picture, (int(u), int(v)), 7, color, thickness, cv2.LINE_AA)


def _legend(width, selection):
    """Return a strip [LEGEND_PX * rows, width, 3] that names the marks and counts the patches."""
    counts = selection.counts()
    total = selection.grid[0] * selection.grid[1]
    entries = [(reason, f'{REASONS[reason]} {counts[REASONS[reason]]}') for reason in COLORS
               if counts[REASONS[reason]]]
    entries.append((None, f'kept {len(selection.kept)} of {total}'))
    column = 150
    per_row = max(1, width // column)
    strip = np.zeros((LEGEND_PX * -(-len(entries) // per_row), width, 3), np.uint8)
    for place, (reason, text) in enumerate(entries):
        x, y = (place % per_row) * column + 4, (place // per_row) * LEGEND_PX
        if reason is not None:
            _mark(strip, ((x, y + 3), (x + 16, y + 19)), reason)
        cv2.putText(strip, text, (x + 21, y + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42,
                    (255, 255, 255), 1, cv2.LINE_AA)
    return strip
