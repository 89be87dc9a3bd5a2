# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Token selection as one call on tensors, between the two halves of a prefill.

On a CPU it is tokens.select_tokens on the same memory, or its native form
(kernels/native_select.py).  On a GPU one kernel makes the same choice
(kernels/cuda/select.py), and on any other device a sequence of tensor operations whose number and
shapes depend on the configuration alone: nothing waits for the device, and the forward pass can
be captured in one graph.
"""

from __future__ import annotations

from functools import lru_cache
import logging

import numpy as np
import torch

from .choice import select_tokens, SelectionConfig, tie_order
from .native_choice import native_select
from ..kernels.cuda import unavailable
from ..numerics.shared_tensors import constant
from ..observation import FILLED, PRESERVED, PROTECTED, SAMPLED

FREE = 255

_log = logging.getLogger(__name__)


def select(scores, distance, grid: tuple[int, int], config: SelectionConfig, step: int = 0,
           draw=None, status=None):
    """
    Return which visual tokens stay, int64 [K] sorted, and why, uint8 [K] of tokens.REASONS.

    scores: [N] of the query on the model's device.  distance: float32 [N] in patches from the
    nearest protected point, inf where nothing is protected: numpy, a tensor on that device (in a
    graph, where it is written before each replay), or None.  step: see select_tokens.  draw: see
    random_draw; None draws for this step.  status: int32 [1] on the device, receives how many
    scores are not finite, for check_status when the answer is read; left alone where no score
    matters.

    Raises ValueError as select_tokens does; for scores that are not finite only on a CPU.
    """
    if scores.device.type == 'cpu':
        distance = _array(distance)
        found = native_select(scores, distance, grid, config)
        if found is not None:
            return found
        chosen = select_tokens(scores.float().numpy(), distance, grid, config, step)
        return torch.from_numpy(chosen.kept), torch.from_numpy(chosen.reason)
    return select_on_device(scores, distance, grid, config, step, draw, status)


def select_on_device(scores, distance, grid: tuple[int, int], config: SelectionConfig,
                     step: int = 0, draw=None, status=None):
    """Do what `select` does without looking at a tensor's values; see there."""
    device = scores.device
    if known_on_host(config) or not (config.needs_scores or torch.is_tensor(distance)):
        chosen = select_tokens(None, distance, grid, config, step)  # one copy to the device
        return (torch.from_numpy(chosen.kept).to(device, non_blocking=True),
                torch.from_numpy(chosen.reason).to(device, non_blocking=True))
    _check(scores, distance, grid, config)
    if distance is not None and not torch.is_tensor(distance):
        distance = torch.from_numpy(np.asarray(distance, np.float32))
        distance = distance.to(device, non_blocking=True)
    if draw is None and needs_draw(config):
        draw = torch.from_numpy(random_draw(grid, config, step)).to(device, non_blocking=True)
    if _kernel_serves(scores, distance, grid, config, draw, status):
        from .triton_choice import select_tokens_cuda
        return select_tokens_cuda(scores, distance, grid, config, draw, status)
    if distance is None:
        distance = torch.full((len(scores),), float('inf'), device=device)
    if status is not None:
        status.copy_((~scores.isfinite()).sum())
    reason = _reasons(scores.float(), distance, grid, config, draw)
    return _kept(reason, config.keep)


def known_on_host(config: SelectionConfig) -> bool:
    """Return whether neither scores nor distances matter: the host can choose for each step."""
    return config.method in ('random', 'uniform') or (
        config.method == 'sqap' and not (config.preserve or config.protect))


def needs_draw(config: SelectionConfig) -> bool:
    """Return whether a random draw fills the budget where nothing is protected."""
    return config.method == 'sqap' and config.protect and not (config.preserve or config.sample)


def random_draw(grid: tuple[int, int], config: SelectionConfig, step: int) -> np.ndarray:
    """Return uint8 [N], ones for the tokens of this step's draw, where needs_draw."""
    drawn = np.zeros(grid[0] * grid[1], np.uint8)
    drawn[select_tokens(None, None, grid, config, step).kept] = 1
    return drawn


def check_status(broken: int, count: int) -> None:
    """Raise ValueError, as select_tokens does, if `broken` of count scores are not finite."""
    if broken:
        raise ValueError(f'{broken} of {count} attention scores are not finite: the model '
                         'overflows at this precision')


def _array(distance):
    """Return a distance on the host as numpy."""
    return distance.numpy() if torch.is_tensor(distance) else distance


