# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Token selection in one block of threads: one launch, no synchronisation, static shapes.

The choice is that of tokens.select_tokens, index by index.  What decides are integers: floats are
compared by their bits, the k best are found by bisection of their keys, and squared distances,
the order of ties and the patch's number share one integer, so that a round of farthest point
sampling is a single maximum over the block.  Images lie so far below each other that no patch is
near one of another image.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .choice import SelectionConfig
from .farthest import tie_order
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
                       reason, images: int = 1) -> None:
    """
    Write which tokens stay, sorted, to kept int64 [K], and why to reason uint8 [K].

    scores: float [N].  distance: float [N] in patches, inf where nothing is protected, without
    NaN.  grid: (rows, cols) of each of `images` images.  config: one that needs scores, of which
    none may be NaN.  Images with budgets of their own take a launch each.
    """
    if images == 1 or config.budget == 'joint':
        _launch(scores, distance, grid, config, kept, reason, images)
        return
    size, begin = grid[0] * grid[1], 0
    for image, alone in config.of_each(images):
        mine, part = slice(image * size, (image + 1) * size), slice(begin, begin + alone.keep)
        _launch(scores[mine], distance[mine], grid, alone, kept[part], reason[part], 1, mine.start)
        begin = part.stop


def _launch(scores, distance, grid, config, kept, reason, images: int, first: int = 0) -> None:
    """Choose with one budget; first: what to add to the tokens' numbers."""
    constants = _constants(grid, config, images)
    warps = min(max(1, constants['BLOCK'] // (_WARP * _PER_THREAD)), 16)
    turns = _turns(*grid, config.ties, images, scores.device)
    _select_kernel[(1,)](scores, distance, turns, kept, reason, first, **constants,
                         num_warps=warps)


def why_not_selected(device: torch.device, grid: tuple[int, int], config: SelectionConfig,
                     images: int = 1) -> str:
    """Return why select_tokens_cuda fails on a device, '' if it does not; tried once."""
    def run():
        zeros = torch.zeros(images * grid[0] * grid[1], device=device)
        kept = torch.empty(config.keep, dtype=torch.int64, device=device)
        select_tokens_cuda(zeros, zeros, grid, config, kept, kept.to(torch.uint8), images)
    key = ('select', str(device), config.ties, config.budget,
           *_constants(grid, config, images).values())
    return why_not(key, run, device)


def _constants(grid, config: SelectionConfig, images: int) -> dict:
    """Return the kernel's compile-time arguments; 'attention' is 'sqap' with parts left out."""
    rows, cols = grid
    sqap = config.method == 'sqap'
    block = max(_WARP, triton.next_power_of_2(images * rows * cols))
    farthest = (rows - 1) ** 2 + (cols - 1) ** 2 + 1
    shift = block.bit_length() - 1
    return {
        'COLS': cols, 'SIZE': rows * cols, 'IMAGES': images, 'APART': rows + cols,
        'LEAST': config.least(images), 'BLOCK': block, 'SHIFT': shift,
        'WIDE': (farthest + 1).bit_length() + 2 * shift > 31, 'FARTHEST': farthest,
        'CENTRE': (rows - 1) // 2 * cols + (cols - 1) // 2, 'KEEP': config.keep,
        'TOP_K': config.preserve_top_k if sqap else config.keep,
        'PROTECT': sqap and config.protect, 'SAMPLE': sqap and config.sample}


@constant
def _turns(rows: int, cols: int, ties: str, images: int, device) -> torch.Tensor:
    """Return int32 [N]: of equally far tokens the highest comes first."""
    return torch.from_numpy(tie_order(rows, cols, ties, images)).to(device, torch.int32)


@triton.jit
def _select_kernel(scores, distance, turns, kept, reason, first, COLS: tl.constexpr,
                   SIZE: tl.constexpr, IMAGES: tl.constexpr, APART: tl.constexpr,
                   LEAST: tl.constexpr, BLOCK: tl.constexpr, SHIFT: tl.constexpr,
                   WIDE: tl.constexpr, FARTHEST: tl.constexpr, CENTRE: tl.constexpr,
                   KEEP: tl.constexpr, TOP_K: tl.constexpr, PROTECT: tl.constexpr,
                   SAMPLE: tl.constexpr):
    """Choose KEEP of IMAGES * SIZE tokens; see select_tokens_cuda."""
    # as if not neighbours: loading several at once would need another layout in every round
    index = tl.max_contiguous(tl.arange(0, BLOCK), 1)
    real = index < IMAGES * SIZE
    row, col = _row(index, COLS, SIZE, IMAGES, APART), index % COLS
    near = index < 0
    if PROTECT:
        far = tl.load(distance + index, real, other=_INFINITY).to(tl.float32)
        near = _lowest(_ordered(far), real, KEEP // 2) & (tl.abs(far) < _INFINITY)
    # the best is the lowest
    by_score = ~_ordered(tl.load(scores + index, real, other=0.0).to(tl.float32))
    best = _in_turn(by_score, real, near, index, tl.minimum(TOP_K, KEEP - _size(near)), SIZE,
                    IMAGES, LEAST, KEEP)
    why = tl.where(best, _PRESERVED, tl.where(near, _PROTECTED, _FREE))
    taken = why != _FREE
    if SAMPLE:
        added = _farthest(taken, index, row, col, real, turns, COLS, SIZE, IMAGES, APART, LEAST,
                          FARTHEST, CENTRE, KEEP, SHIFT, WIDE)
    else:
        added = _in_turn(by_score, real & ~taken, taken, index, KEEP - _size(taken), SIZE,
                         IMAGES, LEAST, KEEP)
    why = tl.where(added, _SAMPLED if SAMPLE else _FILLED, why)
    taken = why != _FREE
    place = tl.cumsum(taken.to(tl.int32), 0) - 1
    tl.store(kept + place, (index + first).to(tl.int64), taken)
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
def _in_turn(key, members, taken, index, count, SIZE: tl.constexpr, IMAGES: tl.constexpr,
             LEAST: tl.constexpr, KEEP: tl.constexpr):
    """Return the `count` members with the lowest keys that leave each image LEAST tokens."""
    if IMAGES > 1:
        fresh, spare = members & ~taken, KEEP - _size(taken)
        owed = index < 0
        for image in tl.static_range(IMAGES):
            mine = index // SIZE == image
            due = tl.maximum(LEAST - _size(taken & mine), 0)
            owed = owed | _lowest(key, fresh & mine, due)
            spare -= due
        members = (members & taken) | owed | _lowest(key, fresh & ~owed, spare)
    return _lowest(key, members, count)


@triton.jit
def _row(index, COLS: tl.constexpr, SIZE: tl.constexpr, IMAGES: tl.constexpr,
         APART: tl.constexpr):
    """Return the row of a token; between two images lie so many rows that they are strangers."""
    row = index // COLS
    if IMAGES > 1:
        row += index // SIZE * APART
    return row


@triton.jit
def _squared_distance(members, index, row, col, real, COLS: tl.constexpr, SIZE: tl.constexpr,
                      IMAGES: tl.constexpr, APART: tl.constexpr, FARTHEST: tl.constexpr):
    """Return int32: the squared distance to the image's nearest member, FARTHEST without any."""
    nearest = tl.where(real, FARTHEST, 0)
    member = tl.max(tl.where(members, index, -1), 0)
    while member >= 0:
        nearest = _approach(nearest, member, row, col, COLS, SIZE, IMAGES, APART)
        member = tl.max(tl.where(members & (index < member), index, -1), 0)
    return nearest


@triton.jit
def _approach(nearest, member, row, col, COLS: tl.constexpr, SIZE: tl.constexpr,
              IMAGES: tl.constexpr, APART: tl.constexpr):
    """Return the squared distances once `member` is there too."""
    down, right = row - _row(member, COLS, SIZE, IMAGES, APART), col - member % COLS
    return tl.minimum(nearest, down * down + right * right)


@triton.jit
def _farthest(taken, index, row, col, real, turns, COLS: tl.constexpr, SIZE: tl.constexpr,
              IMAGES: tl.constexpr, APART: tl.constexpr, LEAST: tl.constexpr,
              FARTHEST: tl.constexpr, CENTRE: tl.constexpr, KEEP: tl.constexpr,
              SHIFT: tl.constexpr, WIDE: tl.constexpr):
    """Return the tokens that farthest point sampling adds to `taken`, up to KEEP in all."""
    nearest = _squared_distance(taken, index, row, col, real, COLS, SIZE, IMAGES, APART,
                                FARTHEST)
    leads = (index % SIZE == CENTRE) & (nearest == FARTHEST)
    nearest = tl.where(leads, FARTHEST + 1, nearest)
    turn = tl.load(turns + index, real, other=0)
    missing = KEEP - _size(taken)
    if IMAGES > 1:
        for image in tl.static_range(IMAGES):
            mine = real & (index // SIZE == image)
            due = tl.maximum(LEAST - _size(taken & mine), 0)
            alone = _grown(tl.where(mine, nearest, 0), index, row, col, turn, due, COLS, SIZE,
                           IMAGES, APART, SHIFT, WIDE)
            nearest = tl.where(mine, alone, nearest)
            missing -= due
    nearest = _grown(nearest, index, row, col, turn, missing, COLS, SIZE, IMAGES, APART, SHIFT,
                     WIDE)
    return real & (nearest == 0) & ~taken


@triton.jit
def _grown(nearest, index, row, col, turn, missing, COLS: tl.constexpr, SIZE: tl.constexpr,
           IMAGES: tl.constexpr, APART: tl.constexpr, SHIFT: tl.constexpr, WIDE: tl.constexpr):
    """Return the squared distances, 0 at `missing` more tokens, the farthest one by one."""
    tail = (turn << SHIFT) | index
    if WIDE:
        tail = tail.to(tl.int64)
    first = tl.max((nearest.to(tail.dtype) << (2 * SHIFT)) | tail, 0)
    # free patches that all touch a taken one are equally far: their order is that of ties
    while (missing > 0) & ((first >> (2 * SHIFT)) > 1):
        chosen = (first & ((1 << SHIFT) - 1)).to(tl.int32)
        nearest = _approach(nearest, chosen, row, col, COLS, SIZE, IMAGES, APART)
        first = tl.max((nearest.to(tail.dtype) << (2 * SHIFT)) | tail, 0)
        missing -= 1
    return tl.where(_lowest(-turn, nearest > 0, missing), 0, nearest)
