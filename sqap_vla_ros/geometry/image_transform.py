# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The one definition of what an image goes through on its way into the network.

Pixels and projected points take the same path: `ImageTransform.apply` moves the pixels and
`ImageTransform.pixels_to_input` moves coordinates, both read from the same two rectangles, so
that a protected patch can't drift from what the network sees.

Pixel coordinates are (u, v) = (column, row), integers are pixel centres (OpenCV's convention).
"""
from dataclasses import dataclass
import math

import numpy as np

from .client_images import client_image, CLIENTS
from .resampling import FILTERS, line_taps
from ..errors import ConfigError, ObservationError

RESIZE_STRATEGIES = ('resize-naive', 'letterbox', 'resize-crop')
INTERPOLATIONS = ('nearest', *FILTERS)
_LONGEST = 16_000  # pixels, up to which the sum of a line's weights times 255 rounds to 255


@dataclass(frozen=True)
class ImageTransform:
    """
    Turn, centre crop and resize, in this order; for pixels and for coordinates.

    size: (height, width) of the network input.
    strategy: 'resize-naive' squashes, 'letterbox' keeps the aspect and pads, 'resize-crop'
        keeps the aspect and cuts off what is too long.
    interpolation: Pillow's filters, antialiased when shrinking ('bicubic' is what OpenVLA and
        CogACT checkpoints expect).
    rotate_180: for cameras that are mounted, or rendered, upside down.
    crop_area: fraction of the image's area that a centre crop keeps (0.9 for checkpoints that
        were trained with random crops); 1.0 keeps all.
    fill: RGB of the letterbox's padding, 0..255.
    mirror: left and right change places, for networks that were trained so (LIBERO's data hold
        its frames upside down, and public checkpoints were trained on them rotated by 180
        degrees).
    client: '' for the processor alone; 'openvla' for what the public clients do in front of it:
        a JPEG file, Lanczos to the size and a crop sampled back to it, to the bit (see
        client_images.py); `interpolation` has nothing left to do then.
    first_size: (height, width) to which such a client resizes first, bicubic, or None.

    Raises ConfigError, when made, for a value out of range.
    """

    size: tuple[int, int]
    strategy: str = 'resize-naive'
    interpolation: str = 'bicubic'
    rotate_180: bool = False
    crop_area: float = 1.0
    fill: tuple[int, int, int] = (0, 0, 0)
    mirror: bool = False
    client: str = ''
    first_size: tuple[int, int] | None = None

    def __post_init__(self):
        object.__setattr__(self, 'size', _positive_size(self.size))
        if self.strategy not in RESIZE_STRATEGIES:
            raise ConfigError(
                f'image strategy {self.strategy!r} is unknown: use one of {RESIZE_STRATEGIES}')
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(f'image interpolation {self.interpolation!r} is unknown: '
                              f'use one of {INTERPOLATIONS}')
        for name in ('rotate_180', 'mirror'):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f'{name} is {getattr(self, name)!r}, expected true or false')
        if not 0.0 < self.crop_area <= 1.0:
            raise ConfigError(f'crop_area must be in (0, 1], found {self.crop_area}')
        fill = tuple(int(value) for value in self.fill)
        if len(fill) != 3 or not all(0 <= value <= 255 for value in fill):
            raise ConfigError(f'fill must be three values in 0..255, found {self.fill}')
        object.__setattr__(self, 'fill', fill)
        self._check_client()

    def _check_client(self):
        if self.client not in CLIENTS:
            raise ConfigError(f'image client is {self.client!r}, expected one of {CLIENTS}')
        if self.client and self.strategy != 'resize-naive':
            raise ConfigError(f'image client {self.client!r} resizes without keeping the aspect '
                              f"('resize-naive'), but the strategy is {self.strategy!r}")
        if self.first_size is None:
            return
        if not self.client:
            raise ConfigError(f'first_size is {self.first_size!r}, but only a client resizes '
                              f'first: name it, "client": "{CLIENTS[-1]}", or leave it out')
        object.__setattr__(self, 'first_size', _first_size(self.first_size))

    @property
    def reversed_axes(self):
        """Return whether rows and whether columns come in reverse order."""
        return self.rotate_180, self.rotate_180 != self.mirror

    def apply(self, image):
        """
        Return the network's input uint8 [h, w, 3] for an image uint8 [H, W, 3], RGB.

        The input may share memory with the image when there is nothing to do.
        Raises ObservationError for another shape or type.
        """
        image = checked_image(image)
        down, across = (-1 if reverse else 1 for reverse in self.reversed_axes)
        image = image[::down, ::across]
        if self.client:
            return self._through_the_client(image)
        box, pad, resized, (left, top) = self.steps(image.shape[:2])
        if self.strategy != 'resize-naive':
            x0, y0, width, height = box
            image = _padded(image[y0:y0 + height, x0:x0 + width], pad, self.fill)
            box = (0, 0, *image.shape[1::-1])
        if box != (0, 0, *resized):
            image = _resize(image, box, resized, self.interpolation)
        return np.ascontiguousarray(image[top:top + self.size[0], left:left + self.size[1]])

    def taps(self, image_size):
        """
        Return (rows, columns), the Taps that make the input of an image (H, W); None if none do.

        None where a client has the word, where pixels are taken as they are, and for images
        shrunk so much that a sum's rounding would reach the padding.
        """
        box, _, resized, _ = self.steps(image_size)
        if (self.client or self.interpolation not in FILTERS or box == (0, 0, *resized)
                or max(image_size) > _LONGEST):
            return None
        return self._line_taps(image_size, 1), self._line_taps(image_size, 0)

    def _line_taps(self, image_size, axis):
        """Return the Taps of a row (axis 0, along x) or a column (1, along y) of an image."""
        box, pad, resized, corner = self.steps(image_size)
        length = image_size[1 - axis]
        start, inner = box[axis::2]
        cut, kept = (start, inner), (0.0, inner + 2 * pad[axis])
        if self.strategy == 'resize-naive':  # the box's ends may lie between pixels
            cut, kept = (0, length), (max(start, 0.0), min(start + inner, length))
        return line_taps(length, self.reversed_axes[1 - axis], cut, pad[axis], kept, resized[axis],
                         (corner[axis], self.size[1 - axis]), self.interpolation)

    def _through_the_client(self, image):
        if self.first_size is not None:
            size = self.first_size[::-1]
            image = _resize(image, (0, 0, *image.shape[1::-1]), size, 'bicubic')
        return client_image(image, self.size, self.crop_area)

    def steps(self, image_size):
        """
        Return what happens to an image (H, W), in this order.

        box: (x0, y0, width, height) that is cut out; pad: (x, y), the border added on either
        side; resized: (width, height) of the whole; corner: (left, top) of the input in that.
        Where the aspect is kept all of them are integers, as in the code that OpenVLA was
        trained with (torchvision's pad, resize of the shorter side, and centre crop).
        """
        image_height, image_width = _positive_size(image_size)
        height, width = self.size
        side = math.sqrt(self.crop_area)
        margin = ((image_width - image_width * side) / 2,
                  (image_height - image_height * side) / 2)
        if self.strategy == 'resize-naive':
            box = (*margin, image_width * side, image_height * side)
            return box, (0, 0), (width, height), (0, 0)
        x0, y0 = (min(round(cut), (length - 1) // 2)
                  for cut, length in zip(margin, (image_width, image_height)))
        box = x0, y0, image_width - 2 * x0, image_height - 2 * y0
        wide, high, pad = *box[2:], (0, 0)
        if self.strategy == 'letterbox':
            pad = (max(0, int((high * width / height - wide) / 2)),
                   max(0, int((wide * height / width - high) / 2)))
            wide, high = wide + 2 * pad[0], high + 2 * pad[1]
        if wide * height <= high * width:
            resized = width, width * high // wide
        else:
            resized = height * wide // high, height
        return box, pad, resized, tuple(
            round((large - small) / 2) for large, small in zip(resized, (width, height)))

    def source_box(self, image_size):
        """
        Return (x0, y0, width, height), floats: the part of the image (H, W) that is used.

        In units of pixels from the image's corner (not from the first pixel's centre), after
        the turn.
        """
        (x0, y0, width, height), _, _, (left, top) = self.steps(image_size)
        if self.strategy != 'resize-crop':
            return x0, y0, width, height
        scale_x, scale_y = self.scale(image_size)
        return (x0 + left / scale_x, y0 + top / scale_y,
                self.size[1] / scale_x, self.size[0] / scale_y)

    def target_box(self, image_size):
        """
        Return (left, top, width, height), floats: where the source box lands in the input.

        Of letterboxed images that are smaller than the input, it may lie over the border.
        """
        if self.strategy != 'letterbox':
            return 0, 0, self.size[1], self.size[0]
        box, pad, _, corner = self.steps(image_size)
        scale = self.scale(image_size)
        return (*(border * factor - cut for border, factor, cut in zip(pad, scale, corner)),
                *(length * factor for length, factor in zip(box[2:], scale)))

    def scale(self, image_size):
        """Return (x, y): input pixels a pixel of an image (H, W), the same everywhere."""
        box, pad, resized, _ = self.steps(image_size)
        return tuple(length / (inner + 2 * border)
                     for length, inner, border in zip(resized, box[2:], pad))

    def pixels_to_input(self, pixels, image_size):
        """
        Return where pixels float [M, 2] of an image (H, W) lie in the network's input.

        Points outside the part that is used map outside its target box; NaN stays NaN.
        """
        corner = self._turned(np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5, image_size)
        source = np.asarray(self.source_box(image_size)[:2])
        target = np.asarray(self.target_box(image_size)[:2])
        return (corner - source) * self.scale(image_size) + target - 0.5

    def input_to_pixels(self, pixels, image_size):
        """Return the pixels float64 [M, 2] of an image (H, W): pixels_to_input's inverse."""
        corner = np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5
        source = np.asarray(self.source_box(image_size)[:2])
        target = np.asarray(self.target_box(image_size)[:2])
        corner = (corner - target) / self.scale(image_size) + source
        return self._turned(corner, image_size) - 0.5

    def _turned(self, corner, image_size):
        """Return points [M, 2], from the image's corner, with reversed axes reversed."""
        reverse = np.array(self.reversed_axes[::-1])
        return np.where(reverse, np.asarray(image_size, np.float64)[::-1] - corner, corner)


