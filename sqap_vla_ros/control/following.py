# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether measured joints go where they were told to be."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_NS = 500_000_000  # for which an arm, its controller and joint_states may lag behind


class Following:
    """
    Compares measured joints with where they were told to be over the last half second.

    Anything between the least and the most that a joint was told in that time is well: an arm
    lags. So is what lies outside by no more than `most` (rad or m); infinite for anything.
    """

    def __init__(self, names, start: np.ndarray, most: float):
        """Begin at joints [n]."""
        self._names, self._most = names, most
        self._told = deque([(None, start)])

    def why_not(self, measured: np.ndarray | None, told: np.ndarray, now_ns: int) -> str | None:
        """Return why the arm does not follow, None if it does; told: [n], by now."""
        self._told.append((now_ns, told))
        while len(self._told) > 1 and (self._told[1][0] <= now_ns - WINDOW_NS
                                       or self._told[1][0] > now_ns):
            self._told.popleft()
        if np.isinf(self._most):
            return None
        if measured is None:
            return ('the positions of the joints are not known any more, so whether the arm goes '
                    'where it is told to is not known either: are joint_states published?')
        places = np.stack([joints for _, joints in self._told])
        off = np.maximum(places.min(0) - measured, measured - places.max(0))
        worst = int(np.argmax(off))
        if off[worst] <= self._most:
            return None
        return (f'the arm does not follow: {self._names[worst]} is at {measured[worst]:.3f}, but '
                f'was told to be at {places[:, worst].min():.3f}..{places[:, worst].max():.3f} '
                f'within the last {WINDOW_NS * 1e-9:g} s, {off[worst]:.3f} rad or m off '
                f'(joint_tracking_error {self._most:g}). Is its controller active, is it blocked, '
                'or are the joints in another order?')
