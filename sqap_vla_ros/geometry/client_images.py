# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the public clients of OpenVLA and OpenVLA-OFT do to an image, in TensorFlow's arithmetic.

A JPEG file, Lanczos to the network's input, and a centre crop that is sampled back to its size: as
their training data were made.  Every sum is one of float32 in TensorFlow's order, so that a pixel
is hardly ever another one (test/geometry/test_client_images.py: which, and by how much).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .jpeg import round_trip

CLIENTS = ('', 'openvla')
_RADIUS = 3.0  # of Lanczos's kernel, in pixels of the smaller image
_ONE, _HALF = np.float32(1), np.float32(0.5)
_LEAST = np.float32(1e-3)  # from the kernel's middle, within which it is 1


def client_image(image: np.ndarray, size: tuple[int, int], crop_area: float) -> np.ndarray:
    """
    Return the processor's input uint8 [h, w, 3] for an image uint8 [H, W, 3], RGB.

    size: (h, w).  crop_area: share of the area that the crop keeps, 1.0 for no crop.
    """
    image = lanczos(round_trip(image), size)
    return image if crop_area == 1.0 else centre_crop(image, crop_area)


def lanczos(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 [h, w, 3]: an image resized with antialiasing, rounded half to even."""
    rows = _gathered(image.astype(np.float32), *taps(image.shape[0], size[0]))
    columns = _gathered(rows.transpose(1, 0, 2), *taps(image.shape[1], size[1]))
    return np.clip(np.rint(columns.transpose(1, 0, 2)), 0, 255).astype(np.uint8)


def centre_crop(image: np.ndarray, area: float) -> np.ndarray:
    """
    Return uint8 [H, W, 3]: the middle of an image, bilinearly brought to its size again.

    The corners' centres are sampled at the box's corners, which round the middle is the same map
    as that of pixels' edges.  Values are cut off, not rounded.
    """
    values = image.astype(np.float32) * np.float32(1 / 255)
    left, right, across = _samples(image.shape[1], area)
    values = _between(values[:, left], values[:, right], across[:, None])
    top, bottom, down = _samples(image.shape[0], area)
    values = _between(values[top], values[bottom], down[:, None, None])
    return np.minimum(np.clip(values, 0, 1) * np.float32(255.5), 255).astype(np.uint8)


def _between(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share


def _gathered(values: np.ndarray, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return [n, ...]: weighted sums of rows, one tap after the other."""
    found = np.zeros((places.shape[1], *values.shape[1:]), np.float32)
    for place, weight in zip(places, weights):
        found += values[place] * weight[:, None, None]
    return found


@lru_cache(maxsize=16)
def taps(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and weights [taps, wanted] of what makes up each pixel of a resized line."""
    inverse = _ONE / np.float32(wanted / length)
    stretch = max(inverse, _ONE)
    reach = np.float32(_RADIUS) * stretch
    centers = (np.arange(wanted, dtype=np.float32) + _HALF) * inverse
    starts = np.clip(np.ceil(centers - reach - _HALF), 0, length - 1).astype(int)
    ends = np.clip(np.floor(centers + reach - _HALF), 0, length - 1).astype(int)
    places = starts + np.arange((ends - starts).max() + 1)[:, None]
    weights = _kernel(np.abs(places.astype(np.float32) + _HALF - centers) * (_ONE / stretch))
    weights = np.where(places <= ends, weights, np.float32(0))
    return np.minimum(places, length - 1), weights * (_ONE / sum(weights))


def _kernel(x: np.ndarray) -> np.ndarray:
    """Return Lanczos's kernel of float32 x >= 0; sines are rounded once, on any machine alike."""
    pi, radius = np.float32(np.pi), np.float32(_RADIUS)
    waves = radius * _sine(pi * x) * _sine(pi * x / radius)
    found = waves / (pi * pi * np.maximum(x, _LEAST) * np.maximum(x, _LEAST))
    return np.where(x <= _LEAST, _ONE, np.where(x > radius, np.float32(0), found))


def _sine(x: np.ndarray) -> np.ndarray:
    return np.sin(x.astype(np.float64)).astype(np.float32)


@lru_cache(maxsize=16)
def _samples(length: int, area: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels on either side [length] of each place, and how far from the first."""
    side = np.sqrt(np.float32(area))
    start, last = (_ONE - side) / np.float32(2), np.float32(length - 1)
    step = (start + side - start) * last / max(last, _ONE)
    places = start * last + np.arange(length, dtype=np.float32) * step
    before = np.floor(places).astype(int)
    return before, np.ceil(places).astype(int), places - before.astype(np.float32)
