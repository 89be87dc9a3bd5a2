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
from ..kernels.cuda import pick
from ..kernels.cuda.probe import FAILURES
from ..kernels.cuda.trial import why_not
from ..numerics.shared_tensors import constant
from ..observation import FILLED, PRESERVED, PROTECTED, SAMPLED

_FILLED, _PRESERVED = tl.constexpr(FILLED), tl.constexpr(PRESERVED)
_PROTECTED, _SAMPLED = tl.constexpr(PROTECTED), tl.constexpr(SAMPLED)
_FREE = tl.constexpr(255)
_INFINITY = tl.constexpr(float('inf'))
_INFINITY_BITS = tl.constexpr(0x7F800000)
_WARP = 32
_PER_THREAD = 8  # tokens


def select_tokens_cuda(scores, distance, grid: tuple[int, int], config: SelectionConfig,
                       draw=None, status=None):
    """
    Return which tokens stay, int64 [K] sorted, and why, uint8 [K] of tokens.REASONS.

    scores: float [N] on the device; of any value if config does not need them.  distance: float
    [N] in patches, inf where nothing is protected, without NaN; None protects nothing.  grid:
    (rows, cols).  config: of method 'sqap', 'attention' or 'random'.  draw: uint8 [N], ones where
    a random draw fell; needed where one can fill the budget (model.selection.needs_draw).
    status: int32 [1], receives how many scores are not finite, 0 if none is needed.

    Raises ValueError for a method or a budget that this cannot serve.
    """
    count = grid[0] * grid[1]
    if config.method == 'uniform' or config.keep > count:
        raise ValueError(f'{config} of {count} tokens is not a choice that the device makes')
    kept = torch.empty(config.keep, dtype=torch.int64, device=scores.device)
    reason = torch.empty(config.keep, dtype=torch.uint8, device=scores.device)
    arguments = (scores.contiguous(), scores if distance is None else distance.contiguous(),
                 scores if draw is None else draw,
                 _turns(*grid, config.ties, scores.device), kept, reason,
                 kept if status is None else status)
    constants = _constants(grid, config, distance is not None, status is not None)

    def launch(choice):
        _select_kernel[(1,)](*arguments, **constants, **choice)

    launch(pick('select', (constants['BLOCK'], config.keep), _candidates(constants['BLOCK']),
                launch))
    return kept, reason


def why_not_selected(scores, distance, grid: tuple[int, int], config: SelectionConfig, draw,
                     status) -> str:
    """Return why select_tokens_cuda fails on arguments like these, '' if not; tried once."""
    def run():
        like = [None if tensor is None else torch.zeros_like(tensor)
                for tensor in (scores, distance, draw, status)]
        select_tokens_cuda(like[0], like[1], grid, config, *like[2:])
    constants = _constants(grid, config, distance is not None, status is not None)
    key = ('select', str(scores.device), scores.dtype, draw is None, *constants.values())
    return why_not(key, run, FAILURES, scores.device)


