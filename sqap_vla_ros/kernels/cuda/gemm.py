# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Products of int8 tokens with weights of 4 bits (packed, see pack.py) or 8, for 9 tokens and more.

It computes y^T = W x^T: the weights, opened in registers, are the left operand, and a tile of
tokens comes from shared memory, so that weights are opened once for all tokens of a tile.  An
opened weight stands in the upper half of an int8, as 16 times its value: one logical operation
opens four; the sum, exact, is shifted back.  The integer sums equal the reference's to the last
bit; scales are applied in the reference's order, in float32.

Tiles beyond the last whole wave of blocks are split along K: the parts are added up in int32
(in any order the same) in a buffer in global memory, and the last one to arrive finishes the
tile and leaves the buffer zero (workspace.py).

Bytes: N K / 2 (4 bits) or N K, + M K + 2 M N for 16-bit outputs (the tokens are read once a tile
of channels, from L2).  Operations: 2 M N K.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import INTERPRETED, multiprocessors, pick, shared_bytes
from .capability import GENERATIONS
from .pack import packed_width
from .tuning import bucket
from .workspace import sums_and_arrivals

_INTERPRETED = tl.constexpr(INTERPRETED)  # it knows no PTX
_MOST_PARTS = 8
_MOST_VALUES = 128  # sums of a thread, in registers


@triton.jit
def _open(packed):
    """Return 16 times the values of the low and of the high halves of packed bytes."""
    if _INTERPRETED:
        shifted = packed << 4
    else:  # four bytes at a time
        shifted = tl.inline_asm_elementwise(
            'shl.b32 $0, $1, 4;', '=r,r', [packed], dtype=tl.uint8, is_pure=True, pack=4) & 0xF0
    low, high = shifted ^ 0x80, (packed & 0xF0) ^ 0x80
    return low.to(tl.int8, bitcast=True), high.to(tl.int8, bitcast=True)


@triton.jit
def _columns(rows, k, K, EVEN: tl.constexpr):
    """Load columns k of rows of pointers, zeros beyond K."""
    if EVEN:
        return tl.load(rows + k[None, :])
    else:
        return tl.load(rows + k[None, :], mask=k[None, :] < K, other=0)


@triton.jit
def store_rows(floats, n, m, bias, residual, y, M, N, residual_stride, y_stride,
               HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr):
    """Store floats [n, m] + bias as y [m, n], with the residual added in its type."""
    if HAS_BIAS:
        floats += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
    out = tl.trans(floats.to(y.dtype.element_ty))
    inside = (m < M)[:, None] & (n < N)[None, :]
    if HAS_RESIDUAL:
        place = residual + m[:, None] * residual_stride + n[None, :]
        before = tl.load(place, mask=inside, other=0.0).to(tl.float32)
        out = (before + out.to(tl.float32)).to(y.dtype.element_ty)
    tl.store(y + m[:, None] * y_stride + n[None, :], out, mask=inside)


@triton.jit
def _finish(sums, n, m, row_scale, scale, bias, residual, y, M, N, residual_stride, y_stride,
            SHIFT: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr):
    """Scale sums [n, m] and store them as y [m, n]."""
    floats = (sums >> SHIFT).to(tl.float32)
    floats *= tl.load(scale + n, mask=n < N, other=0.0)[:, None]
    floats *= tl.load(row_scale + m, mask=m < M, other=0.0)[None, :]
    store_rows(floats, n, m, bias, residual, y, M, N, residual_stride, y_stride, HAS_BIAS,
               HAS_RESIDUAL)


