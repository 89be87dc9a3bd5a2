# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One launch from a layer's floats to what its integer product takes.

RMSNorm or SwiGLU, then the online Hadamard, then the scale and the integers of each token; a
program does one row, so the floats are read once and never written.

The Hadamard is one or two products with matrices of signs up to 64 wide.  16-bit inputs enter
the first as they are, which is exact; float32 enters as three bfloat16 numbers, which together
have all its bits.  Rounding is to the nearest even, as in torch, so that without a Hadamard the
integers and scales equal quant.int4.activation_scale's to the last bit; with it an integer may
differ by one where the float is within 1e-5 of the middle between two.

Rows of visual tokens and all others may have bits of their own.  A program knows its row's kind
from three integers (numerics/visual_rows.py): there is no mask to make or to read, and prompts of
all lengths run the same compiled kernel.

Bytes: M K (2 + 1) for 16-bit floats, M K (4 + 1) with SwiGLU.  Operations of the Hadamard:
2 M K (F1 + 3 F2) for a block of F1 F2, K rounded up to a power of two.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from .tuning import is_interpreted
from ...errors import ConfigError
from ...numerics.hadamard import check_block
from ...numerics.int4 import integer_range
from ...numerics.visual_rows import NO_ROWS, VisualRows

_LARGEST = 32768  # inputs
_PER_WARP = 1024  # values, 32 a thread
_SMALLEST_FACTOR, _LARGEST_FACTOR = 16, 64
_INTERPRETED = tl.constexpr(is_interpreted())  # bfloat16 products are wrong there


@triton.jit
def _signs(FACTOR: tl.constexpr, SIZE: tl.constexpr):
    """Return [SIZE, SIZE]: Sylvester's matrix of FACTOR on the diagonal, without its norm."""
    index = tl.arange(0, SIZE)
    common = index[:, None] & index[None, :] & (FACTOR - 1)
    common ^= common >> 4
    common ^= common >> 2
    common ^= common >> 1
    together = index[:, None] // FACTOR == index[None, :] // FACTOR
    return tl.where(together, 1 - 2 * (common & 1), 0)


@triton.jit
def _add_product(x, signs, total):
    """Return total + x @ signs for 16-bit floats."""
    if _INTERPRETED:
        x = x.to(tl.float32)
    return tl.dot(x, signs.to(x.dtype), total)


@triton.jit
def _times_signs(x, signs):
    """Return x @ signs as float32, with all bits of x."""
    total = tl.zeros((x.shape[0], x.shape[1]), tl.float32)
    if x.dtype == tl.float32:
        high = x.to(tl.bfloat16)
        x -= high.to(tl.float32)
        middle = x.to(tl.bfloat16)
        x -= middle.to(tl.float32)
        total = _add_product(x.to(tl.bfloat16), signs, total)
        total = _add_product(middle, signs, total)
        x = high
    return _add_product(x, signs, total)


