# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether measured joints go where they were told to be."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_NS = 500_000_000  # for which an arm, its controller and joint_states may lag behind


LOST = ('the positions of the joints are not known any more, so whether the arm goes where it is '
        'told to is not known either: are joint_states published?')


class Following:
    """
    Compares measured joints with where they were told to be over the last half second.

    Anything between the least and the most that a joint was told in that time is well: an arm
    lags. So is what lies outside by no more than `most` (rad or m); infinite for anything.
    """

    def __init__(self, names, start: np.ndarray, most: float, turning=()):
        """Begin at joints [n]; turning: names of those that may be measured whole turns off."""
        self._names, self._most = names, most
        self._turn = np.array([2.0 * np.pi if name in turning else np.inf for name in names])
        self._told = deque([(None, start)])

    def why_not(self, measured: np.ndarray | None, told: np.ndarray, now_ns: int) -> str | None:
        """Return why the arm does not follow, None if it does or is not known; told: by now."""
        self._told.append((now_ns, told))
        while len(self._told) > 1 and (self._told[1][0] <= now_ns - WINDOW_NS
                                       or self._told[1][0] > now_ns):
            self._told.popleft()
        if np.isinf(self._most) or measured is None:
            return None
        places = np.stack([joints for _, joints in self._told])
        turns = np.round((0.5 * (places.min(0) + places.max(0)) - measured) / self._turn)
        measured = measured + np.where(np.isinf(self._turn), 0.0, 2.0 * np.pi * turns)
        off = np.maximum(places.min(0) - measured, measured - places.max(0))
        worst = int(np.argmax(off))
        if off[worst] <= self._most:
            return None
        return (f'the arm does not follow: {self._names[worst]} is at {measured[worst]:.3f}, but '
                f'was told to be at {places[:, worst].min():.3f}..{places[:, worst].max():.3f} '
                f'within the last {WINDOW_NS * 1e-9:g} s, {off[worst]:.3f} rad or m off '
                f'(joint_tracking_error {self._most:g}). Is its controller active, is it blocked, '
                'or are the joints in another order?')