@triton.jit(do_not_specialize=['M', 'whole', 'parts'])
def int_gemm_kernel(x, weight, row_scale, scale, bias, residual, y, sums, arrivals, M, N, K,
                    weight_width, x_stride, residual_stride, y_stride, whole, parts,
                    PACKED: tl.constexpr, EVEN: tl.constexpr, SPLIT: tl.constexpr,
                    HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr, BLOCK_N: tl.constexpr,
                    BLOCK_M: tl.constexpr, EXTRA_M: tl.constexpr, BLOCK_K: tl.constexpr):
    """
    Do one tile of BLOCK_N channels and BLOCK_M + EXTRA_M tokens, or a part of its inputs.

    x: int8 [M, K].  weight: bytes [N, weight_width].  whole: tiles that one program does; each
    other has `parts` programs.
    """
    program = tl.program_id(0)
    behind = tl.maximum(program - whole, 0)
    shares = tl.where(program < whole, 1, parts)
    tile = tl.minimum(program, whole) + behind // parts
    steps = tl.cdiv(K, BLOCK_K)
    first = behind % shares * steps // shares
    last = (behind % shares + 1) * steps // shares

    tiles_m = tl.cdiv(M, BLOCK_M + EXTRA_M)
    n = tile // tiles_m * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tile % tiles_m * (BLOCK_M + EXTRA_M) + tl.arange(0, BLOCK_M)
    weight_rows = weight + (n % N).to(tl.int64)[:, None] * weight_width
    x_rows = x + (m % M)[:, None] * x_stride
    total = tl.zeros((BLOCK_N, BLOCK_M), tl.int32)
    if EXTRA_M > 0:
        more = tile % tiles_m * (BLOCK_M + EXTRA_M) + BLOCK_M + tl.arange(0, EXTRA_M)
        more_rows = x + (more % M)[:, None] * x_stride
        extra = tl.zeros((BLOCK_N, EXTRA_M), tl.int32)

    for step in range(first, last):
        k = step * BLOCK_K + tl.arange(0, BLOCK_K)
        if PACKED:
            j = step * (BLOCK_K // 2) + tl.arange(0, BLOCK_K // 2)
            low, high = _open(_columns(weight_rows, j, weight_width, EVEN))
            both = tl.reshape(tl.join(low, high), (BLOCK_N, BLOCK_K // 128, 64, 2))
            left = tl.reshape(tl.permute(both, (0, 1, 3, 2)), (BLOCK_N, BLOCK_K))
        else:
            left = _columns(weight_rows, k, K, EVEN)
        total = tl.dot(left, _columns(x_rows, k, K, EVEN).T, total, out_dtype=tl.int32)
        if EXTRA_M > 0:
            extra = tl.dot(left, _columns(more_rows, k, K, EVEN).T, extra, out_dtype=tl.int32)

    finished = shares == 1
    if SPLIT:
        if shares > 1:
            row = tl.arange(0, BLOCK_N)[:, None]
            place = sums + (tile - whole) * (BLOCK_N * (BLOCK_M + EXTRA_M))
            main_place = place + row * BLOCK_M + tl.arange(0, BLOCK_M)[None, :]
            tl.atomic_add(main_place, total, sem='relaxed')
            if EXTRA_M > 0:
                place += BLOCK_N * BLOCK_M
                extra_place = place + row * EXTRA_M + tl.arange(0, EXTRA_M)[None, :]
                tl.atomic_add(extra_place, extra, sem='relaxed')
            tl.debug_barrier()  # the whole block has added when it says so
            arrived = tl.atomic_add(arrivals + tile - whole, 1, sem='acq_rel')
            finished = arrived == shares - 1
            if finished:
                total = tl.load(main_place, cache_modifier='.cg')
                if EXTRA_M > 0:
                    extra = tl.load(extra_place, cache_modifier='.cg')
                tl.debug_barrier()
                tl.store(main_place, tl.zeros((BLOCK_N, BLOCK_M), tl.int32))
                if EXTRA_M > 0:
                    tl.store(extra_place, tl.zeros((BLOCK_N, EXTRA_M), tl.int32))
                tl.store(arrivals + tile - whole, 0)
    if finished:
        SHIFT: tl.constexpr = 4 if PACKED else 0
        _finish(total, n, m, row_scale, scale, bias, residual, y, M, N, residual_stride,
                y_stride, SHIFT, HAS_BIAS, HAS_RESIDUAL)
        if EXTRA_M > 0:
            _finish(extra, n, more, row_scale, scale, bias, residual, y, M, N, residual_stride,
                    y_stride, SHIFT, HAS_BIAS, HAS_RESIDUAL)


def int_linear(x, row_scale, weight, scale, bias=None, out_dtype=torch.bfloat16, residual=None,
               config: dict | None = None) -> torch.Tensor:
    """
    Return (x @ w^T) * scale * row_scale + bias (+ residual) as out_dtype [M, N].

    x: int8 [M, K].  row_scale: float32 [M].  weight: uint8 or int8, see pack.py.  scale: float32
    [N].  bias: [N].  residual: out_dtype [M, N], added to the rounded product.  config: one of
    candidates(...), instead of the tuned one.  Raises ValueError for a weight of another width.
    """
    rows, inputs = x.shape
    outputs, width = weight.shape
    packed = weight.dtype == torch.uint8
    if width != packed_width(inputs, 4 if packed else 8) or len(scale) != outputs:
        raise ValueError(f'{inputs} inputs meet weights {tuple(weight.shape)} {weight.dtype} '
                         f'with {len(scale)} scales')
    y = torch.empty(rows, outputs, dtype=out_dtype, device=x.device)
    if not rows:
        return y
    if config is None:
        config = pick('int_gemm', (bucket(rows), outputs, inputs, packed,
                                   str(out_dtype)),
                      candidates(x, weight),
                      lambda config: _launch(x, row_scale, weight, scale, None, None, y, config))
    _launch(x, row_scale, weight, scale, bias, residual, y, config)
    return y


def _launch(x, row_scale, weight, scale, bias, residual, y, config: dict) -> None:
    rows, inputs = x.shape
    block_m = config['BLOCK_M'] + config['EXTRA_M']
    tiles = triton.cdiv(rows, block_m) * triton.cdiv(len(weight), config['BLOCK_N'])
    steps = triton.cdiv(inputs, config['BLOCK_K'])
    whole, parts = shares(tiles, steps, multiprocessors(x.device)) if config['SPLIT'] else (
        tiles, 1)
    sums, arrivals = (
        sums_and_arrivals(x.device, (tiles - whole) * block_m * config['BLOCK_N'])
        if config['SPLIT'] else (y, y))
    int_gemm_kernel[(whole + (tiles - whole) * parts,)](
        x, weight, row_scale, scale, scale if bias is None else bias,
        y if residual is None else residual, y, sums, arrivals, rows, len(weight), inputs,
        weight.shape[1], x.stride(0), (y if residual is None else residual).stride(0),
        y.stride(0), whole, parts, PACKED=weight.dtype == torch.uint8,
        EVEN=inputs % config['BLOCK_K'] == 0, HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None, **config)


def shares(tiles: int, steps: int, processors: int) -> tuple[int, int]:
    """
    Return how many tiles are done whole, and by how many programs each of the others.

    Whole waves are done whole; what is left over shares the processors.
    """
    rest = tiles % processors
    parts = min(processors // max(rest, 1), _MOST_PARTS, steps // 2)
    return (tiles - rest, parts) if parts > 1 and rest else (tiles, 1)


# 64 channels for each 4 warps of a block, or 128, which read the tokens less often
CONFIGS = (
    {'BLOCK_N': 128, 'BLOCK_K': 128, 'num_warps': 8, 'num_stages': 4},
    {'BLOCK_N': 64, 'BLOCK_K': 128, 'num_warps': 4, 'num_stages': 4},
    {'BLOCK_N': 256, 'BLOCK_K': 128, 'num_warps': 8, 'num_stages': 4},
)
TILES = ((16, 0), (32, 0), (64, 0), (64, 32), (128, 0), (128, 32), (128, 64), (256, 0))
_TRIED_TILES = 2


def candidates(x, weight) -> list[dict]:
    """
    Return configurations to try for tokens [M, K] and weights [N, ...], the likeliest first.

    They are the same for all numbers of tokens that share a choice.
    """
    rows, inputs = bucket(len(x)), x.shape[1]
    packed, found = weight.dtype == torch.uint8, []
    for tile in token_tiles(rows):
        for config in fitting(tile, packed, shared_bytes(x.device)):
            tiles = triton.cdiv(rows, sum(tile)) * triton.cdiv(len(weight), config['BLOCK_N'])
            steps = triton.cdiv(inputs, config['BLOCK_K'])
            if shares(tiles, steps, multiprocessors(x.device))[1] > 1:
                found.append({**config, 'SPLIT': True})
            found.append({**config, 'SPLIT': False})
    return found


def token_tiles(rows: int) -> list[tuple[int, int]]:
    """Return the largest tiles, in two parts, among those that waste the least on the rows."""
    def computed(tile):
        return -(-rows // sum(tile)) * sum(tile)

    least = min(map(computed, TILES))
    good = [tile for tile in TILES if computed(tile) <= 1.12 * least]
    return sorted(good, key=sum, reverse=True)[:_TRIED_TILES]


def fitting(tile: tuple[int, int], packed: bool, shared: int) -> list[dict]:
    """Return CONFIGS for a tile of tokens, with as many stages as fit into shared memory."""
    found = []
    for config in CONFIGS:
        channels = config['BLOCK_N']
        a_stage = config['BLOCK_K'] * (sum(tile) + channels // (2 if packed else 1))
        stages = min(config['num_stages'], shared // a_stage)
        if stages >= 2 and sum(tile) * channels <= _MOST_VALUES * 32 * config['num_warps']:
            found.append({**config, 'BLOCK_M': tile[0], 'EXTRA_M': tile[1], 'num_stages': stages})
    return found


def ahead_of_time() -> list[tuple]:
    """Return the prefill of 178 or 280 tokens, by kinds of cards."""
    types = {'x': '*i8:16', 'row_scale': '*fp32:16', 'scale': '*fp32:16', 'bias': '*fp32:16',
             'residual': '*bf16:16', 'y': '*bf16:16', 'sums': '*i32:16', 'arrivals': '*i32:16',
             'M': 'i32', 'N': 'i32:16', 'K': 'i32:16', 'weight_width': 'i32:16',
             'x_stride': 'i32:16', 'residual_stride': 'i32:16', 'y_stride': 'i32:16',
             'whole': 'i32', 'parts': 'i32'}

    def entry(channels, tile, packed, split, shared_kib, cards):
        config, = (config for config in fitting(tile, packed, shared_kib * 1024)
                   if config['BLOCK_N'] == channels)
        options = {key: config.pop(key) for key in ('num_warps', 'num_stages')}
        name = (f'int_gemm w{4 if packed else 8} {channels}x{sum(tile)}'
                f'{" split" if split else ""} {shared_kib} KiB')
        constants = {'PACKED': packed, 'EVEN': True, 'SPLIT': split, 'HAS_BIAS': False,
                     'HAS_RESIDUAL': True, **config}
        return (name, int_gemm_kernel, {**types, 'weight': '*u8:16' if packed else '*i8:16'},
                constants, {**options, 'cards': cards})

    found = []
    served = [known for known in GENERATIONS if known.int8]
    for shared_kib in sorted({known.shared_kib for known in served}):
        cards = tuple(known.card for known in served if known.shared_kib == shared_kib)
        found += [entry(128, (128, 64), True, True, shared_kib, cards),
                  entry(256, (64, 32), True, True, shared_kib, cards),
                  entry(64, (64, 32), False, False, shared_kib, cards)]
    return found
