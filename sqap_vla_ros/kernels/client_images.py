# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What geometry/client_images.py computes, with its bits, in C++ (native/client.cpp)."""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p
from functools import lru_cache

import numpy as np

from .native import library
from ..geometry.client_images import centre_crop, taps
from ..geometry.jpeg import CHROMA, divisors, LUMA, scales_of


class _Client(ctypes.Structure):
    """Mirror of Client in native/client.cpp."""

    _fields_ = [
        ('image', c_void_p), ('height', c_int64), ('width', c_int64), ('luma_table', c_void_p),
        ('luma_scales', c_void_p), ('chroma_table', c_void_p), ('chroma_scales', c_void_p),
        ('y', c_void_p)]


class _Axis(ctypes.Structure):
    """Mirror of Axis in native/client.cpp."""

    _fields_ = [('places', c_void_p), ('weights', c_void_p), ('taps', c_int64),
                ('outputs', c_int64)]


class _Lanczos(ctypes.Structure):
    """Mirror of Lanczos in native/client.cpp."""

    _fields_ = [
        ('image', c_void_p), ('height', c_int64), ('width', c_int64), ('rows', _Axis),
        ('columns', _Axis), ('y', c_void_p)]


def client_image(image: np.ndarray, size: tuple[int, int], crop_area: float) -> np.ndarray:
    """Return the processor's input uint8 [h, w, 3]; see geometry/client_images.py."""
    image = lanczos(round_trip(image), size)
    return image if crop_area == 1.0 else centre_crop(image, crop_area)


def round_trip(image: np.ndarray, plain: bool = False) -> np.ndarray:
    """Return an image uint8 [H, W, 3] as a JPEG file gives it back; plain: without AVX2."""
    image = np.ascontiguousarray(image)
    found = np.empty_like(image)
    call = _Client(image.ctypes.data, *image.shape[:2],
                   *(table.ctypes.data for table in _tables()), found.ctypes.data)
    library().sqap_jpeg(ctypes.byref(call), plain)
    return found


def lanczos(image: np.ndarray, size: tuple[int, int], plain: bool = False) -> np.ndarray:
    """Return an image uint8 [H, W, 3] resized to [h, w, 3]; plain: without AVX2."""
    image = np.ascontiguousarray(image)
    found = np.empty((*size, 3), np.uint8)
    axes = [_axis(*pair) for pair in zip(image.shape, size)]
    call = _Lanczos(
        image.ctypes.data, *image.shape[:2],
        *(_Axis(places.ctypes.data, weights.ctypes.data, *places.shape)
          for places, weights in axes), found.ctypes.data)
    library().sqap_lanczos(ctypes.byref(call), plain)
    return found


@lru_cache(maxsize=None)
def _tables() -> tuple[np.ndarray, ...]:
    """Return luma's divisors and scales, and chroma's, int32 [8, 8]."""
    return tuple(np.ascontiguousarray(table, np.int32) for base in (LUMA, CHROMA)
                 for table in (divisors(base), scales_of(divisors(base))))


@lru_cache(maxsize=16)
def _axis(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places int32 and weights float32 [taps, wanted] of a resized line."""
    places, weights = taps(length, wanted)
    return (np.ascontiguousarray(places, np.int32), np.ascontiguousarray(weights, np.float32))
