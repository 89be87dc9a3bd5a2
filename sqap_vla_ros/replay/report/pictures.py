# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that are small enough, all together, for one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import cv2
import numpy as np

from ...support.html import image_uri

Pictures = Callable[[Sequence[int]], Iterable[Mapping[str, np.ndarray]]]

MOST_BYTES = 12_000_000  # of all, about
MOST_CAMERAS = 4
WIDEST_PX, SMALLEST_PX = 448, 64  # the longer side
QUALITY = 80


def encoded(pictures: Pictures | None, rows: Sequence[int],
            most_bytes: int = MOST_BYTES) -> list[dict[str, str]]:
    """
    Return data: URIs of each row's pictures, by the camera's name.

    What earlier ones leave of most_bytes is shared by those to come; detailed ones are made
    smaller until they fit.
    """
    found, left = [], most_bytes
    for place, views in enumerate(pictures(rows) if pictures and len(rows) else ()):
        views = dict(list(views.items())[:MOST_CAMERAS])
        share = left / (len(rows) - place) / max(len(views), 1)
        found.append({name: _fitting(image, share) for name, image in views.items()})
        left -= sum(map(len, found[-1].values()))
    return found + [{} for _ in range(len(rows) - len(found))]


def _fitting(image: np.ndarray, most_bytes: float) -> str:
    """Return a data: URI; of a picture that takes more than twice most_bytes a smaller one."""
    side = min(WIDEST_PX, max(image.shape[:2]))
    uri = image_uri(_shrunk(image, side), '.jpg', QUALITY)
    while len(uri) > 2 * most_bytes and side > SMALLEST_PX:
        side = max(SMALLEST_PX, side // 2)
        uri = image_uri(_shrunk(image, side), '.jpg', QUALITY)
    return uri


def _shrunk(image, side):
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
