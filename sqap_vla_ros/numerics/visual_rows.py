# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which rows of a decoder's activations are visual tokens: those that few bits do least harm."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class VisualRows:
    """
    Neighbouring rows of each sequence: row r of [B S, D] is one of them iff they hold r % S.

    length: tokens S of a sequence.  first: the first visual one.  count: how many there are.
    """

    length: int
    first: int
    count: int

    def part(self, rows: range) -> VisualRows | None:
        """Return which of neighbouring rows of each sequence are visual, None if none is."""
        first, stop = (min(max(place - rows.start, 0), len(rows))
                       for place in (self.first, self.first + self.count))
        return VisualRows(len(rows), first, stop - first) if stop > first else None

    def mask(self, rows: int, device=None) -> torch.Tensor:
        """Return bool [rows]: whether each row of the flattened sequences is visual."""
        place = torch.arange(rows, device=device) % self.length
        return (place >= self.first) & (place < self.first + self.count)


NO_ROWS = VisualRows(1, 0, 0)
