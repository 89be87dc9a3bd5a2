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

from .errors import ConfigError, ObservationError

RESIZE_STRATEGIES = ('resize-naive', 'letterbox', 'resize-crop')
INTERPOLATIONS = ('nearest', 'bilinear', 'bicubic', 'lanczos')


@dataclass(frozen=True)
class ImageTransform:
    """
    Rotate, centre crop and resize, in this order; for pixels and for coordinates.

    size: (height, width) of the network input.
    strategy: 'resize-naive' squashes, 'letterbox' keeps the aspect and pads, 'resize-crop'
        keeps the aspect and cuts off what is too long.
    interpolation: Pillow's filters, antialiased when shrinking ('bicubic' is what OpenVLA and
        CogACT checkpoints expect).
    rotate_180: for cameras that are mounted, or rendered, upside down.
    crop_area: fraction of the image's area that a centre crop keeps (0.9 for checkpoints that
        were trained with random crops); 1.0 keeps all.
    fill: RGB of the letterbox's padding, 0..255.

    Raises ConfigError, when made, for a value out of range.
    """

    size: tuple[int, int]
    strategy: str = 'resize-naive'
    interpolation: str = 'bicubic'
    rotate_180: bool = False
    crop_area: float = 1.0
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self):
        object.__setattr__(self, 'size', _positive_size(self.size))
        if self.strategy not in RESIZE_STRATEGIES:
            raise ConfigError(
                f'image strategy {self.strategy!r} is unknown: use one of {RESIZE_STRATEGIES}')
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(f'image interpolation {self.interpolation!r} is unknown: '
                              f'use one of {INTERPOLATIONS}')
        if not 0.0 < self.crop_area <= 1.0:
            raise ConfigError(f'crop_area must be in (0, 1], found {self.crop_area}')
        fill = tuple(int(value) for value in self.fill)
        if len(fill) != 3 or not all(0 <= value <= 255 for value in fill):
            raise ConfigError(f'fill must be three values in 0..255, found {self.fill}')
        object.__setattr__(self, 'fill', fill)

    def apply(self, image):
        """
        Return the network's input uint8 [h, w, 3] for an image uint8 [H, W, 3], RGB.

        The input may share memory with the image when there is nothing to do.
        Raises ObservationError for another shape or type.
        """
        image = _checked_image(image)
        x0, y0, box_width, box_height = self.source_box(image.shape[:2])
        left, top, width, height = self.target_box(image.shape[:2])
        if (x0, y0, box_width, box_height) == (0, 0, width, height):
            content = image
        else:
            content = _resize(image, (x0, y0, x0 + box_width, y0 + box_height),
                              (width, height), self.interpolation)
        if self.rotate_180:  # after the resize: the boxes are centred, and it is cheaper
            content = content[::-1, ::-1]
        if (height, width) == self.size:
            return np.ascontiguousarray(content)
        padded = np.full((*self.size, 3), self.fill, np.uint8)
        padded[top:top + height, left:left + width] = content
        return padded

    def source_box(self, image_size):
        """
        Return (x0, y0, width, height), floats: the part of the image (H, W) that is used.

        In units of pixels from the image's corner (not from the first pixel's centre).
        The box is centred, so that it is the same before and after a rotation by 180 degrees.
        """
        image_height, image_width = _positive_size(image_size)
        side = math.sqrt(self.crop_area)
        width, height = image_width * side, image_height * side
        if self.strategy == 'resize-crop':
            scale = max(self.size[0] / height, self.size[1] / width)
            width, height = self.size[1] / scale, self.size[0] / scale
        return (image_width - width) / 2, (image_height - height) / 2, width, height

    def target_box(self, image_size):
        """Return (left, top, width, height), integers: where the source box lands."""
        if self.strategy != 'letterbox':
            return 0, 0, self.size[1], self.size[0]
        _, _, box_width, box_height = self.source_box(image_size)
        scale = min(self.size[0] / box_height, self.size[1] / box_width)
        width = min(self.size[1], max(1, round(box_width * scale)))
        height = min(self.size[0], max(1, round(box_height * scale)))
        return (self.size[1] - width) // 2, (self.size[0] - height) // 2, width, height

    def scale(self, image_size):
        """Return (x, y): input pixels a pixel of an image (H, W), the same everywhere."""
        _, _, box_width, box_height = self.source_box(image_size)
        _, _, width, height = self.target_box(image_size)
        return width / box_width, height / box_height

    def pixels_to_input(self, pixels, image_size):
        """
        Return where pixels float [M, 2] of an image (H, W) lie in the network's input.

        Points outside the part that is used map outside its target box; NaN stays NaN.
        """
        corner = np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5
        if self.rotate_180:
            corner = np.asarray(image_size, np.float64)[::-1] - corner
        source = np.asarray(self.source_box(image_size)[:2])
        target = np.asarray(self.target_box(image_size)[:2])
        return (corner - source) * self.scale(image_size) + target - 0.5

    def input_to_pixels(self, pixels, image_size):
        """Return the pixels float64 [M, 2] of an image (H, W): pixels_to_input's inverse."""
        corner = np.asarray(pixels, np.float64).reshape(-1, 2) + 0.5
        source = np.asarray(self.source_box(image_size)[:2])
        target = np.asarray(self.target_box(image_size)[:2])
        corner = (corner - target) / self.scale(image_size) + source
        if self.rotate_180:
            corner = np.asarray(image_size, np.float64)[::-1] - corner
        return corner - 0.5


def _positive_size(size):
    size = tuple(int(length) for length in size)
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f'an image size is (height, width), both positive; found {size}')
    return size


def _checked_image(image):
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ObservationError('expected an RGB image uint8 [H, W, 3], '
                               f'found {image.dtype} {list(image.shape)}')
    return image


def _resize(image, box, size, interpolation):
    """Resample box (x0, y0, x1, y1) to size (width, height); Pillow takes fractional boxes."""
    from PIL import Image  # here, because importing the package stays cheap
    filters = {'nearest': Image.NEAREST, 'bilinear': Image.BILINEAR,
               'bicubic': Image.BICUBIC, 'lanczos': Image.LANCZOS}
    x1, y1 = min(box[2], image.shape[1]), min(box[3], image.shape[0])  # rounding of a float
    resized = Image.fromarray(image).resize(
        size, filters[interpolation], box=(max(box[0], 0.0), max(box[1], 0.0), x1, y1))
    return np.asarray(resized)
