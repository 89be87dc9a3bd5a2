# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Products of int8 tokens with weights of 4 bits (packed, see pack.py) or 8, for 9 tokens and more.

It computes y^T = W x^T: the weights, opened in registers, are the left operand, and a tile of
tokens comes from shared memory, so that weights are opened once for all tokens of a tile.  An
opened weight stands in the upper half of an int8, as 16 times its value: one logical operation
opens four; the sum, exact, is shifted back.  The integer sums equal the reference's to the last
bit; scales are applied in the reference's order, in float32.

Bytes: N K / 2 (4 bits) or N K, + M K + 2 M N for 16-bit outputs (the tokens are read once a tile
of channels, from L2).  Operations: 2 M N K.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import shared_bytes
from .pack import packed_width
from .tuning import autotuned, bucket, is_interpreted, launch

_INTERPRETED = tl.constexpr(is_interpreted())  # it knows no PTX
_BLOCK_K = tl.constexpr(128)
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
def _finish(sums, n, m, row_scale, scale, bias, residual, y, M, N, residual_stride, y_stride,
            SHIFT: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr):
    """Scale sums [n, m], add the bias and store them as y [m, n], with a residual in its type."""
    floats = (sums >> SHIFT).to(tl.float32)
    floats *= tl.load(scale + n, mask=n < N, other=0.0)[:, None]
    floats *= tl.load(row_scale + m, mask=m < M, other=0.0)[None, :]
    if HAS_BIAS:
        floats += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
    out = tl.trans(floats.to(y.dtype.element_ty))
    inside = (m < M)[:, None] & (n < N)[None, :]
    if HAS_RESIDUAL:
        place = residual + m[:, None] * residual_stride + n[None, :]
        before = tl.load(place, mask=inside, other=0.0).to(tl.float32)
        out = (before + out.to(tl.float32)).to(y.dtype.element_ty)
    tl.store(y + m[:, None] * y_stride + n[None, :], out, mask=inside)


# 64 channels for each 4 warps of a block, or 128, which read the tokens less often
SHAPES = ((128, 8), (64, 4), (256, 8))  # channels and warps of a block
TILES = ((16, 0), (32, 0), (64, 0), (64, 32), (128, 0), (128, 32), (128, 64), (256, 0))
_TRIED_TILES, _MOST_STAGES = 2, 4