def _candidates(block: int) -> list[dict]:
    """Return numbers of warps: few wait less for each other, many have less to do each."""
    first = max(1, block // (_WARP * _PER_THREAD))
    return [{'num_warps': min(first * factor, 16)} for factor in (2, 1, 4)]


def _constants(grid, config: SelectionConfig, protectable: bool, reports: bool) -> dict:
    """Return the kernel's compile-time arguments; a baseline is 'sqap' with parts left out."""
    rows, cols = grid
    sqap, attention = config.method == 'sqap', config.method == 'attention'
    block = max(_WARP, triton.next_power_of_2(rows * cols))
    farthest = (rows - 1) ** 2 + (cols - 1) ** 2 + 1
    shift = block.bit_length() - 1
    return {
        'COLS': cols, 'COUNT': rows * cols, 'BLOCK': block, 'SHIFT': shift,
        'WIDE': (farthest + 1).bit_length() + 2 * shift > 31, 'FARTHEST': farthest,
        'CENTRE': (rows - 1) // 2 * cols + (cols - 1) // 2, 'KEEP': config.keep,
        'TOP_K': config.keep if attention else config.preserve_top_k,
        'PRESERVE': attention or (sqap and config.preserve),
        'PROTECT': sqap and config.protect and protectable,
        'SAMPLE': sqap and config.sample, 'REPORTS': reports}


@constant
def _turns(rows: int, cols: int, ties: str, device) -> torch.Tensor:
    """Return int32 [N]: of equally far tokens the highest comes first."""
    return torch.from_numpy(tie_order(rows, cols, ties)).to(device, torch.int32)


# parts of other tensors: how their addresses are aligned changes with the prompt, and is no matter
@triton.jit(do_not_specialize=['scores', 'distance', 'draw', 'status'])
def _select_kernel(scores, distance, draw, turns, kept, reason, status,
                   COLS: tl.constexpr, COUNT: tl.constexpr, BLOCK: tl.constexpr,
                   SHIFT: tl.constexpr, WIDE: tl.constexpr, FARTHEST: tl.constexpr,
                   CENTRE: tl.constexpr, KEEP: tl.constexpr, TOP_K: tl.constexpr,
                   PRESERVE: tl.constexpr, PROTECT: tl.constexpr, SAMPLE: tl.constexpr,
                   REPORTS: tl.constexpr):
    """Choose KEEP of COUNT tokens; see select_tokens_cuda."""
    # as if not neighbours: loading several at once would need another layout in every round
    index = tl.max_contiguous(tl.arange(0, BLOCK), 1)
    real = index < COUNT
    row, col = index // COLS, index % COLS
    near, best, protected, broken = index < 0, index < 0, index < 0, index < 0
    if PROTECT:
        far = tl.load(distance + index, real, other=_INFINITY).to(tl.float32)
        protected = real & (tl.abs(far) < _INFINITY)
        near = _lowest(_ordered(far), real, KEEP // 2) & protected
    if PRESERVE:
        score = tl.load(scores + index, real, other=0.0).to(tl.float32)
        broken = real & ~(tl.abs(score) < _INFINITY)
        by_score = ~_ordered(score)  # the best is the lowest
        best = _lowest(by_score, real, tl.minimum(TOP_K, KEEP - _size(near)))
    if REPORTS:
        tl.store(status, _size(broken))
    why = tl.where(best, _PRESERVED, tl.where(near, _PROTECTED, _FREE))
    taken = why != _FREE
    if SAMPLE:
        added = _farthest(taken, index, row, col, real, turns, COLS, FARTHEST, CENTRE, KEEP,
                          SHIFT, WIDE)
    else:
        if PRESERVE:
            key = by_score
        else:
            key = 1 - tl.load(draw + index, real, other=0).to(tl.int32)
            if PROTECT:
                if _size(protected) > 0:
                    # outside of the disks, where the distance is inf, how far they are decides
                    beyond = _squared_distance(protected, index, row, col, real, COLS,
                                               FARTHEST)
                    key = tl.where(protected, _ordered(far), _INFINITY_BITS + beyond)
        added = _lowest(key, real & ~taken, KEEP - _size(taken))
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


def ahead_of_time() -> list:
    """Return what to compile without a device: name, kernel, signature, constants, options."""
    pointers = {'scores': '*fp32', 'distance': '*fp32', 'draw': '*u8', 'turns': '*i32',
                'kept': '*i64', 'reason': '*u8', 'status': '*i32'}
    signature = {name: kind + ':16' * (name in ('turns', 'kept', 'reason'))
                 for name, kind in pointers.items()}
    even = SelectionConfig(154, ties='even')
    found = []
    for name, grid, config in (
            ('16x16', (16, 16), even),
            ('32x32', (32, 32), SelectionConfig(614)),
            ('16x16 by nearness', (16, 16),
             SelectionConfig(154, preserve=False, sample=False))):
        constants = _constants(grid, config, True, True)
        found.append((f'select {name}', _select_kernel, signature, constants,
                      _candidates(constants['BLOCK'])[0]))
    return found
