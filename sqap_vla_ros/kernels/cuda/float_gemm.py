# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Products of float tokens with weights of 4 or 8 bits, for 9 tokens and more (W4A16 prefill).

Integers become floats of the tokens' type in registers, exactly; scales are applied to float32
sums, of the whole row or of each 128 inputs.  Only for groups that 128 does not divide are
weights scaled first, in float32, so that as bfloat16 one is off by 2^-9 of itself at most
(float16: 2^-12, float32: exact).

Bytes: N K / 2 + 4 N K / group_size + 2 M (K + N) for 16-bit floats.  Operations: 2 M N K.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import INTERPRETED, pick, shared_bytes
from .gemm import store_rows
from .pack import packed_width
from .tuning import bucket

_BLOCK_K = 128
_INTERPRETED = tl.constexpr(INTERPRETED)  # bfloat16 products are wrong there
CONFIGS = (
    {'BLOCK_N': 128, 'BLOCK_M': 64, 'num_warps': 8, 'num_stages': 4},
    {'BLOCK_N': 64, 'BLOCK_M': 64, 'num_warps': 4, 'num_stages': 4},
    {'BLOCK_N': 128, 'BLOCK_M': 128, 'num_warps': 8, 'num_stages': 3},
    {'BLOCK_N': 64, 'BLOCK_M': 128, 'num_warps': 4, 'num_stages': 3},
    {'BLOCK_N': 64, 'BLOCK_M': 32, 'num_warps': 4, 'num_stages': 4},
)


@triton.jit
def _halves(packed):
    """Return the values of the low and of the high halves of bytes, as float32."""
    # 2^23 in front of the half byte is a float32 of that value, without a conversion
    low = (packed & 15).to(tl.int32) | 0x4B000000
    high = (packed >> 4).to(tl.int32) | 0x4B000000
    return (low.to(tl.float32, bitcast=True) - 8388616.0,
            high.to(tl.float32, bitcast=True) - 8388616.0)


@triton.jit
def _short_halves(packed, x, ASM: tl.constexpr):
    """Return the same in the 16-bit type that x points to, two values an operation."""
    if _INTERPRETED:
        return _halves(packed)
    else:
        return tl.inline_asm_elementwise(
            ASM, '=r,=r,=r,=r,r', [packed], dtype=(x.dtype.element_ty, x.dtype.element_ty),
            is_pure=True, pack=4)


@triton.jit
def _side_by_side(low, high):
    """Return the halves of blocks of 64 bytes in the order of their inputs, [N, 128]."""
    both = tl.permute(tl.join(low, high), (0, 2, 1))
    return tl.reshape(both, (low.shape[0], 2 * low.shape[1]))


@triton.jit
def _fine_scale(scale_rows, k, GROUP: tl.constexpr, K):
    """Return the scales [N, 128] of inputs k.. of weights whose groups are narrow."""
    group = tl.minimum(k + tl.arange(0, 128), K - 1) // GROUP
    return tl.load(scale_rows[:, None] + group[None, :])


@triton.jit
def _tokens(rows, k, K, EVEN: tl.constexpr):
    """Load 128 inputs of rows of pointers, zeros beyond K, as [128, M]."""
    column = k + tl.arange(0, 128)
    if EVEN:
        tile = tl.load(rows + column[None, :])
    else:
        tile = tl.load(rows + column[None, :], mask=column[None, :] < K, other=0.0)
    if _INTERPRETED:
        tile = tile.to(tl.float32)
    return tile.T