def token_tiles(rows: int) -> list[tuple[int, int]]:
    """Return the largest tiles, in two parts, among those that waste the least on the rows."""
    def computed(tile):
        return -(-rows // sum(tile)) * sum(tile)

    least = min(map(computed, TILES))
    good = [tile for tile in TILES if computed(tile) <= 1.12 * least]
    return sorted(good, key=sum, reverse=True)[:_TRIED_TILES]


def _config(tile: tuple[int, int], channels: int, warps: int, stages: int) -> triton.Config:
    return triton.Config({'BLOCK_M': tile[0], 'EXTRA_M': tile[1], 'BLOCK_N': channels},
                         num_warps=warps, num_stages=stages)


def fitting(tile: tuple[int, int], packed: bool, shared: int) -> list[triton.Config]:
    """Return configurations of a tile, with as many stages as fit into shared memory."""
    found = []
    for channels, warps in SHAPES:
        a_stage = 128 * (sum(tile) + channels // (2 if packed else 1))
        stages = min(_MOST_STAGES, shared // a_stage)
        if stages >= 2 and sum(tile) * channels <= _MOST_VALUES * 32 * warps:
            found.append(_config(tile, channels, warps, stages))
    return found


def _prune(configs, named_args, *, x, bucket, PACKED, **_) -> list[triton.Config]:
    """Return what is tried for a bucket of rows, the same for all that share it."""
    shared = shared_bytes(x.device)
    return [config for tile in token_tiles(bucket) for config in fitting(tile, PACKED, shared)]


@autotuned([_config(tile, *shape, _MOST_STAGES) for tile in TILES for shape in SHAPES],
           key=['bucket', 'N', 'K', 'PACKED'], prune=_prune)
@triton.jit(do_not_specialize=['M', 'bucket'])
def int_gemm_kernel(x, weight, row_scale, scale, bias, residual, y, M, N, K, weight_width,
                    x_stride, residual_stride, y_stride, bucket, PACKED: tl.constexpr,
                    EVEN: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
                    BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, EXTRA_M: tl.constexpr):
    """
    Do one tile of BLOCK_N channels and BLOCK_M + EXTRA_M tokens.

    x: int8 [M, K].  weight: bytes [N, weight_width].  bucket: for the tuner.
    """
    tiles_m = tl.cdiv(M, BLOCK_M + EXTRA_M)
    n = tl.program_id(0) // tiles_m * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(0) % tiles_m * (BLOCK_M + EXTRA_M) + tl.arange(0, BLOCK_M)
    weight_rows = weight + (n % N).to(tl.int64)[:, None] * weight_width
    x_rows = x + (m % M)[:, None] * x_stride
    total = tl.zeros((BLOCK_N, BLOCK_M), tl.int32)
    if EXTRA_M > 0:
        more = tl.program_id(0) % tiles_m * (BLOCK_M + EXTRA_M) + BLOCK_M + tl.arange(0, EXTRA_M)
        more_rows = x + (more % M)[:, None] * x_stride
        extra = tl.zeros((BLOCK_N, EXTRA_M), tl.int32)

    for start in range(0, K, _BLOCK_K):
        k = start + tl.arange(0, _BLOCK_K)
        if PACKED:
            j = start // 2 + tl.arange(0, _BLOCK_K // 2)
            low, high = _open(tl.load(weight_rows + j[None, :]))
            left = tl.reshape(tl.permute(tl.join(low, high), (0, 2, 1)), (BLOCK_N, _BLOCK_K))
        else:
            left = _columns(weight_rows, k, K, EVEN)
        total = tl.dot(left, _columns(x_rows, k, K, EVEN).T, total, out_dtype=tl.int32)
        if EXTRA_M > 0:
            extra = tl.dot(left, _columns(more_rows, k, K, EVEN).T, extra, out_dtype=tl.int32)

    SHIFT: tl.constexpr = 4 if PACKED else 0
    _finish(total, n, m, row_scale, scale, bias, residual, y, M, N, residual_stride, y_stride,
            SHIFT, HAS_BIAS, HAS_RESIDUAL)
    if EXTRA_M > 0:
        _finish(extra, n, more, row_scale, scale, bias, residual, y, M, N, residual_stride,
                y_stride, SHIFT, HAS_BIAS, HAS_RESIDUAL)


def int_linear(x, row_scale, weight, scale, bias=None, out_dtype=torch.bfloat16,
               residual=None) -> torch.Tensor:
    """
    Return (x @ w^T) * scale * row_scale + bias (+ residual) as out_dtype [M, N].

    x: int8 [M, K].  row_scale: float32 [M].  weight: uint8 or int8, see pack.py.  scale: float32
    [N].  bias: [N].  residual: out_dtype [M, N], added to the rounded product.  Raises ValueError
    for a weight of another width.
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
    other = y if residual is None else residual

    def grid(config):
        return (triton.cdiv(rows, config['BLOCK_M'] + config['EXTRA_M'])
                * triton.cdiv(outputs, config['BLOCK_N']),)
    launch(int_gemm_kernel, grid, bucket(rows), x=x, weight=weight, row_scale=row_scale,
           scale=scale, bias=scale if bias is None else bias, residual=other, y=y, M=rows,
           N=outputs, K=inputs, weight_width=width, x_stride=x.stride(0),
           residual_stride=other.stride(0), y_stride=y.stride(0), PACKED=packed,
           EVEN=inputs % 128 == 0, HAS_BIAS=bias is not None, HAS_RESIDUAL=residual is not None)
    return y
