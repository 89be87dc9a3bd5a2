# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Fit images to the network with the bits of geometry/image_transform.py, by native kernels.

Resizes are Pillow's (native/resample.cpp), and clients' images those of client_images.py.
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
from ctypes import c_int32, c_int64, c_void_p
from functools import lru_cache, partial
import logging

import numpy as np

from . import native_reason
from .client_images import client_image
from .native import library
from ..geometry.image_transform import checked_image, ImageTransform
from ..geometry.resampling import Taps, whole_line

_log = logging.getLogger(__name__)


class _Taps(ctypes.Structure):
    """Mirror of Taps in native/resample.cpp."""

    _fields_ = [
        ('first', c_void_p), ('count', c_void_p), ('weights', c_void_p), ('outside', c_void_p),
        ('outputs', c_int64), ('most', c_int64)]


class _Resampling(ctypes.Structure):
    """Mirror of Resampling in native/resample.cpp."""

    _fields_ = [
        ('image', c_void_p), ('stride', c_int64), ('height', c_int64), ('width', c_int64),
        ('rows', _Taps), ('columns', _Taps), ('fill', c_int32 * 3), ('y', c_void_p)]


def fit(transform: ImageTransform, image: np.ndarray) -> np.ndarray:
    """
    Return transform.apply(image), by the native kernel where it is there.

    The first image of a size takes some 20 ms more, a client's 70: see `_way`.
    """
    image = checked_image(image)
    way = _way(transform, image.shape[:2])
    return transform.apply(image) if way is None else way(image)


@lru_cache(maxsize=32)
def _way(transform: ImageTransform, image_size: tuple[int, int]):
    """
    Return the function from an image of a size to the transform's bits; None for Pillow itself.

    Tried on noise, since it is the installed Pillow whose bits count: from version 13 on it
    resizes some images along columns first, by a rule of its own.
    """
    ways = () if native_reason() else _ways(transform, image_size)
    if not ways:
        return None
    noise = np.random.default_rng(0).integers(0, 256, (*image_size, 3), np.uint8)
    wanted = transform.apply(noise)
    for way in ways:
        if np.array_equal(way(noise), wanted):
            return way
    _log.info('images of %d x %d are resized by Pillow, whose bits the native kernel misses',
              *image_size[::-1])
    return None


def _ways(transform: ImageTransform, image_size: tuple[int, int]) -> tuple[Callable, ...]:
    """Return what may give the transform's bits; nothing where pixels are taken as they are."""
    if transform.client:
        return (partial(_through_the_client, transform),)
    taps = transform.taps(image_size)
    options = taps and {'rows': taps[0], 'columns': taps[1], 'fill': transform.fill}
    return (partial(resample, **options), partial(columns_first, **options)) if taps else ()


def _through_the_client(transform: ImageTransform, image: np.ndarray) -> np.ndarray:
    """Return what the transform makes of an image that a client has a hand in."""
    first = ImageTransform(transform.first_size or image.shape[:2],
                           rotate_180=transform.rotate_180, mirror=transform.mirror)
    return client_image(fit(first, image), transform.size, transform.crop_area)


def columns_first(image: np.ndarray, rows: Taps, columns: Taps, fill=(0, 0, 0)) -> np.ndarray:
    """Return what `resample` does, with what lies along columns summed, and rounded, first."""
    between = resample(image, rows, whole_line(image.shape[1]), fill)
    return resample(between, whole_line(len(rows.first)), columns, fill)


def resample(image: np.ndarray, rows: Taps, columns: Taps, fill=(0, 0, 0),
             plain: bool = False) -> np.ndarray:
    """
    Return uint8 [h, w, 3] of an image uint8 [H, W, 3], with Pillow's bits.

    rows, columns: of h and w pixels, from lines of H and W.  fill: RGB of what is padded.
    plain: without AVX2, for tests.
    """
    if image.strides[1:] != (3, 1):
        image = np.ascontiguousarray(image)
    height, width, _ = image.shape
    small = np.empty((len(rows.first), len(columns.first), 3), np.uint8)
    call = _Resampling(
        image.ctypes.data, image.strides[0], height, width, _described(rows),
        _described(columns), (c_int32 * 3)(*fill), small.ctypes.data)
    library().sqap_resample(ctypes.byref(call), plain)
    return small


def _described(taps: Taps) -> _Taps:
    return _Taps(*(values.ctypes.data for values in (
        taps.first, taps.count, taps.weights, taps.outside)), *taps.weights.shape)