def _check(scores, distance, grid, config: SelectionConfig) -> None:
    """Raise as select_tokens does for what the host can see."""
    count = grid[0] * grid[1]
    if config.keep > count or scores.shape != (count,):
        # the message is that of the plain code
        select_tokens(np.zeros(tuple(scores.shape)), None, grid, config)
    if distance is None or torch.is_tensor(distance) and distance.shape == (count,):
        return
    if torch.is_tensor(distance) or distance.shape != (count,) or np.isnan(distance).any():
        raise ValueError(f'expected protected distances [{count}] without NaN, '
                         f'found {list(distance.shape)}')


def _kernel_serves(scores, *arguments) -> bool:
    """Whether the one-block kernel is there for a device and runs; see select_tokens_cuda."""
    if not _may_have_kernel(scores.device):
        return False
    reason = unavailable(scores.device)
    if not reason:
        from .triton_choice import why_not_selected
        reason = why_not_selected(scores, *arguments)
    if reason:
        _warn_no_kernel(reason)
    return not reason


def _may_have_kernel(device) -> bool:
    return device.type == 'cuda'


@lru_cache(maxsize=None)
def _warn_no_kernel(reason: str) -> None:
    _log.warning('tokens are selected by some hundred tensor operations instead of by one '
                 'kernel, which is expected to be faster: %s', reason)


def _reasons(scores, distance, grid: tuple[int, int], config: SelectionConfig, draw):
    """Return uint8 [N] by tensor operations: why each token is kept, or FREE."""
    keep, sqap = config.keep, config.method == 'sqap'
    near = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    best, top = near, config.preserve_top_k if sqap else keep
    if sqap and config.protect:
        near = (_rank(distance) < keep // 2) & distance.isfinite()
    if config.preserve or not sqap:
        best = _rank(scores, descending=True) < (keep - near.sum()).clamp(max=top)
    reason = torch.where(best, PRESERVED, torch.where(near, PROTECTED, FREE)).to(torch.uint8)
    if sqap and config.sample:
        return _sample(reason, grid, config, keep - _fewest_taken(config))
    if config.preserve or not sqap:
        rank = _rank(scores, descending=True)
    else:
        rank = _rank_by_nearness(distance, grid, draw)
    room = keep - (reason != FREE).sum()
    filled = _rank(torch.where(reason == FREE, rank, len(rank))) < room
    return torch.where(filled & (reason == FREE), FILLED, reason).to(torch.uint8)


def _fewest_taken(config: SelectionConfig) -> int:
    """Return how many tokens preservation and protection take at least, whatever is protected."""
    if not config.preserve:
        return 0
    return min(config.preserve_top_k, config.keep - (config.keep // 2 if config.protect else 0))


def _rank(values, descending: bool = False):
    """Return int64 [N]: each one's place in the order; of equal ones the lower index is first."""
    order = torch.argsort(values, descending=descending, stable=True)
    return _places(order)


def _places(order):
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order),
                                                                   device=order.device))


def _rank_by_nearness(distance, grid: tuple[int, int], draw):
    """Return the order of a fill round the protected tokens; the draw first without any."""
    protected = distance.isfinite()
    beyond = _gaps(protected, grid)
    order = torch.argsort(distance, stable=True)
    order = order[torch.argsort(beyond[order], stable=True)]
    return torch.where(protected.any(), _places(order), _rank(1 - draw.long()))


def _gaps(members, grid: tuple[int, int]):
    """Return int64 [N], squared distances to the nearest member, above all without any."""
    squared = _squared_distances(*grid, members.device)
    return torch.where(members[None], squared, grid[0] ** 2 + grid[1] ** 2).amin(dim=1)


def _sample(reason, grid: tuple[int, int], config: SelectionConfig, rounds: int):
    """Add the farthest free token, `rounds` times or until the budget is taken."""
    squared = _squared_distances(*grid, reason.device)  # [N, N]
    count, taken = len(reason), reason != FREE
    turn = _turns(*grid, config.ties, reason.device)
    nearest = _gaps(taken, grid)
    centre = turn.new_zeros(count)
    centre[(grid[0] - 1) // 2 * grid[1] + (grid[1] - 1) // 2] = 1
    nearest = nearest + torch.where(taken.any(), 0, centre)  # begin there when nothing is taken
    room = config.keep - taken.sum()
    for place in range(rounds):
        key = torch.where(reason == FREE, nearest * count + turn, 0)
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


@constant
def _turns(rows: int, cols: int, ties: str, device):
    """Return int64 [N], 1..N: of equally far tokens the highest comes first."""
    return torch.from_numpy(tie_order(rows, cols, ties)).to(device) + 1


@constant
def _squared_distances(rows: int, cols: int, device):
    """Return the squared distances [N, N] between patches, as integers: ties are exact."""
    index = torch.arange(rows * cols, device=device)
    row, col = index // cols, index % cols
    return (row[:, None] - row) ** 2 + (col[:, None] - col) ** 2
