# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Linear layers for decoding, at most 8 rows, expected to wait for the weights from memory.

Each block of threads takes some output channels and all inputs, its warps side by side along
them.  The sums of its threads are added once, at the end and in a fixed order: one launch, no
workspace, the same bits every time.  With integer activations a word of eight 4-bit weights is
opened by three instructions and multiplied four at a time (dp4a).  With float activations each
weight becomes a float by its bits, exactly, and is multiplied in float32.

The integer sums are exact.  What follows is float32, in the order of kernels/base.py: it differs
from the reference by the last bit, and for float activations by the order of the sum (1e-5 of
sum |x| |w|).
"""

from __future__ import annotations

import torch
from torch.nn import functional as F
import triton
import triton.language as tl

from .pack import BLOCK, HALF, packed_width
from .tuning import autotuned, is_interpreted, launch

MOST_ROWS = 8
_WARP = 32
_ALIGNMENT = 16  # bytes that a thread loads at once
_BLOCK, _HALF = tl.constexpr(BLOCK), tl.constexpr(HALF)
# four bytes at once: below the bits of 2 ** 23 a small integer makes a float that much larger
_OPENED = tl.constexpr("""{
    .reg .b32 half<2>;
    and.b32 half0, $8, 0x0F0F0F0F;
    and.b32 half1, $8, 0xF0F0F0F0;""" + ''.join(f"""
    prmt.b32 ${at}, half{at // 4}, 0x4B000000, 0x744{at % 4};
    add.f32 ${at}, ${at}, {('0fCB000008', '0fCB000080')[at // 4]};""" for at in range(8)) + '}')


def skinny_linear(x, weight, scale, row_scale=None, bias=None, residual=None,
                  group_size: int = 0, out_dtype: torch.dtype | None = None):
    """
    Return x @ w^T [M, N] for 1 <= M <= 8 rows, plus bias [N] and residual [M, N] if given.

    x: float [M, K], or int8 [M, K] with row_scale float32 [M].  weight: uint8 as of
    pack.pack_weight, or int8 [N, K] for int8 x.  scale: float32 [N], or [N, K / group_size] for
    float x.  out_dtype: x.dtype by default, to be given for int8 x.

    All is added in float32 and rounded once.  Widths of which a row is no multiple of 16 bytes
    cost a copy.  Raises ValueError for arguments that don't belong together.
    """
    out_dtype = out_dtype or x.dtype
    _check_kinds(x, weight, row_scale, group_size, out_dtype)
    x, weight = _aligned(x, weight)
    out = torch.empty(len(x), len(weight), dtype=out_dtype, device=x.device)
    residual = None if residual is None else residual.contiguous()
    arguments = (x, weight, out, row_scale, scale, bias, residual, len(x), len(weight))
    if x.dtype == torch.int8:
        return _launch_int(arguments)
    return _launch_float(arguments, group_size)


def _check_kinds(x, weight, row_scale, group_size: int, out_dtype) -> None:
    rows, integers = len(x), x.dtype == torch.int8
    if not 1 <= rows <= MOST_ROWS:
        raise ValueError(f'skinny_linear takes 1..{MOST_ROWS} rows, got {rows}: use the '
                         'kernels of gemm.py')
    if integers != (row_scale is not None) or not out_dtype.is_floating_point:
        raise ValueError('int8 activations need row_scale and a float out_dtype, others no '
                         f'row_scale: got {x.dtype}, {out_dtype}')
    if not integers and weight.dtype != torch.uint8:
        raise ValueError(f'float activations need packed 4-bit weights, got {weight.dtype}')
    if group_size % 16 or group_size and integers:
        raise ValueError('groups of weights need float activations and a multiple of 16, '
                         f'got {group_size}')


def _aligned(x, weight):
    """Return x and weight with as many columns as the kernels read; ValueError for others."""
    bits = 4 if weight.dtype == torch.uint8 else 8
    if weight.shape[1] != packed_width(x.shape[1], bits):
        raise ValueError(f'weights of {bits} bits and shape {list(weight.shape)} are not for '
                         f'{x.shape[1]} inputs')
    if weight.dtype == torch.int8 and weight.shape[1] % _ALIGNMENT:
        weight = F.pad(weight, (0, -weight.shape[1] % _ALIGNMENT))
    missing = weight.shape[1] * 8 // bits - x.shape[1]
    if missing:
        x = F.pad(x, (0, missing))
    return x.contiguous(), weight


def _launch_int(arguments):
    """Run the integer kernel on (x, weight, out, row_scale, scale, bias, residual, M, N)."""
    x, weight, out, row_scale, *rest = arguments
    return _launch(_int_kernel, (x.view(torch.int32), weight.view(torch.int32), out, *rest),
                   row_scale=row_scale, WORDS=weight.shape[1] // 4,
                   PACKED=weight.dtype == torch.uint8)


def _launch_float(arguments, group_size: int):
    """Run the float kernel on the same."""
    x, weight, out, _, scale, *rest = arguments
    return _launch(_float_kernel, (x, weight, out, scale, *rest), WIDTH=weight.shape[1],
                   GROUP=group_size, GROUPS=scale[0].numel(), FINE=group_size % BLOCK != 0,
                   SIZE=_ALIGNMENT // x.element_size())


def _launch(kernel, arguments, **constants):
    """Run a kernel over all output channels in its fastest configuration; return its output."""
    x, weight, out, scale, bias, residual, rows, outputs = arguments
    launch(kernel, lambda config: (triton.cdiv(outputs, config['N_BLOCK']),), rows, x=x,
           weight=weight, out=out, scale=scale, bias=scale if bias is None else bias,
           residual=out if residual is None else residual, rows=rows, outputs=outputs,
           HAS_BIAS=bias is not None, HAS_RESIDUAL=residual is not None,
           M_BLOCK=triton.next_power_of_2(rows), ASM=not is_interpreted(), **constants)
    return out


_CONFIGS = [  # output channels of a block, vectors of each at a time, warps
    triton.Config({'N_BLOCK': outputs, 'VECTORS': warps * _WARP}, num_warps=warps)
    for outputs, warps in ((4, 4), (8, 4), (4, 2), (8, 2), (2, 4), (4, 1), (4, 8), (2, 2), (2, 8))]


def _prune(configs, named_args, *, rows, SIZE=_ALIGNMENT, **_) -> list:
    """Return what fits: a thread keeps rows * outputs sums, and of float rows 2 * SIZE inputs."""
    most = 64 if SIZE == _ALIGNMENT else 16
    return [config for config in configs if rows * config.kwargs['N_BLOCK'] <= most]


@autotuned(_CONFIGS, key=['bucket', 'outputs', 'WORDS', 'PACKED'], prune=_prune)
@triton.jit(do_not_specialize=['rows', 'bucket'])
def _int_kernel(x, weight, out, row_scale, scale, bias, residual, rows, outputs, bucket,
                WORDS: tl.constexpr, PACKED: tl.constexpr, HAS_BIAS: tl.constexpr,
                HAS_RESIDUAL: tl.constexpr, M_BLOCK: tl.constexpr, ASM: tl.constexpr,
                N_BLOCK: tl.constexpr, VECTORS: tl.constexpr):
    """Multiply int8 rows, four in a word, with weights of 8 bits or packed ones of 4 bits."""
    m = tl.arange(0, M_BLOCK)
    n = tl.program_id(0) * N_BLOCK + tl.arange(0, N_BLOCK)
    CHUNK: tl.constexpr = 4 * VECTORS
    X_WORDS: tl.constexpr = 2 * WORDS if PACKED else WORDS
    x_row = x + (m * X_WORDS)[:, None, None]
    weight_row = weight + (n.to(tl.int64) * WORDS)[None, :, None]
    total = tl.zeros([M_BLOCK, N_BLOCK, VECTORS], tl.int32)
    STEPS: tl.constexpr = (WORDS + CHUNK - 1) // CHUNK
    UNROLL: tl.constexpr = 1 if M_BLOCK > 2 else (STEPS if STEPS < 4 else 4)
    for start in tl.range(0, WORDS, CHUNK, loop_unroll_factor=UNROLL):
        word = start + tl.arange(0, CHUNK)[None, None, :]
        given = (m < rows)[:, None, None] & (word < WORDS)
        w = tl.load(weight_row + word, (n < outputs)[None, :, None] & (word < WORDS), other=0)
        if PACKED:
            at = word // 16 * 32 + word % 16
            low = tl.load(x_row + at, given, other=0)
            high = tl.load(x_row + at + 16, given, other=0)
            # the halves are 8 above the weights
            above = tl.zeros([M_BLOCK, 1, CHUNK], tl.int32) + 0x08080808
            part = -_dot4(above, low, _dot4(above, high, tl.zeros_like(above), ASM), ASM)
            part = _dot4(w & 0x0F0F0F0F, low, part, ASM)
            part = _dot4((w >> 4) & 0x0F0F0F0F, high, part, ASM)
        else:
            zero = tl.zeros([M_BLOCK, N_BLOCK, CHUNK], tl.int32)
            part = _dot4(w, tl.load(x_row + word, given, other=0), zero, ASM)
        total += _sum_of_threads(part, 4)
    y = tl.sum(total, 2).to(tl.float32) * tl.load(scale + n, n < outputs)[None, :]
    y = y * tl.load(row_scale + m, m < rows)[:, None]
    _finish(y, out, bias, residual, m, n, rows, outputs, HAS_BIAS, HAS_RESIDUAL)


@triton.jit
def _dot4(a, b, total, ASM: tl.constexpr):
    """Add to int32 the products of the four int8 in a's words with those in b's."""
    if ASM:
        total = tl.inline_asm_elementwise('dp4a.s32.s32 $0, $1, $2, $3;', '=r,r,r,r',
                                          [a, b, total], dtype=tl.int32, is_pure=True, pack=1)
    else:
        for place in tl.static_range(4):
            total += (a << (24 - 8 * place) >> 24) * (b << (24 - 8 * place) >> 24)
    return total


@autotuned(_CONFIGS, key=['bucket', 'outputs', 'WIDTH', 'GROUP'], prune=_prune)
@triton.jit(do_not_specialize=['rows', 'bucket'])
def _float_kernel(x, weight, out, scale, bias, residual, rows, outputs, bucket,
                  WIDTH: tl.constexpr, GROUP: tl.constexpr, GROUPS: tl.constexpr,
                  FINE: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
                  M_BLOCK: tl.constexpr, SIZE: tl.constexpr, ASM: tl.constexpr,
                  N_BLOCK: tl.constexpr, VECTORS: tl.constexpr):
    """Multiply float rows with packed 4-bit weights; scales by channel or group."""
    m = tl.arange(0, M_BLOCK)
    n = tl.program_id(0) * N_BLOCK + tl.arange(0, N_BLOCK)
    here = (n < outputs)[None, :, None]
    x_row = x + (m * (2 * WIDTH))[:, None, None]
    weight_row = weight + (n.to(tl.int64) * WIDTH)[None, :, None]
    scale_row = scale + (n * GROUPS)[None, :, None]
    CHUNK: tl.constexpr = SIZE * VECTORS
    lane = tl.arange(0, CHUNK)[None, None, :]
    # the weights in the same threads as x: as many bytes at once as inputs fit into one load
    few = tl.max_contiguous(tl.arange(0, CHUNK), SIZE)[None, None, :]
    total = tl.zeros([M_BLOCK, N_BLOCK, VECTORS], tl.float32)
    STEPS: tl.constexpr = (WIDTH + CHUNK - 1) // CHUNK
    # more rows would ask for more registers than there are
    UNROLL: tl.constexpr = 1 if M_BLOCK > 2 else (STEPS if STEPS < 4 else 4)
    for start in tl.range(0, WIDTH, CHUNK, loop_unroll_factor=UNROLL):
        w = tl.load(weight_row + (start + few), here & (start + few < WIDTH), other=0)
        w_low, w_high = _opened(w, ASM)
        byte = start + lane
        at = byte // _HALF * _BLOCK + byte % _HALF
        given = (m < rows)[:, None, None] & (byte < WIDTH)
        low = tl.load(x_row + at, given, other=0.0).to(tl.float32)
        high = tl.load(x_row + at + _HALF, given, other=0.0).to(tl.float32) * 0.0625
        low, high = _sum_of_threads(low * w_low, SIZE), _sum_of_threads(high * w_high, SIZE)
        if GROUP == 0:
            total += low + high
        else:
            first = start + tl.arange(0, VECTORS)[None, None, :] * SIZE
            first = first // _HALF * _BLOCK + first % _HALF
            of_low = tl.load(scale_row + first // GROUP, here & (first < GROUP * GROUPS),
                             other=0.0)
            if FINE:
                first += _HALF
                of_high = tl.load(scale_row + first // GROUP, here & (first < GROUP * GROUPS),
                                  other=0.0)
                total += low * of_low + high * of_high
            else:
                total += (low + high) * of_low
    y = tl.sum(total, 2)
    if GROUP == 0:
        y = y * tl.load(scale + n, n < outputs)[None, :]
    _finish(y, out, bias, residual, m, n, rows, outputs, HAS_BIAS, HAS_RESIDUAL)


@triton.jit
def _opened(w, ASM: tl.constexpr):
    """Return the weights of both halves of each byte as float32, the upper ones times 16."""
    if ASM:
        low, high = tl.inline_asm_elementwise(_OPENED, '=f,' * 8 + 'r', [w], is_pure=True, pack=4,
                                              dtype=(tl.float32, tl.float32))
    else:
        low = (w & 0x0F).to(tl.float32) - 8.0
        high = (w & 0xF0).to(tl.float32) - 128.0
    return low, high


@triton.jit
def _sum_of_threads(products, SIZE: tl.constexpr):
    """Add the products of each thread, SIZE neighbours along the inputs."""
    parted = tl.reshape(products, [products.shape[0], products.shape[1],
                                   products.shape[2] // SIZE, SIZE])
    return tl.sum(parted, 3)


@triton.jit
def _finish(y, out, bias, residual, m, n, rows, outputs, HAS_BIAS: tl.constexpr,
            HAS_RESIDUAL: tl.constexpr):
    """Add bias and residual to y [M, N] and store it."""
    here = (m < rows)[:, None] & (n < outputs)[None, :]
    at = m[:, None] * outputs + n[None, :]
    if HAS_BIAS:
        y += tl.load(bias + n, n < outputs)[None, :].to(tl.float32)
    if HAS_RESIDUAL:
        y += tl.load(residual + at, here).to(tl.float32)
    tl.store(out + at, y.to(out.dtype.element_ty), here)
