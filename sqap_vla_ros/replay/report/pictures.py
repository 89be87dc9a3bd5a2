# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that are small enough, all together, for one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import math
from typing import NamedTuple

import cv2
import numpy as np

from ...support.html import image_uri

Pictures = Callable[[Sequence[int]], Iterable[Mapping[str, np.ndarray]]]

MOST_BYTES = 12_000_000  # of all, about
MOST_CAMERAS = 4
WIDEST_PX, SMALLEST_PX = 448, 64  # the longer side
QUALITY = 80


class Shown(NamedTuple):
    """Pictures of one image as data: URIs by the camera's name; size: (width, height), px."""

    uris: Mapping[str, str] = {}
    size: tuple[int, int] | None = None


def encoded(pictures: Pictures | None, rows: Sequence[int],
            most_bytes: int = MOST_BYTES) -> list[Shown]:
    """
    Return each row's pictures; size: of the main camera's before it was made smaller.

    What earlier ones leave of most_bytes is shared by those to come; detailed ones are made
    smaller until they fit.
    """
    found, left = [], most_bytes
    for place, views in enumerate(pictures(rows) if pictures and len(rows) else ()):
        views = dict(list(views.items())[:MOST_CAMERAS])
        share = left / (len(rows) - place) / max(len(views), 1)
        found.append(Shown({name: _fitting(image, share) for name, image in views.items()},
                           next((image.shape[1::-1] for image in views.values()), None)))
        left -= sum(map(len, found[-1].uris.values()))
    return found + [Shown()] * (len(rows) - len(found))


def _fitting(image: np.ndarray, most_bytes: float) -> str:
    """Return a data: URI; of a picture that takes more than most_bytes a smaller one."""
    side = min(WIDEST_PX, max(image.shape[:2]))
    uri = image_uri(_shrunk(image, side), '.jpg', QUALITY)
    while len(uri) > most_bytes and side > SMALLEST_PX:
        ratio = min(0.9, math.sqrt(max(most_bytes, 0) / len(uri)))
        side = max(SMALLEST_PX, int(side * ratio))
        uri = image_uri(_shrunk(image, side), '.jpg', QUALITY)
    return uri


def _shrunk(image, side):
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(scale * length)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
