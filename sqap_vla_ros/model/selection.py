# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Token selection as one call on tensors, between the two halves of a prefill.

On a CPU it is tokens.select_tokens on the same memory.  On any other device the same choice is
made there, in steps whose number and shapes depend on the configuration alone: nothing waits
for the device, and the forward pass can be captured in one graph.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ..tokens import (
    FILLED, PRESERVED, PROTECTED, SAMPLED, select_tokens, SelectionConfig, tie_order)

FREE = 255


def select(scores, distance, grid: tuple[int, int], config: SelectionConfig, step: int = 0):
    """
    Return which visual tokens stay, int64 [K] sorted, and why, uint8 [K] of tokens.REASONS.

    scores: [N] of the query on the model's device.  distance: numpy float64 [N] in patches from
    the nearest protected point, inf where nothing is protected, or None.  step: see select_tokens.
    """
    if scores.device.type == 'cpu':
        chosen = select_tokens(scores.float().numpy(), distance, grid, config, step)
        return torch.from_numpy(chosen.kept), torch.from_numpy(chosen.reason)
    return select_on_device(scores, distance, grid, config, step)


def select_on_device(scores, distance, grid: tuple[int, int], config: SelectionConfig,
                     step: int = 0):
    """Do what `select` does by tensor operations alone; see there."""
    count = grid[0] * grid[1]
    if not config.needs_scores:  # the host knows everything: one copy to the device
        chosen = select_tokens(None, distance, grid, config, step)
        return (torch.from_numpy(chosen.kept).to(scores.device, non_blocking=True),
                torch.from_numpy(chosen.reason).to(scores.device, non_blocking=True))
    reason = torch.full((count,), FREE, dtype=torch.uint8, device=scores.device)
    order = torch.argsort(scores.float(), descending=True, stable=True)
    if config.method == 'attention':
        reason = reason.index_fill(0, order[:config.keep], PRESERVED)
        return _kept(reason, config.keep)
    near = _nearest(distance, config)
    best = min(config.preserve_top_k, config.keep - len(near))
    reason = reason.index_fill(0, order[:best], PRESERVED)
    if len(near):
        near = torch.from_numpy(near).to(scores.device, non_blocking=True)
        reason[near] = torch.where(reason[near] == FREE, PROTECTED, reason[near])
    missing = config.keep - max(best, len(near))  # the most that can be missing
    if config.sample:
        reason = _sample(reason, grid, config, missing)
    else:
        rank = torch.empty_like(order).scatter_(0, order, torch.arange(count, device=order.device))
        by_score = torch.where(reason == FREE, rank, count).argsort()
        room = config.keep - (reason != FREE).sum()
        places = torch.arange(missing, device=order.device)
        candidates = by_score[:missing]
        reason[candidates] = torch.where(places < room, FILLED, reason[candidates])
    return _kept(reason, config.keep)


def _nearest(distance, config: SelectionConfig) -> np.ndarray:
    """Return the protected tokens, nearest first; known on the host, where TF is."""
    if distance is None or not config.protect:
        return np.zeros(0, np.int64)
    near = np.argsort(distance, kind='stable')[:config.keep // 2]
    return near[np.isfinite(distance[near])]


def _sample(reason, grid: tuple[int, int], config: SelectionConfig, rounds: int):
    """Add the farthest free token, `rounds` times or until the budget is taken."""
    keep = config.keep
    squared = _squared_distances(*grid, reason.device)  # [N, N]
    count, beyond = len(reason), grid[0] ** 2 + grid[1] ** 2
    nearest = torch.where((reason != FREE)[None], squared, beyond).amin(dim=1)
    turn = _turns(*grid, config.ties, reason.device)
    room = keep - (reason != FREE).sum()
    for place in range(rounds):
        key = torch.where(reason == FREE, nearest * count + turn, 0)
        if rounds == keep and place == 0:  # nothing is taken yet: begin in the centre
            key[(grid[0] - 1) // 2 * grid[1] + (grid[1] - 1) // 2] = count * (beyond + 2)
        index = key.argmax(keepdim=True)
        why = torch.where(place < room, SAMPLED, reason.index_select(0, index))
        reason = reason.index_copy(0, index, why.to(torch.uint8))
        nearest = torch.minimum(nearest, squared.index_select(0, index)[0])
    return reason


def _kept(reason, keep: int):
    """Return the sorted indices of the `keep` taken tokens, and their reasons."""
    index = torch.arange(len(reason), device=reason.device)
    kept = torch.where(reason != FREE, index, len(reason)).sort().values[:keep]
    return kept, reason.index_select(0, kept)


@lru_cache(maxsize=8)
def _turns(rows: int, cols: int, ties: str, device):
    """Return int64 [N], 1..N: of equally far tokens the highest comes first."""
    return torch.from_numpy(tie_order(rows, cols, ties)).to(device) + 1


@lru_cache(maxsize=8)
def _squared_distances(rows: int, cols: int, device):
    """Return the squared distances [N, N] between patches, as integers: ties are exact."""
    index = torch.arange(rows * cols, device=device)
    row, col = index // cols, index % cols
    return (row[:, None] - row) ** 2 + (col[:, None] - col) ** 2
