# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of a camera that the policy does not see: its image, and what is protected there."""

import cv2
import numpy as np

from .overlay import draw_rings, enlarged, RING_PX, WHITE

LETTERS, LETTER_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.5


def draw_view(image, protected) -> np.ndarray:
    """
    Return an image uint8 [H, W, 3] RGB, perhaps enlarged, with the protected points.

    protected: ProtectedPoints.  Each has a ring and the name of its frame, and a thin ring as wide
    as its uncertainty where that is wider.
    """
    picture = enlarged(image)
    scale = picture.shape[0] // image.shape[0]
    draw_rings(picture, protected, scale)
    for (u, v), name in zip(scale * (protected.pixels + 0.5), protected.names):
        if np.isfinite([u, v]).all():
            beside = round(u) + 2 * RING_PX, round(v) - RING_PX
            for colour, thickness in (((0, 0, 0), 3), (WHITE, 1)):
                cv2.putText(picture, name, beside, LETTERS, LETTER_SIZE, colour, thickness,
                            cv2.LINE_AA)
    return picture
