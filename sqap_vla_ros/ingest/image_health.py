# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a picture can be one of a working camera: what is blind must not move an arm.

Looked at are a small copy of it and some neighbouring pixels, a fraction of a millisecond each. A
picture is compared with those before it, slowly forgotten: dusk and exposure may change it, a
lamp that goes out is seen. What differs much stays refused until it is as before, or ~/reset.
Pictures that repeat are frozen_images.py's.
"""

from dataclasses import dataclass
import math

import cv2
import numpy as np
from sqap_vla_ros.errors import ObservationError

CELLS = 64, 48  # width and height of the small copy
FORGOTTEN_S = 5.0  # time constant of what "before" means; after a longer gap all is new
NEIGHBOURS_ALIKE = 0.3  # correlation of neighbouring pixels; of a sharp picture more than 0.8
TIMES_BRIGHTER, DARK = 4.0, 8.0  # a lamp's share, told also where all is dark
LEAST_CONTRAST_LEFT = 0.2  # of that before
COLOURFUL, LEAST_COLOUR_LEFT = 4.0, 0.1  # levels; of that before
DEAD_ROWS = 0.1  # of the rows or columns, that became one colour
BLACK_ROWS = 1 / 3  # of the rows, from the bottom, at the start
LOOKED_AT = 8  # pixels of a row or column, before all of it is
COMPARED_S = 1.0  # with a picture that is not older, whether it lies otherwise now
MOVED_LEVELS, EXPLAINED = 12.0, 0.25
OTHERWISE = {
    'red and blue have changed places': lambda cells: cells[..., ::-1],
    'it is upside down': lambda cells: cells[::-1, ::-1],
    'it is mirrored': lambda cells: cells[:, ::-1],
    'it is flipped': lambda cells: cells[::-1]}
CURE = ('is the lens covered or the light off, or is it another camera? Call ~/reset to go on '
        'with it')


@dataclass(frozen=True)
class Statistics:
    """
    What a picture looks like, in levels of 0 to 255.

    cells: uint8 [48, 64, 3], the small copy.  brightness: mean.  contrast: standard deviation of
    the cells' brightness, in which a sensor's noise has averaged out.  colour: mean difference
    of the strongest and the weakest channel.  dead: share of rows or columns, whichever
    is larger, that are of one colour to the last bit.
    """

    cells: np.ndarray
    brightness: float
    contrast: float
    colour: float
    dead: float
    black_rows: float


class ImageHealth:
    """Judges the pictures of one camera; remembers what they were like."""

    def __init__(self):
        """Begin without a picture."""
        self.reset()

    def reset(self):
        """Take the next picture as it is, if it shows anything."""
        self._usual = self._last = None
        self._last_ns = 0

    def check(self, image: np.ndarray, stamp_ns: int, min_contrast: float, max_change: float):
        """
        Raise ObservationError for a picture that shows nothing, or nothing like those before.

        image: uint8 [H, W, 3].  min_contrast: least contrast [levels], 0: any.  max_change: of
        the brightness within seconds [levels], 0: compare nothing.
        """
        now = statistics(image)
        if min_contrast:
            _check_shows_something(now, image, min_contrast)
        if max_change:
            self._compare(now, stamp_ns, max_change)

    def _compare(self, now, stamp_ns, max_change):
        gap_s = (stamp_ns - self._last_ns) * 1e-9
        if self._usual is None or not 0 <= gap_s <= FORGOTTEN_S:
            _check_has_a_bottom(now)
            self._usual = now
        else:
            self._last_ns = stamp_ns
            _check_change(self._usual, now, max_change)
            if gap_s <= COMPARED_S:
                _check_lies_as_before(self._last.cells, now.cells)
            self._usual = _between(self._usual, now, gap_s / FORGOTTEN_S)
        self._last, self._last_ns = now, stamp_ns


def statistics(image: np.ndarray) -> Statistics:
    """Return what an image uint8 [H, W, 3] looks like."""
    part = _part(image)
    cells = cv2.resize(part, CELLS, interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(cells)
    grey, spread = cv2.meanStdDev(cv2.cvtColor(cells, cv2.COLOR_RGB2GRAY))
    colour = cv2.mean(cv2.subtract(cv2.max(cv2.max(red, green), blue),
                                   cv2.min(cv2.min(red, green), blue)))
    rows, black = _one_colour(part, 1)
    columns, _ = _one_colour(part, 0)
    return Statistics(
        cells, float(grey[0, 0]), float(spread[0, 0]), colour[0],
        max(np.count_nonzero(rows) / len(rows), np.count_nonzero(columns) / len(columns)),
        0.0 if not black[-1] or black.all() else float(black[::-1].cumprod().mean()))


def _part(image):
    """Return every n-th pixel of every m-th row, about 160 x 120 of them."""
    height, width = image.shape[:2]
    down, across = max(1, height // 120), max(1, width // 160)
    if height % down or width % across:
        return np.ascontiguousarray(image[::down, ::across])
    # Where it divides, OpenCV takes the same pixels, in a third of the time.
    return cv2.resize(image, (width // across, height // down), interpolation=cv2.INTER_NEAREST)


def _one_colour(part, axis):
    """
    Return which columns (axis 0) or rows (1) are of one colour, bool, and which are black.

    Some of their pixels tell of nearly every one that it is not; the rest is looked at whole.
    """
    lines = part if axis == 1 else part.swapaxes(0, 1)
    firsts = lines[:, :1]
    found = (lines[:, ::max(1, lines.shape[1] // LOOKED_AT)] == firsts).all(axis=(1, 2))
    maybe = np.flatnonzero(found)
    if len(maybe):
        found[maybe] = (lines[maybe] == firsts[maybe]).all(axis=(1, 2))
    return found, found & ~firsts.any(axis=(1, 2))


def neighbours_alike(image: np.ndarray) -> float:
    """Return the correlation of neighbouring pixels, across or down, whichever is less."""
    if image.shape[0] < 2:
        return 1.0
    step = max(2, image.shape[0] // 24)
    upper, lower = (cv2.extractChannel(image[first::step], 1) for first in (0, 1))
    upper = upper[:len(lower)]
    left, right = upper[:, :-1], upper[:, 1:]
    sums = _sums(upper)
    return min(_correlation(upper, lower, sums, _sums(lower)),
               _correlation(right, left, _without(sums, upper[:, :1]),
                            _without(sums, upper[:, -1:])))


def _sums(pixels) -> tuple[int, int]:
    """Return the sum of uint8 [H, W] and that of the squares, whole numbers and exact."""
    return round(cv2.sumElems(pixels)[0]), round(cv2.norm(pixels, cv2.NORM_L2SQR))


def _without(sums, column) -> tuple[int, int]:
    """Return sums of an image without one of its columns."""
    values = column.ravel().tolist()
    return sums[0] - sum(values), sums[1] - sum(value * value for value in values)


def _correlation(first, second, *sums):
    """Return the correlation of uint8 [H, W], of which the _sums are known."""
    count = first.size
    if not count:
        return 1.0
    twice = sums[0][1] + sums[1][1] - round(cv2.norm(first, second, cv2.NORM_L2SQR))
    size = math.prod(count * square - each * each for each, square in sums)
    product = sums[0][0] * sums[1][0]
    return (count * twice / 2 - product) / math.sqrt(size) if size else 1.0


def _check_shows_something(now, image, min_contrast):
    if now.contrast < min_contrast:
        raise ObservationError(
            f'the image shows almost nothing: its contrast is {now.contrast:.1f} of 255 levels '
            f'(limit: min_contrast, {min_contrast:g}) at a brightness of {now.brightness:.0f}: is '
            'the lens covered, the light off or the exposure wrong?')
    alike = neighbours_alike(image)
    if alike < NEIGHBOURS_ALIKE:
        raise ObservationError(
            f'the image is noise: neighbouring pixels correlate by {alike:.2f} (limit: '
            f'{NEIGHBOURS_ALIKE}, pictures have 0.8 and more): are encoding, width and step '
            'right, and is the camera well? (min_contrast 0 looks at nothing)')


def _check_has_a_bottom(now):
    if now.black_rows > BLACK_ROWS:
        raise ObservationError(
            f'the lower {100 * now.black_rows:.0f} % of the image are black to the last bit: was '
            'it cut off on the way? (max_image_change 0 looks at nothing)')


def _check_change(usual, now, max_change):
    limits = f'(limit: max_image_change, {max_change:g})'
    darker, brighter = sorted((now.brightness, usual.brightness))
    if brighter - darker > max_change or brighter > TIMES_BRIGHTER * max(darker, DARK):
        raise ObservationError(
            f"the image's brightness is {now.brightness:.0f} of 255 and was "
            f'{usual.brightness:.0f} before {limits}: {CURE}')
    if now.contrast < LEAST_CONTRAST_LEFT * usual.contrast:
        raise ObservationError(
            f"the image's contrast is {now.contrast:.1f} and was {usual.contrast:.1f} before: "
            + CURE)
    if usual.colour > COLOURFUL and now.colour < LEAST_COLOUR_LEFT * usual.colour:
        raise ObservationError(
            f'the image has lost its colours: {now.colour:.1f} levels between its channels, '
            f'{usual.colour:.1f} before: is it another camera, or its night mode? Call ~/reset '
            'to go on with it')
    if now.dead > usual.dead + DEAD_ROWS:
        raise ObservationError(
            f'{100 * now.dead:.0f} % of the rows or columns of the image are of one colour '
            f'to the last bit, {100 * usual.dead:.0f} % before: part of it was lost on the way '
            'or by the camera')


def _check_lies_as_before(before, now):
    off = cv2.norm(before, now, cv2.NORM_L1) / now.size
    if off < MOVED_LEVELS:
        return
    for what, otherwise in OTHERWISE.items():
        left = cv2.absdiff(np.ascontiguousarray(otherwise(before)), now).mean()
        if left < EXPLAINED * off:
            raise ObservationError(
                f'the image is not as before: {what} (that leaves {left:.1f} levels of a '
                f'difference of {off:.1f}). Is it another camera, or were its settings changed? '
                'Call ~/reset to go on with it')


def _between(usual, now, share):
    numbers = (old + share * (new - old) for old, new in (
        (usual.brightness, now.brightness), (usual.contrast, now.contrast),
        (usual.colour, now.colour), (usual.dead, now.dead)))
    return Statistics(now.cells, *numbers, now.black_rows)