@triton.jit
def _mix(x, WIDTH: tl.constexpr, FACTOR: tl.constexpr, STRIDE: tl.constexpr):
    """Multiply groups of FACTOR values of x [WIDTH], STRIDE apart, by their signs; float32."""
    SIZE: tl.constexpr = max(FACTOR, 16)
    if STRIDE > 1:
        x = tl.permute(tl.reshape(x, (WIDTH // (FACTOR * STRIDE), FACTOR, STRIDE)), (0, 2, 1))
    y = _times_signs(tl.reshape(x, (WIDTH // SIZE, SIZE)), _signs(FACTOR, SIZE))
    if STRIDE > 1:
        y = tl.reshape(y, (WIDTH // (FACTOR * STRIDE), STRIDE, FACTOR))
        y = tl.permute(y, (0, 2, 1))
    return tl.reshape(y, (WIDTH,))


@triton.jit
def _normalize(x, weight, K: tl.constexpr, eps):
    """Return RMSNorm of x [WIDTH] with weight, both rounded as model.llama.RMSNorm rounds."""
    floats = x.to(tl.float32)
    normed = (floats * tl.rsqrt(tl.sum(floats * floats) / K + eps)).to(x.dtype)
    return (normed.to(tl.float32) * weight.to(tl.float32)).to(x.dtype)


@triton.jit
def _gated(up, gate):
    """Return silu(gate) * up, both rounded to their type."""
    gate = gate.to(tl.float32)
    activated = (gate / (1.0 + tl.exp(-gate))).to(up.dtype)
    return (activated.to(tl.float32) * up.to(tl.float32)).to(up.dtype)


@triton.jit(do_not_specialize=['length', 'first_visual', 'visual'])
def quantize_kernel(x, gate, norm_weight, out, row_scale, x_stride, gate_stride, eps, length,
                    first_visual, visual, K: tl.constexpr, WIDTH: tl.constexpr,
                    FIRST: tl.constexpr, SECOND: tl.constexpr, STRIDE: tl.constexpr,
                    WIDE_STRIDE: tl.constexpr, HIGH: tl.constexpr, TEXT_HIGH: tl.constexpr,
                    HAS_NORM: tl.constexpr, HAS_GATE: tl.constexpr):
    """
    Do one row of x [M, K]: integers [M, K] and scale [M], or floats [M, K] for HIGH 0.

    length, first_visual, visual: rows of a sequence, the first visual one and how many, see
    VisualRows.  WIDTH: power of two that holds the row, with each STRIDE inputs padded to
    WIDE_STRIDE.  FIRST, SECOND: factors of the Hadamard's block, 1 for none.  HIGH, TEXT_HIGH:
    largest integer of visual rows and of all others.
    """
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, WIDTH)
    column, valid = place, place < K
    if STRIDE != WIDE_STRIDE:
        column = place // WIDE_STRIDE * STRIDE + place % WIDE_STRIDE
        valid = (place % WIDE_STRIDE < STRIDE) & (column < K)
    value = tl.load(x + row * x_stride + column, mask=valid, other=0.0)
    if HAS_GATE:
        value = _gated(value, tl.load(gate + row * gate_stride + column, mask=valid, other=0.0))
    if HAS_NORM:
        weight = tl.load(norm_weight + column, mask=valid, other=0.0)
        value = _normalize(value, weight, K, eps)
    if FIRST > 1:
        value = _mix(value, WIDTH, FIRST, WIDE_STRIDE)
    if SECOND > 1:
        value = _mix(value, WIDTH, SECOND, WIDE_STRIDE * FIRST)
    value = value.to(tl.float32)
    if FIRST > 1:
        value *= 1.0 / (FIRST * SECOND) ** 0.5
    if HIGH > 0:
        # a NaN must not be hidden: it makes the scale infinite
        largest = tl.max(tl.where(value == value, tl.abs(value), float('inf')))
        largest = tl.maximum(largest, 1e-30)
        scale = largest * (1.0 / (HIGH + 0.49))
        if TEXT_HIGH != HIGH:
            token = tl.program_id(0) % length - first_visual
            is_visual = (token >= 0) & (token < visual)
            scale = tl.where(is_visual, scale, largest * (1.0 / (TEXT_HIGH + 0.49)))
        tl.store(row_scale + row, scale)
        if FIRST > 1:
            value = value * tl.div_rn(1.0, scale)
        else:
            value = tl.div_rn(value, scale)
        # 1.5 * 2^23: the sum's last bits are the nearest even integer
        value = (value + 12582912.0).to(tl.int32, bitcast=True)
    tl.store(out + row * K + column, value.to(out.dtype.element_ty), mask=valid)


def quantize_rows(x, bits: int, norm_weight=None, eps: float = 0.0, block: int = 1,
                  stride: int = 1, gate=None, text_bits: int = 0,
                  visual: VisualRows | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return integers int8 [M, K] and scales float32 [M] of floats x [M, K].

    norm_weight [K]: RMSNorm with eps first.  gate [M, K]: silu(gate) * x first.  Both give the
    type of x.  block, stride: online Hadamard after that.  Rows may stand any distance apart.
    text_bits: of the rows that are not in `visual` (None: no row is), 0 for the same bits.
    Raises ConfigError for a block that does not fit or more than 32768 inputs.
    """
    out = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    row_scale = torch.empty(len(x), dtype=torch.float32, device=x.device)
    high, text_high = (integer_range(one)[1] for one in (bits, text_bits or bits))
    _launch(x, out, row_scale, {'HIGH': high, 'TEXT_HIGH': text_high}, norm_weight, eps, block,
            stride, gate, visual or NO_ROWS)
    return out, row_scale


def transform_rows(x, norm_weight=None, eps: float = 0.0, block: int = 1, stride: int = 1,
                   gate=None) -> torch.Tensor:
    """Return what quantize_rows would quantize, [M, K] in the type of x."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _launch(x, out, out, {'HIGH': 0, 'TEXT_HIGH': 0}, norm_weight, eps, block, stride, gate,
            NO_ROWS)
    return out


def _factors(block: int) -> tuple[int, int]:
    """Return one or two factors of a block, of 64 at most."""
    if block <= _LARGEST_FACTOR:
        return block, 1
    first = 2 ** math.ceil(math.log2(block) / 2)
    return first, block // first


def row_constants(inputs: int, block: int, stride: int) -> dict:
    """Return the kernel's constants for a width and a Hadamard; raise ConfigError beyond it."""
    check_block(inputs, block, stride)
    first, second = _factors(block)
    stride = stride if block > 1 else 1
    wide = triton.next_power_of_2(stride)
    least = _SMALLEST_FACTOR * max(first, second, _SMALLEST_FACTOR)
    width = max(triton.next_power_of_2(inputs // stride * wide), least if block > 1 else 1)
    if width > _LARGEST or max(first, second) > _LARGEST_FACTOR:
        raise ConfigError(f'{inputs} inputs with a Hadamard of {block} are more than the GPU '
                          f'kernel holds: {_LARGEST} and {_LARGEST_FACTOR ** 2}')
    return {'K': inputs, 'WIDTH': width, 'FIRST': first, 'SECOND': second, 'STRIDE': stride,
            'WIDE_STRIDE': wide}


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _launch(x, out, row_scale, highs: dict[str, int], norm_weight, eps: float, block: int,
            stride: int, gate, visual: VisualRows) -> None:
    if not len(x):
        return
    constants = row_constants(x.shape[1], block, stride)
    flags = {**highs, 'HAS_NORM': norm_weight is not None, 'HAS_GATE': gate is not None}
    x = _rows(x)
    gate = x if gate is None else _rows(gate)

    quantize_kernel[(len(x),)](
        x, gate, x if norm_weight is None else norm_weight, out, row_scale, x.stride(0),
        gate.stride(0), eps, visual.length, visual.first, visual.count, **constants, **flags,
        num_warps=min(max(constants['WIDTH'] // _PER_WARP, 1), 16))
