# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the arm was at any time, between the images at which it was measured.

Motion is what happened and no command, so that it is interpolated as TF is, from the measurements
before and after; nothing is told beyond them, across episodes or gaps.
"""

from __future__ import annotations

import numpy as np

from .times import episode_slices
from ...geometry.quaternion_arrays import poses_between

MOST_GAP_NS = 500_000_000


class Measured:
    """Poses [N, 7] or joints [N, J] that were measured at images' stamps."""

    def __init__(self, images, values: np.ndarray, is_pose: bool):
        """Keep those that are known; images: results.Images."""
        self._images, self._is_pose = images, is_pose
        self._shift_ns = _shifts_ns(images)
        keys_ns = images.stamps_ns + self._shift_ns
        known = np.flatnonzero(np.isfinite(values).all(1))
        known = known[np.argsort(keys_ns[known], kind='stable')]
        self._keys_ns, self._values = keys_ns[known], values[known]

    def __len__(self) -> int:
        """Return how many images it was measured at."""
        return len(self._keys_ns)

    def at(self, part: slice, after_ns: np.ndarray) -> np.ndarray:
        """
        Return float64 [n, T, D]: what was measured after_ns [T] after the stamps of images.

        NaN where the measurements before and after lie more than half a second apart.
        """
        images = self._images
        at_ns = (images.stamps_ns[part] + self._shift_ns[part])[:, None] + after_ns
        found = np.full((*at_ns.shape, self._values.shape[1]), np.nan)
        if not len(self):
            return found
        before = np.searchsorted(self._keys_ns, at_ns, side='right') - 1
        before = np.clip(before, 0, len(self) - 1)
        after = np.minimum(before + 1, len(self) - 1)
        gap_ns, way_ns = self._keys_ns[after] - self._keys_ns[before], (
            at_ns - self._keys_ns[before])
        exact = way_ns == 0
        known = exact | ((way_ns > 0) & (way_ns <= gap_ns) & (gap_ns <= MOST_GAP_NS))
        ratio = np.divide(way_ns, gap_ns, out=np.zeros(at_ns.shape), where=known & (gap_ns > 0))
        found[known] = self._between(before[known], np.where(exact, before, after)[known],
                                     ratio[known])
        return found

    def _between(self, before, after, ratios) -> np.ndarray:
        starts, ends = self._values[before], self._values[after]
        if self._is_pose:
            return poses_between(starts, ends, ratios)
        return starts + ratios[:, None] * (ends - starts)


def _shifts_ns(images) -> np.ndarray:
    """Return int64 [N]: what puts the stamps of episodes one after another, hours apart."""
    shifts = np.zeros(len(images), np.int64)
    begin_ns = 0
    for part in episode_slices(images):
        stamps = images.stamps_ns[part]
        shifts[part] = begin_ns - stamps.min()
        begin_ns += int(stamps.max() - stamps.min()) + 3_600 * 10**9
    return shifts
