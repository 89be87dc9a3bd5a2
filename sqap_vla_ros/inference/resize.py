# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`ImageTransform.apply` as tensor operations, to the last bit, on any device.

Pillow resamples in fixed point: each output is the sum of a few input values times whole
coefficients of 22 bits, rounded to 0..255, along one axis and then along the other.  Done in
int32 that has no room for differences, so that the network sees on a GPU what it sees on a CPU
(src/libImaging/Resample.c of Pillow; `nearest` is Geometry.c's ImagingScaleAffine).  Which axis
comes first depends on Pillow's version and on the sizes: a random image, resized once by both,
tells.

The sum is added up tap by tap, so that nothing larger is made than the image, or a pass's result
in int32.  That is a launch for each tap, and one to pick the inputs of as many taps as amount to
an image: 77 in all for a 1080p image to 224, with 37 taps along its width and 21 along its height.
A graph replays them.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..geometry.image_transform import ImageTransform

_BITS = 32 - 8 - 2  # Pillow's PRECISION_BITS
_PROBED, _MOST_PROBES = 4096, 256  # pixels of results to compare, and images for them
_SUPPORT = {'bilinear': 1.0, 'bicubic': 2.0, 'lanczos': 3.0}


def _bilinear(x):
    return np.maximum(1.0 - np.abs(x), 0.0)


def _bicubic(x):
    x = np.abs(x)
    inner = ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    outer = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


def _lanczos(x):
    return np.where((-3.0 <= x) & (x < 3.0), np.sinc(x) * np.sinc(x / 3), 0.0)


_FILTERS = {'bilinear': _bilinear, 'bicubic': _bicubic, 'lanczos': _lanczos}


def filter_taps(length: int, first: float, last: float, size: int, interpolation: str):
    """
    Return which inputs make each output of one axis: indices [size, taps] and coefficients.

    length: of the axis.  first, last: the part of it that is resampled, in pixels from its
    border.  Both arrays are int32, the coefficients in units of 2^-22.
    """
    scale = float(np.float32(last) - np.float32(first)) / size
    stretch = max(scale, 1.0)
    support = _SUPPORT[interpolation] * stretch
    centre = float(np.float32(first)) + (np.arange(size) + 0.5) * scale
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)  # towards zero, as in C
    high = np.minimum((centre + support + 0.5).astype(np.int64), length)
    index = low[:, None] + np.arange(math.ceil(support) * 2 + 1)
    weight = _FILTERS[interpolation]((index - centre[:, None] + 0.5) * (1.0 / stretch))
    weight = np.where(index < high[:, None], weight, 0.0)
    total = np.cumsum(weight, axis=1)[:, -1:]  # from left to right, as in C
    weight = np.where(total != 0.0, weight / np.where(total == 0.0, 1.0, total), weight)
    fixed = weight * (1 << _BITS)
    fixed = np.trunc(np.where(weight < 0, fixed - 0.5, fixed + 0.5)).astype(np.int32)
    return np.minimum(index, length - 1).astype(np.int32), fixed


def nearest_taps(first: float, last: float, size: int):
    """Return the input index [size, 1] of each output; the coefficients are 1."""
    step = float(np.float32(last) - np.float32(first)) / size
    steps = np.full(size, step)
    steps[0] = float(np.float32(first)) + step * 0.5
    index = np.add.accumulate(steps).astype(np.int32)[:, None]
    return index, np.full_like(index, 1 << _BITS)


class Inexact(Exception):
    """What is computed here is not what Pillow computes; the message says for which images."""


class DeviceTransform:
    """What an ImageTransform does to images of one size (H, W), on one device."""

    def __init__(self, transform: ImageTransform, image_size: tuple[int, int],
                 device: torch.device):
        """
        Put indices and coefficients on the device.

        Raises Inexact where the Pillow that is installed computes something else.
        """
        self._transform = transform
        box, pad, resized, self._corner = transform.steps(image_size)
        self._cut, self._pad = None, pad
        height, width = image_size
        if transform.strategy != 'resize-naive':
            self._cut = box
            width, height = box[2] + 2 * pad[0], box[3] + 2 * pad[1]
            box = (0, 0, width, height)
        self._fill = torch.tensor(transform.fill, dtype=torch.uint8)
        taps = [self._taps(length, box[axis], box[axis + 2], size)
                for axis, length, size in zip((0, 1), (width, height), resized)]
        self._passes = [(-2 - axis, *pair) for axis, pair in enumerate(taps) if pair is not None]
        self._order_passes(image_size)
        self._fill = self._fill.to(device)
        self._passes = [(axis, index.to(device), coefficients.to(device))
                        for axis, index, coefficients in self._passes]

    def _order_passes(self, image_size: tuple[int, int]) -> None:
        height, width = self._transform.size
        count = min(-(-_PROBED // (height * width)), _MOST_PROBES)
        images = np.random.default_rng(0).integers(0, 256, (count, *image_size, 3), np.uint8)
        expected = np.stack([self._transform.apply(image) for image in images])
        for _ in self._passes or [None]:
            if np.array_equal(self(torch.from_numpy(images)), expected):
                return
            self._passes.reverse()
        raise Inexact(f'Pillow resizes {image_size[1]}x{image_size[0]} images by '
                      f'{self._transform.interpolation!r} in another way than is known here')

    def _taps(self, length: int, start: float, extent: float, size: int):
        """Return indices and coefficients [taps, size] of an axis, None if it stays as it is."""
        first, last = max(start, 0.0), min(start + extent, length)
        if (first, last) == (0.0, size):
            return None
        name = self._transform.interpolation
        taps = (nearest_taps(first, last, size) if name == 'nearest'
                else filter_taps(length, first, last, size, name))
        return tuple(torch.from_numpy(np.ascontiguousarray(array.T)) for array in taps)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Map uint8 [..., H, W, 3] to uint8 [..., h, w, 3]."""
        reverse = [axis for axis, is_reversed in zip((-3, -2), self._transform.reversed_axes)
                   if is_reversed]
        image = image.flip(reverse) if reverse else image
        if self._cut is not None:
            image = self._padded(image)
        for axis, index, coefficients in self._passes:
            image = _resampled(image, index, coefficients, axis)
        (left, top), (height, width) = self._corner, self._transform.size
        return image[..., top:top + height, left:left + width, :]

    def _padded(self, image):
        x0, y0, width, height = self._cut
        image = image[..., y0:y0 + height, x0:x0 + width, :]
        if not any(self._pad):
            return image
        x, y = self._pad
        padded = self._fill.expand(*image.shape[:-3], height + 2 * y, width + 2 * x, 3).clone()
        padded[..., y:y + height, x:x + width, :] = image
        return padded


def _resampled(image, index, coefficients, dim: int):
    """Resample axis dim (-3 or -2) of uint8 [..., H, W, 3] by arrays [taps, size]."""
    shape, size = list(image.shape), index.shape[1]
    at_once = max(1, shape[dim] // size)  # taps whose inputs amount to the image
    shape[dim] = size
    total = torch.full(shape, 1 << (_BITS - 1), dtype=torch.int32, device=image.device)
    column = (-1, *(1 for _ in range(-1 - dim)))  # a factor for each place along the axis
    for places, factors in zip(index.split(at_once), coefficients.split(at_once)):
        picked = image.index_select(dim, places.flatten()).unflatten(dim, places.shape)
        for part, factor in zip(picked.unbind(dim - 1), factors):
            total.addcmul_(part, factor.view(column))
    return total.bitwise_right_shift_(_BITS).clamp_(0, 255).to(torch.uint8)
