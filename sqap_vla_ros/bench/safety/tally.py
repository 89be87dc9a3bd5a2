# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What came of many scenarios, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

KEPT = 20  # examples of what is unsafe
EDGES = np.concatenate([[0.0], np.linspace(0.02, 1.2, 60) + 1e-6, [np.inf]])  # of a limit
MEASURES = ('wanted speed', 'speed', 'acceleration', 'jerk')


def _empty() -> dict[str, np.ndarray]:
    return {name: np.zeros(len(EDGES) - 1, np.int64) for name in MEASURES}


@dataclass
class Tally:
    """
    Counts of inputs and of what became of them; tallies can be added.

    counts: by name.  unsafe: (where, what) of the first ones.  shares: how many commands were at
    which share of a limit (between EDGES), by MEASURES.
    """

    counts: Counter = field(default_factory=Counter)
    unsafe: list = field(default_factory=list)
    shares: dict = field(default_factory=_empty)

    def note(self, where: str, found: Iterable[str]) -> None:
        """Count what a judge found unsafe."""
        for what in found:
            self.counts['needless stops' if what.startswith('needless') else 'unsafe'] += 1
            if len(self.unsafe) < KEPT:
                self.unsafe.append((where, what))

    def add_shares(self, shares: dict[str, list]) -> None:
        """Count shares of limits, by MEASURES."""
        for name, values in shares.items():
            self.shares[name] += np.histogram(values, EDGES)[0]

    def add(self, other: Tally) -> None:
        """Take another tally's counts, too."""
        self.counts.update(other.counts)
        self.unsafe = (self.unsafe + other.unsafe)[:KEPT]
        for name, counts in other.shares.items():
            self.shares[name] += counts

    def as_dict(self) -> dict:
        """Return it as JSON can hold it."""
        return {'counts': dict(sorted(self.counts.items())),
                'unsafe': [{'where': where, 'what': what} for where, what in self.unsafe],
                'share_of_limit_edges': EDGES[:-1].round(4).tolist(),
                'share_of_limit': {name: counts.tolist() for name, counts in self.shares.items()}}
