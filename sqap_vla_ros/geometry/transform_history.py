# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The history of one frame in its parent, interpolated as tf2 does it: lerp + slerp."""

from bisect import bisect_left, insort
from typing import NamedTuple

import numpy as np

from .quaternions import rotated_of, slerp_of
from ..errors import ObservationError

LATE_IN_A_ROW = 3  # messages older than all that is kept: then what is newer was a stray


class TransformLookupError(ObservationError):
    """
    There is no transform between two frames at the time asked for.

    reason: unknown_frame, unconnected, before_oldest, after_newest, contradicted, or refused, of
    a transform that is not taken.
    """

    def __init__(self, text: str, reason: str = 'refused'):
        """Say it in words, and in one word to count by."""
        super().__init__(text)
        self.reason = reason


class Step(NamedTuple):
    """
    What is known of one frame on the way between two.

    stamps: [N], ns, numbers: [N][7], x, y, z and the quaternion, in the parent; of a static one
    the pose that holds.  The same as arrays are made for who asks for them.
    """

    parent: str
    child: str
    is_static: bool
    stamps: list[int]
    numbers: list[tuple[float, ...]]

    @property
    def stamps_ns(self) -> np.ndarray:
        """Return int64 [N]."""
        return np.array(self.stamps, np.int64)

    @property
    def translations(self) -> np.ndarray:
        """Return float64 [N, 3], m."""
        return self._poses[:, :3]

    @property
    def quaternions(self) -> np.ndarray:
        """Return float64 [N, 4]."""
        return self._poses[:, 3:]

    @property
    def _poses(self):
        return np.array(self.numbers).reshape(-1, 7)


class TransformHistory:
    """The history of one frame in its parent, oldest first."""

    def __init__(self, parent: str, static: bool):
        """Begin without a pose; of a static frame the newest one always holds."""
        self.parent = parent
        self.static = static
        self._stamps = []
        self._numbers = {}  # [7] by stamp
        self._late = 0

    @property
    def newest_ns(self) -> int:
        """Return the stamp of the newest pose."""
        return self._stamps[-1]

    @property
    def oldest_ns(self) -> int:
        """Return the stamp of the oldest pose that is kept."""
        return self._stamps[0]

    def insert(self, stamp_ns, numbers, cache_ns):
        """Take a pose, and forget those more than cache_ns older than the newest."""
        is_late = self._stamps and stamp_ns < self._stamps[-1] - cache_ns
        self._late = self._late + 1 if is_late else 0
        if self.static or self._late >= LATE_IN_A_ROW:  # of static ones the newest always holds
            self._stamps.clear()
            self._numbers.clear()
        if stamp_ns in self._numbers and not self.static:
            return  # tf2 too keeps the first of two with one stamp
        insort(self._stamps, stamp_ns)
        self._numbers[stamp_ns] = numbers
        while self._stamps[0] < self._stamps[-1] - cache_ns:
            del self._numbers[self._stamps.pop(0)]

    def append(self, stamp_ns, numbers, cache_ns):
        """Take a pose that is later than all others."""
        stamps = self._stamps
        self._late = 0
        stamps.append(stamp_ns)
        self._numbers[stamp_ns] = numbers
        while stamps[0] < stamp_ns - cache_ns:
            del self._numbers[stamps.pop(0)]

    def step(self, child, since_ns):
        """Return what was heard since a time, and the last before."""
        first = 0 if self.static else max(0, bisect_left(self._stamps, since_ns) - 1)
        stamps = self._stamps[first:]
        return Step(self.parent, child, self.static, stamps,
                    [self._numbers[stamp] for stamp in stamps])

    def at(self, child, stamp_ns):
        """
        Return ([7] numbers, off_ns) at a time, between two poses if need be.

        Raises TransformLookupError.  There is no NumPy in it: an image asks for dozens.
        """
        numbers = self._numbers.get(self._stamps[0] if self.static else stamp_ns)
        if numbers is not None:
            return numbers, 0
        after = bisect_left(self._stamps, stamp_ns)
        if not 0 < after < len(self._stamps):
            beyond = self._stamps[0] if after == 0 else self._stamps[-1]
            raise TransformLookupError(
                f'no transform {self.parent} -> {child} at the time asked for: it is '
                f'{abs(stamp_ns - beyond) / 1e9:.3f} s '
                f'{"before the oldest" if after == 0 else "after the newest"} one heard',
                'before_oldest' if after == 0 else 'after_newest')
        before_ns, after_ns = self._stamps[after - 1:after + 1]
        ratio = (stamp_ns - before_ns) / (after_ns - before_ns)
        first, second = self._numbers[before_ns], self._numbers[after_ns]
        translation = [a + ratio * (b - a) for a, b in zip(first[:3], second[:3])]
        return ((*translation, *slerp_of(first[3:], second[3:], ratio)),
                min(stamp_ns - before_ns, after_ns - stamp_ns))


def composed(outer, inner):
    """
    Return the [7] numbers of the pose of a pose, both in such numbers.

    It is product_of and rotated_of in one: an image asks for dozens of them.
    """
    px, py, pz, x, y, z, w = outer
    a, b, c, x2, y2, z2, w2 = inner
    p, q, r = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return (px + (a + w * p + y * r - z * q), py + (b + w * q + z * p - x * r),
            pz + (c + w * r + x * q - y * p),
            w * x2 + x * w2 + y * z2 - z * y2, w * y2 - x * z2 + y * w2 + z * x2,
            w * z2 + x * y2 - y * x2 + z * w2, w * w2 - x * x2 - y * y2 - z * z2)


def inverted(numbers):
    """Return the [7] numbers of the pose the other way round."""
    x, y, z, w = numbers[3:]
    inverse = -x, -y, -z, w
    a, b, c = rotated_of(inverse, numbers[:3])
    return (-a, -b, -c, *inverse)
