# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Patches that are dropped and yet seen: each follows the kept patch that is nearest to it.

A block computes queries, output and feed-forward of the active rows only: those of kept patches
and of all that is not visual.  Dropped patches still have keys and values there, from what they
were when they were dropped, and from then on every block changes them as it changes the patch
that they follow.  So nothing vanishes from what the active rows look at, and of a dropped row only
two of seven products are paid for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..numerics.shared_tensors import constant
from ..numerics.visual_rows import VisualRows
from ..tokens.farthest import squared_distances


@dataclass(frozen=True)
class ActiveRows:
    """
    The rows A of a sequence of S that blocks compute, and whom the others follow.

    index: int64 [A], rising.  leader: int64 [S], of each row the place in `index` of that whose
    update it takes, its own if it is active.  seen: int32 [A], how many keys each sees; None for
    all.  visual: which of them are visual.
    """

    index: torch.Tensor
    leader: torch.Tensor
    seen: torch.Tensor | None
    visual: VisualRows

    def of(self, x, axis: int = 1):
        """Return the active rows of x, which has S of them on an axis."""
        return x.index_select(axis, self.index)

    def spread(self, x, before, after):
        """
        Return x [B, S, D] behind a block that has made `after` of its active rows `before`.

        Active rows are `after` to the last bit; all others are changed as those that they follow.
        """
        return after.index_select(1, self.leader) + (x - before.index_select(1, self.leader))


def active_rows(kept, length: int, first: int, grid: tuple[int, int], images: int,
                is_causal: bool) -> ActiveRows:
    """
    Return the active rows of a sequence of this length.

    kept: int64 [K], rising, of the visual tokens, the first of which is row `first`.  grid: rows
    and columns of each of `images` images.  Nothing here waits for the device that kept lies on.
    """
    places, behind = torch.arange(length, device=kept.device), first + images * grid[0] * grid[1]
    index = torch.cat([places[:first], kept + first, places[behind:]])
    nearest = nearness(*grid, images, kept.device).index_select(1, kept).argmin(dim=1)
    leader = torch.cat([places[:first], nearest + first,
                        places[behind:] - (behind - first - len(kept))])
    return ActiveRows(index, leader, (index + 1).int() if is_causal else None,
                      VisualRows(len(index), first, len(kept)))


@constant
def nearness(rows: int, cols: int, images: int, device) -> torch.Tensor:
    """
    Return int32 [N, N] of the patches of all images: the lowest value of a row is the nearest.

    It orders by squared distance and then by index.  A patch of another image is farther than any
    of the own, and counts only where nothing else is kept.
    """
    squared, size = squared_distances(rows, cols).astype(np.int64), rows * cols
    within = np.tile(squared, (images, images))
    image = np.arange(images * size) // size
    apart = image[:, None] != image
    keys = (within + apart * (squared.max() + 1)) * (images * size) + np.arange(images * size)
    return torch.from_numpy(keys).to(device, torch.int32)