def _positive_size(size):
    size = tuple(int(length) for length in size)
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f'an image size is (height, width), both positive; found {size}')
    return size


def _first_size(size):
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(
            type(length) is int and length > 0 for length in size):
        raise ConfigError(f'first_size is {size!r}, expected two whole numbers above 0, height '
                          'and width, such as [256, 256]')
    return tuple(size)


def checked_image(image):
    """Return an image as uint8 [H, W, 3]; raise ObservationError if it is none."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ObservationError('expected an RGB image uint8 [H, W, 3], '
                               f'found {image.dtype} {list(image.shape)}')
    return image


def _padded(image, pad, fill):
    """Return the image with a border of pad = (x, y) pixels on either side."""
    if not any(pad):
        return image
    height, width = image.shape[:2]
    padded = np.full((height + 2 * pad[1], width + 2 * pad[0], 3), fill, np.uint8)
    padded[pad[1]:pad[1] + height, pad[0]:pad[0] + width] = image
    return padded


def _resize(image, box, size, interpolation):
    """Resample box (x0, y0, width, height) to size (w, h); Pillow takes fractional boxes."""
    from PIL import Image  # here, because importing the package stays cheap
    filters = {'nearest': Image.NEAREST, 'bilinear': Image.BILINEAR,
               'bicubic': Image.BICUBIC, 'lanczos': Image.LANCZOS}
    x0, y0, width, height = box
    x1, y1 = min(x0 + width, image.shape[1]), min(y0 + height, image.shape[0])  # float rounding
    resized = Image.fromarray(np.ascontiguousarray(image)).resize(
        size, filters[interpolation], box=(max(x0, 0.0), max(y0, 0.0), x1, y1))
    return np.asarray(resized)
