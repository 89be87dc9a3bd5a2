# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What Pillow's antialiased resize multiplies each pixel with, as integers of 22 bits.

Pillow resizes 8-bit images along each axis by itself, in fixed point: whoever sums these integers
gets its bits.  Turning, cutting and padding in front of it cost nothing here: they only change
which pixels are summed.  The filters' formulas are those of Pillow's documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
import math

import numpy as np

BITS = 22  # of a weight of 1


@dataclass(frozen=True, eq=False)
class Taps:
    """
    The pixels of a line that each of n resized pixels is made of.

    first, count: int32 [n], of the pixels in the line.  weights: int32 [n, most], 0 behind the
    count.  outside: int32 [n], sums of the weights that fall on the padding.
    """

    first: np.ndarray
    count: np.ndarray
    weights: np.ndarray
    outside: np.ndarray


@lru_cache(maxsize=64)
def line_taps(length: int, is_reversed: bool, cut: tuple[int, int], pad: int,
              box: tuple[float, float], resized: int, part: tuple[int, int],
              interpolation: str) -> Taps:
    """
    Return what a line of `length` pixels is resampled with.

    The line is reversed, cut to cut[1] pixels from cut[0] on, padded by `pad` on either side, and
    box (start, end) of that resized to `resized` pixels, of which part[1] from part[0] on count.
    interpolation: one of FILTERS.
    """
    first, weights = _weights(cut[1] + 2 * pad, box, resized, *FILTERS[interpolation])
    first, weights = (values[part[0]:part[0] + part[1]] for values in (first, weights))
    places = first[:, None] + np.arange(weights.shape[1]) - pad  # in what was cut
    is_inside = (places >= 0) & (places < cut[1])
    outside = np.where(is_inside, 0, weights).sum(1)
    places += cut[0]
    if is_reversed:
        places, weights, is_inside = (length - 1 - places)[:, ::-1], weights[:, ::-1], \
            is_inside[:, ::-1]
    return _packed(places, weights * is_inside, outside)


def whole_line(length: int) -> Taps:
    """Return what leaves a line as it is."""
    return line_taps(length, False, (0, length), 0, (0.0, length), length, (0, length), 'bilinear')


def _packed(places: np.ndarray, weights: np.ndarray, outside: np.ndarray) -> Taps:
    """Return taps [n, most] without the zeros on either side."""
    used = weights != 0
    most = weights.shape[1]
    start = np.where(used.any(1), used.argmax(1), 0)
    end = np.where(used.any(1), most - used[:, ::-1].argmax(1), 0)
    index = start[:, None] + np.arange(max(1, (end - start).max()))
    weights = np.where(index < end[:, None],
                       np.take_along_axis(weights, np.minimum(index, most - 1), 1), 0)
    first = np.where(used.any(1), np.take_along_axis(places, start[:, None], 1)[:, 0], 0)
    return Taps(*(np.ascontiguousarray(values, np.int32)
                  for values in (first, end - start, weights, outside)))


def _weights(length: int, box: tuple[float, float], resized: int, support: float,
             function: Callable[[float], float]) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the first pixel [n] and int [n, taps] of what resizes a box of a line of `length`.

    Sums and products are doubles in Pillow's order, and the box's ends are of 32 bits.
    """
    start, end = (np.float32(place) for place in box)
    scale = float(end - start) / resized
    stretch = max(scale, 1.0)
    reach = support * stretch
    centers = float(start) + (np.arange(resized) + 0.5) * scale
    first = np.maximum(np.trunc(centers - reach + 0.5), 0).astype(np.int64)
    end = np.minimum(np.trunc(centers + reach + 0.5), length).astype(np.int64)
    places = first[:, None] + np.arange((end - first).max())
    distances = (places - centers[:, None] + 0.5) * (1.0 / stretch)
    values = np.where(places < end[:, None], np.vectorize(function)(distances), 0.0)
    total = sum(values.T)  # one after the other
    values /= np.where(total == 0, 1.0, total)[:, None]
    return first, np.trunc(values * 2 ** BITS + np.where(values < 0, -0.5, 0.5)).astype(np.int64)


def _triangle(x: float) -> float:
    return max(1.0 - abs(x), 0.0)


def _cubic(x: float, a: float = -0.5) -> float:
    x = abs(x)
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2.0 else 0.0


def _sinc(x: float) -> float:
    x *= math.pi
    return math.sin(x) / x if x else 1.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


# half the width in pixels of the smaller image, and the filter itself
FILTERS = {'bilinear': (1.0, _triangle), 'bicubic': (2.0, _cubic), 'lanczos': (3.0, _lanczos)}
