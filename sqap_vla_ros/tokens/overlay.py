# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The picture that shows which patches the policy kept, and why.

Dropped patches fade: their colour and a part of their light go, softly from the edge, so that the
picture behind stays readable. Kept ones stay as the camera saw them. Each has a small mark, and
what was preserved or protected is a region with an outline. Reasons have colours of Okabe and
Ito, which people with any kind of colour blindness tell apart, and shapes and line styles of
their own, so that the picture also reads in grey.
"""

from functools import lru_cache

import cv2
import numpy as np

from ..geometry.patches import patch_centers, patch_step
from ..observation import FILLED, PRESERVED, PROTECTED, REASONS, SAMPLED

COLORS = {PRESERVED: (255, 176, 0), PROTECTED: (86, 180, 233), SAMPLED: (0, 215, 150),
          FILLED: (214, 131, 177)}
WHY = {PRESERVED: 'by attention', PROTECTED: 'at the robot', SAMPLED: 'spread out',
       FILLED: 'to the budget'}
DIMMED, GREYED = 0.6, 0.7  # the light that is left, the share of colour that goes
FADE_PX = 8.0  # from the edge of a dropped patch until it is as dark as it gets
SMALLEST_SIDE_PX = 448  # smaller images are enlarged, or marks and letters can't be read
LARGEST_SIDE_PX = 4096  # to which images are enlarged: a narrow one stays narrow
LEGEND_PX, LETTERS, LETTER_SIZE = 22, cv2.FONT_HERSHEY_SIMPLEX, 0.4
LEGEND_ROWS = 3  # at most, of a picture of SMALLEST_SIDE_PX or wider
WHITE = (255, 255, 255)
RING_PX = 7
WIDE = ', thin: how far off'
MARKERS = {PRESERVED: cv2.MARKER_TILTED_CROSS, PROTECTED: cv2.MARKER_DIAMOND,
           SAMPLED: cv2.MARKER_CROSS, FILLED: cv2.MARKER_SQUARE}


def draw_overlay(image, selection, transform, protected=None) -> np.ndarray:
    """
    Return the image uint8 [H, W, 3] RGB, perhaps enlarged, with patches and a legend below.

    selection: TokenSelection; transform: the ImageTransform between the image and the patches;
    protected: ProtectedPoints to mark, in the image's pixels.
    """
    picture = enlarged(image)
    scale = picture.shape[0] // image.shape[0]
    corners = scale * (_patch_corners(image.shape[:2], selection.grid, transform) + 0.5)
    corners = corners.round().astype(int)[selection.kept]
    _fade_all_but(picture, corners)
    _mark(picture, corners, selection.reason)
    wide = draw_rings(picture, protected, scale)
    rings = 0 if protected is None else len(protected.names)
    return np.concatenate([picture, _legend(picture.shape[1], selection, rings, wide)])


def enlarged(image: np.ndarray) -> np.ndarray:
    """Return a copy of the image, a whole number of times as large where it is small."""
    scale = max(1, min(-(-SMALLEST_SIDE_PX // min(image.shape[:2])),
                       LARGEST_SIDE_PX // max(image.shape[:2])))
    if scale == 1:
        return image.copy()
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def _patch_corners(image_size, grid, transform):
    """Return float64 [N, 2, 2]: top left and bottom right (u, v) of each patch in the image."""
    centers = patch_centers(grid, transform.size)
    half = patch_step(grid, transform.size) / 2
    ends = [transform.input_to_pixels(centers + sign * half, image_size) for sign in (-1, 1)]
    return np.stack([np.minimum(*ends), np.maximum(*ends)], axis=1)


def _fade_all_but(picture, corners):
    """Take light and colour from a picture outside the boxes [K, 2, 2], softly at their edges."""
    is_dropped = np.ones(picture.shape[:2], np.uint8)
    for (left, top), (right, bottom) in corners:
        is_dropped[max(top, 0):bottom, max(left, 0):right] = 0
    share = np.minimum(cv2.distanceTransform(is_dropped, cv2.DIST_L1, 3) / FADE_PX, 1)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    faded = cv2.addWeighted(picture, DIMMED * (1 - GREYED), grey, DIMMED * GREYED, 0)
    cv2.blendLinear(picture, faded, 1 - share, share, picture)


def _mark(picture, corners, reasons):
    """Draw what tells each reason, with a shadow that sets it off a bright picture."""
    ink = np.zeros(picture.shape[:2], np.uint8)
    for reason in (PRESERVED, PROTECTED):
        line = _outline(ink.shape, corners[reasons == reason])
        if reason == PROTECTED:
            line &= _dashes(ink.shape)
        ink[line] = reason + 1
    for box, reason in zip(corners, reasons):
        x, y = ((box[0] + box[1]) // 2).tolist()
        cv2.drawMarker(ink, (x, y), int(reason) + 1, MARKERS[int(reason)], 6)
    drawn = ink > 0
    shadow = (cv2.dilate(ink, np.ones((3, 3), np.uint8)) > 0) & ~drawn
    picture[shadow] //= 2
    palette = np.array([COLORS[reason] for reason in range(len(REASONS))], np.uint8)
    picture[drawn] = palette[ink[drawn] - 1]


def _outline(shape, boxes):
    """Return bool [H, W]: the inner edge, 2 px wide, of what the boxes [k, 2, 2] cover."""
    region = np.zeros(shape, np.uint8)
    for (left, top), (right, bottom) in boxes:
        region[max(top, 0):bottom, max(left, 0):right] = 1
    inner = cv2.erode(region, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT,
                      borderValue=0)
    return region > inner


@lru_cache(maxsize=8)
def _dashes(shape):
    """Return bool [H, W], true on diagonal stripes: they cut a line into dashes."""
    rows, columns = np.indices(shape, np.int32, sparse=True)
    return (rows + columns) // 6 % 2 == 0


def draw_rings(picture, protected, scale) -> bool:
    """
    Draw a ring about each protected point, and a thin one as wide as its uncertainty.

    protected: ProtectedPoints in pixels of the image, which is `scale` times as large in the
    picture, or None.  Returns whether any of the thin ones is wide enough to be drawn.
    """
    if protected is None:
        return False
    points, wide = scale * (protected.pixels + 0.5), scale * protected.radii_px
    _draw_rings(picture, points)
    drawn = (wide > RING_PX) & np.isfinite(wide) & np.isfinite(points).all(axis=1)
    for (u, v), radius in zip(points[drawn].round().astype(int), wide[drawn]):
        for color, thickness in (((0, 0, 0), 3), (WHITE, 1)):
            cv2.circle(picture, (int(u), int(v)), round(float(radius)), color, thickness,
                       cv2.LINE_AA)
    return bool(drawn.any())


def _draw_rings(picture, points):
    for u, v in points[np.isfinite(points).all(axis=1)].round().astype(int):
        for color, thickness in (((0, 0, 0), 4), (WHITE, 2)):
            cv2.circle(picture, (int(u), int(v)), RING_PX, color, thickness, cv2.LINE_AA)


def _legend(width, selection, rings, wide):
    """Return a strip [LEGEND_PX * rows, width, 3] that names the marks and counts the patches."""
    entries = _entries(selection, rings, wide)
    widest = max(cv2.getTextSize(text, LETTERS, LETTER_SIZE, 1)[0][0] for _, text in entries)
    columns = max(1, width // (widest + 34))
    strip = np.zeros((LEGEND_PX * -(-len(entries) // columns), max(width, widest), 3), np.uint8)
    for place, (draw, text) in enumerate(entries):
        x, y = place % columns * (width // columns) + 4, place // columns * LEGEND_PX + 3
        draw(strip[y:y + 17, x:x + 17])
        cv2.putText(strip, text, (x + 22, y + 13), LETTERS, LETTER_SIZE, WHITE, 1, cv2.LINE_AA)
    return strip[:, :width]


def _entries(selection, rings, wide):
    """Return (how its sign is drawn into a square, text) of each part of the legend."""
    counts, total = selection.counts(), selection.grid[0] * selection.grid[1]
    entries = [(lambda square, reason=reason: _sample(square, reason),
                f'{REASONS[reason]} {counts[REASONS[reason]]}: {WHY[reason]}')
               for reason in COLORS if counts[REASONS[reason]]]
    entries.append((_dark_sample, f'dark: dropped {total - len(selection.kept)} of {total}'))
    if rings:
        entries.append((lambda square: _draw_rings(square, np.array([[8.0, 8.0]])),
                        'ring: end effector' + WIDE * wide))
    return entries


def _sample(square, reason):
    square[:] = 96
    _mark(square, np.array([[[0, 0], square.shape[1::-1]]]), np.array([reason]))


def _dark_sample(square):
    square[:] = int(96 * DIMMED)