@triton.jit(do_not_specialize=['M'])
def float_gemm_kernel(x, weight, scale, bias, residual, y, M, N, K, weight_width, groups,
                      x_stride, residual_stride, y_stride, PACKED: tl.constexpr,
                      GROUP: tl.constexpr, EVEN: tl.constexpr, ASM: tl.constexpr,
                      HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
                      BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr):
    """
    Do one tile of channels and tokens of y [M, N].

    x: floats [M, K].  weight: bytes [N, weight_width].  scale: float32 [N, groups].  GROUP:
    inputs that share a scale, 0 for all.  ASM: PTX that opens 4 bits to the type of x, '' for
    float32.
    """
    tiles_m = tl.cdiv(M, BLOCK_M)
    n = tl.program_id(0) // tiles_m * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(0) % tiles_m * BLOCK_M + tl.arange(0, BLOCK_M)
    weight_rows = weight + (n % N).to(tl.int64)[:, None] * weight_width
    x_rows = x + (m % M)[:, None] * x_stride
    scale_rows = scale + n % N * groups
    total = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    kind: tl.constexpr = tl.float32 if _INTERPRETED else x.dtype.element_ty
    NARROW: tl.constexpr = GROUP % 128 != 0
    for k in range(0, K, 128):
        if PACKED:
            packed = tl.load(weight_rows + k // 2 + tl.arange(0, 64)[None, :])
            if ASM == '' or NARROW:
                low, high = _halves(packed)
            else:
                low, high = _short_halves(packed, x, ASM)
            left = _side_by_side(low, high)
        else:
            column = k + tl.arange(0, 128)[None, :]
            left = tl.load(weight_rows + column, mask=column < K, other=0).to(tl.float32)
        if NARROW:
            left *= _fine_scale(scale_rows, k, GROUP, K)
        right = _tokens(x_rows, k, K, EVEN)
        if GROUP == 0 or NARROW:
            total = tl.dot(left.to(kind), right, total, input_precision='ieee')
        else:
            part = tl.dot(left.to(kind), right, input_precision='ieee')
            total += part * tl.load(scale_rows + k // GROUP)[:, None]

    if GROUP == 0:
        total *= tl.load(scale + n, mask=n < N, other=0.0)[:, None]
    store_rows(total, n, m, bias, residual, y, M, N, residual_stride, y_stride, HAS_BIAS,
               HAS_RESIDUAL)


def _opening(one: int, minus: int, front: int) -> str:
    """Return PTX that makes 8 floats of 4 bytes: `front` before a half byte, then minus."""
    lines = ['and.b32 low, $4, 0x0f0f0f0f;', 'shr.u32 high, $4, 4;',
             'and.b32 high, high, 0x0f0f0f0f;']
    kind = 'f16x2' if front == 0x64 else 'bf16x2'
    for place, source, order in ((0, 'low', 0x4140), (1, 'low', 0x4342), (2, 'high', 0x4140),
                                 (3, 'high', 0x4342)):
        lines += [f'prmt.b32 ${place}, {source}, {front * 0x01010101}, {order};',
                  f'fma.rn.{kind} ${place}, ${place}, one, minus;']
    return (f'{{ .reg .b32 low, high, one, minus; mov.b32 one, {one * 0x10001}; '
            f'mov.b32 minus, {minus * 0x10001}; {" ".join(lines)} }}')


# 128 + u - 136 and 1024 + u - 1032 for a half byte u
_ASM = {torch.float32: '', torch.bfloat16: _opening(0x3F80, 0xC308, 0x43),
        torch.float16: _opening(0x3C00, 0xE408, 0x64)}


def float_linear(x, weight, scale, group_size: int = 0, bias=None, residual=None,
                 config: dict | None = None) -> torch.Tensor:
    """
    Return x @ w^T + bias (+ residual) [M, N] in the type of x [M, K].

    weight: uint8 or int8, see pack.py.  scale: float32 [N], or [N, K / group_size].  bias: [N].
    residual: [M, N].  config: one of CONFIGS, instead of the tuned one.  Raises ValueError for a
    weight of another width.
    """
    rows, inputs = x.shape
    packed = weight.dtype == torch.uint8
    if weight.shape[1] != packed_width(inputs, 4 if packed else 8):
        raise ValueError(f'{inputs} inputs meet weights {tuple(weight.shape)} {weight.dtype}')
    x = x if x.stride(1) == 1 else x.contiguous()
    y = torch.empty(rows, len(weight), dtype=x.dtype, device=x.device)
    if not rows:
        return y
    if config is None:
        config = pick('float_gemm', (bucket(rows), *weight.shape, packed,
                                     group_size, str(x.dtype)),
                      candidates(x, group_size),
                      lambda config: _launch(x, weight, scale, group_size, None, None, y, config))
    _launch(x, weight, scale, group_size, bias, residual, y, config)
    return y


def _launch(x, weight, scale, group_size, bias, residual, y, config: dict) -> None:
    (rows, inputs), outputs = x.shape, len(weight)
    residual_or_y = y if residual is None else residual
    grid = triton.cdiv(rows, config['BLOCK_M']) * triton.cdiv(outputs, config['BLOCK_N'])
    float_gemm_kernel[(grid,)](
        x, weight, scale, scale if bias is None else bias, residual_or_y, y, rows, outputs,
        inputs, weight.shape[1], scale.numel() // outputs, x.stride(0), residual_or_y.stride(0),
        y.stride(0), PACKED=weight.dtype == torch.uint8, GROUP=group_size,
        EVEN=inputs % _BLOCK_K == 0, ASM=_ASM[x.dtype], HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None, **config)


def candidates(x: torch.Tensor, group_size: int = 0) -> list[dict]:
    """Return CONFIGS with as many stages as fit into shared memory on the device of x."""
    scale_bytes = 4 if group_size % _BLOCK_K else 0  # of each weight
    found = []
    for config in CONFIGS:
        a_column = config['BLOCK_M'] * x.element_size() + config['BLOCK_N'] * (1 + scale_bytes)
        stages = min(config['num_stages'], shared_bytes(x.device) // (_BLOCK_K * a_column))
        if stages:
            found.append({**config, 'num_stages': stages})
    return found


def ahead_of_time() -> list[tuple]:
    """Return W4A16 with groups of 128 and with one scale a channel."""
    types = {'x': '*bf16:16', 'weight': '*u8:16', 'scale': '*fp32:16', 'bias': '*fp32:16',
             'residual': '*bf16:16', 'y': '*bf16:16', 'M': 'i32', 'N': 'i32:16', 'K': 'i32:16',
             'weight_width': 'i32:16', 'groups': 'i32', 'x_stride': 'i32:16',
             'residual_stride': 'i32:16', 'y_stride': 'i32:16'}

    def entry(name, group, index):
        config = dict(CONFIGS[index])
        options = {key: config.pop(key) for key in ('num_warps', 'num_stages')}
        constants = {'PACKED': True, 'GROUP': group, 'EVEN': True, 'ASM': _ASM[torch.bfloat16],
                     'HAS_BIAS': False, 'HAS_RESIDUAL': True, **config}
        return name, float_gemm_kernel, types, constants, options

    return [entry('float_gemm w4 groups of 128', 128, 0), entry('float_gemm w4', 0, 1)]
