# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of a camera that the policy does not see: its image, and what is protected there."""

import cv2
import numpy as np

from .overlay import SMALLEST_SIDE_PX

INK, PAPER = (255, 255, 255), (0, 0, 0)
POINT_PX = 4


def draw_view(image, protected) -> np.ndarray:
    """
    Return an image uint8 [H, W, 3] RGB, perhaps enlarged, with the protected points.

    protected: ProtectedPoints.  Each has a dot, the name of its frame, and a circle as large as
    its uncertainty where that is larger than the dot.
    """
    scale = max(1, -(-SMALLEST_SIDE_PX // min(image.shape[:2])))
    picture = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
    for (u, v), radius, name in zip(protected.pixels, protected.radii_px, protected.names):
        if np.isfinite([u, v, radius]).all():
            place = round(scale * (u + 0.5)), round(scale * (v + 0.5))
            _draw_point(picture, place, round(scale * radius), name)
    return picture


def _draw_point(picture, place, radius, name):
    beside = place[0] + 2 * POINT_PX, place[1] - 2 * POINT_PX
    for colour, wider in ((PAPER, 2), (INK, 0)):
        cv2.circle(picture, place, POINT_PX + wider // 2, colour, -1, cv2.LINE_AA)
        if radius > POINT_PX:
            cv2.circle(picture, place, radius, colour, 1 + wider, cv2.LINE_AA)
        cv2.putText(picture, name, beside, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1 + wider,
                    cv2.LINE_AA)
