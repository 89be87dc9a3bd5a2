# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Token selection in one block of threads: one launch, no synchronisation, static shapes.

The choice is that of tokens.select_tokens, index by index.  What decides are integers: floats are
compared by their bits, the k best are found by bisection of their keys, and squared distances,
the order of ties and the patch's number share one integer, so that a round of farthest point
sampling is a single maximum over the block.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .choice import SelectionConfig, tie_order
from ..kernels.cuda.trial import why_not
from ..numerics.shared_tensors import constant
from ..observation import FILLED, PRESERVED, PROTECTED, SAMPLED

_FILLED, _PRESERVED = tl.constexpr(FILLED), tl.constexpr(PRESERVED)
_PROTECTED, _SAMPLED = tl.constexpr(PROTECTED), tl.constexpr(SAMPLED)
_FREE = tl.constexpr(255)
_INFINITY = tl.constexpr(float('inf'))
_WARP = 32
_PER_THREAD = 4  # tokens


def select_tokens_cuda(scores, distance, grid: tuple[int, int], config: SelectionConfig, kept,
                       reason) -> None:
    """
    Write which tokens stay, sorted, to kept int64 [K], and why to reason uint8 [K].

    scores: float [N].  distance: float [N] in patches, inf where nothing is protected, without
    NaN.  grid: (rows, cols).  config: one that needs scores, of which none may be NaN.
    """
    constants = _constants(grid, config)
    warps = min(max(1, constants['BLOCK'] // (_WARP * _PER_THREAD)), 16)
    _select_kernel[(1,)](scores, distance, _turns(*grid, config.ties, scores.device), kept, reason,
                         **constants, num_warps=warps)


def why_not_selected(device: torch.device, grid: tuple[int, int], config: SelectionConfig) -> str:
    """Return why select_tokens_cuda fails on a device, '' if it does not; tried once."""
    def run():
        zeros = torch.zeros(grid[0] * grid[1], device=device)
        kept = torch.empty(config.keep, dtype=torch.int64, device=device)
        select_tokens_cuda(zeros, zeros, grid, config, kept, kept.to(torch.uint8))
    key = ('select', str(device), config.ties, *_constants(grid, config).values())
    return why_not(key, run, device)


def _constants(grid, config: SelectionConfig) -> dict:
    """Return the kernel's compile-time arguments; 'attention' is 'sqap' with parts left out."""
    rows, cols = grid
    sqap = config.method == 'sqap'
    block = max(_WARP, triton.next_power_of_2(rows * cols))
    farthest = (rows - 1) ** 2 + (cols - 1) ** 2 + 1
    shift = block.bit_length() - 1
    return {
        'COLS': cols, 'COUNT': rows * cols, 'BLOCK': block, 'SHIFT': shift,
        'WIDE': (farthest + 1).bit_length() + 2 * shift > 31, 'FARTHEST': farthest,
        'CENTRE': (rows - 1) // 2 * cols + (cols - 1) // 2, 'KEEP': config.keep,
        'TOP_K': config.preserve_top_k if sqap else config.keep,
        'PROTECT': sqap and config.protect, 'SAMPLE': sqap and config.sample}


@constant
def _turns(rows: int, cols: int, ties: str, device) -> torch.Tensor:
    """Return int32 [N]: of equally far tokens the highest comes first."""
    return torch.from_numpy(tie_order(rows, cols, ties)).to(device, torch.int32)


@triton.jit
def _select_kernel(scores, distance, turns, kept, reason, COLS: tl.constexpr,
                   COUNT: tl.constexpr, BLOCK: tl.constexpr, SHIFT: tl.constexpr,
                   WIDE: tl.constexpr, FARTHEST: tl.constexpr, CENTRE: tl.constexpr,
                   KEEP: tl.constexpr, TOP_K: tl.constexpr, PROTECT: tl.constexpr,
                   SAMPLE: tl.constexpr):
    """Choose KEEP of COUNT tokens; see select_tokens_cuda."""
    # as if not neighbours: loading several at once would need another layout in every round
    index = tl.max_contiguous(tl.arange(0, BLOCK), 1)
    real = index < COUNT
    row, col = index // COLS, index % COLS
    near = index < 0
    if PROTECT:
        far = tl.load(distance + index, real, other=_INFINITY).to(tl.float32)
        near = _lowest(_ordered(far), real, KEEP // 2) & (tl.abs(far) < _INFINITY)
    # the best is the lowest
    by_score = ~_ordered(tl.load(scores + index, real, other=0.0).to(tl.float32))
    best = _lowest(by_score, real, tl.minimum(TOP_K, KEEP - _size(near)))
    why = tl.where(best, _PRESERVED, tl.where(near, _PROTECTED, _FREE))
    taken = why != _FREE
    if SAMPLE:
        added = _farthest(taken, index, row, col, real, turns, COLS, FARTHEST, CENTRE, KEEP,
                          SHIFT, WIDE)
    else:
        added = _lowest(by_score, real & ~taken, KEEP - _size(taken))
    why = tl.where(added, _SAMPLED if SAMPLE else _FILLED, why)
    taken = why != _FREE
    place = tl.cumsum(taken.to(tl.int32), 0) - 1
    tl.store(kept + place, index.to(tl.int64), taken)
    tl.store(reason + place, why.to(tl.uint8), taken)


@triton.jit
def _size(members):
    """Return how many are true."""
    return tl.sum(members.to(tl.int32), 0)


@triton.jit
def _ordered(value):
    """Map float32 to int32 with the same order; both zeros are equal."""
    bits = tl.where(value == 0.0, 0.0, value).to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _lowest(key, members, count):
    """Return the `count` members with the lowest int32 keys, of equal ones the lower index."""
    # the greatest bound with fewer than `count` members below it, one bit after the other
    bound = tl.where(_size(members & (key < 0)) < count, 0, -2147483648)
    for bit in range(31):
        trial = bound + (1 << (30 - bit))
        fewer = tl.sum((members & (key < trial)).to(tl.int32), 0) < count
        bound = tl.where(fewer, trial, bound)
    below = members & (key < bound)
    equal = members & (key == bound)
    order = tl.cumsum(equal.to(tl.int32), 0)
    return below | (equal & (order <= count - _size(below)))


@triton.jit
def _squared_distance(members, index, row, col, real, COLS: tl.constexpr,
                      FARTHEST: tl.constexpr):
    """Return int32: the squared distance to the nearest member, FARTHEST without any."""
    nearest = tl.where(real, FARTHEST, 0)
    member = tl.max(tl.where(members, index, -1), 0)
    while member >= 0:
        nearest = _approach(nearest, member, row, col, COLS)
        member = tl.max(tl.where(members & (index < member), index, -1), 0)
    return nearest


@triton.jit
def _approach(nearest, member, row, col, COLS: tl.constexpr):
    """Return the squared distances once `member` is there too."""
    down, right = row - member // COLS, col - member % COLS
    return tl.minimum(nearest, down * down + right * right)


@triton.jit
def _farthest(taken, index, row, col, real, turns, COLS: tl.constexpr, FARTHEST: tl.constexpr,
              CENTRE: tl.constexpr, KEEP: tl.constexpr, SHIFT: tl.constexpr,
              WIDE: tl.constexpr):
    """Return the tokens that farthest point sampling adds to `taken`, up to KEEP in all."""
    placed = _size(taken)
    nearest = _squared_distance(taken, index, row, col, real, COLS, FARTHEST)
    if placed == 0:
        nearest = tl.where(index == CENTRE, FARTHEST + 1, nearest)
    turn = tl.load(turns + index, real, other=0)
    tail = (turn << SHIFT) | index
    if WIDE:
        tail = tail.to(tl.int64)
    first = tl.max((nearest.to(tail.dtype) << (2 * SHIFT)) | tail, 0)
    # free patches that all touch a taken one are equally far: their order is that of ties
    while (placed < KEEP) & ((first >> (2 * SHIFT)) > 1):
        chosen = (first & ((1 << SHIFT) - 1)).to(tl.int32)
        nearest = _approach(nearest, chosen, row, col, COLS)
        first = tl.max((nearest.to(tail.dtype) << (2 * SHIFT)) | tail, 0)
        placed += 1
    return (real & (nearest == 0) & ~taken) | _lowest(-turn, real & (nearest > 0), KEEP - placed)
