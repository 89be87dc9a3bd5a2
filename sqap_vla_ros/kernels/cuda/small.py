# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Plain layers for a few dozen rows, with what stands before and behind them: the action head.

CogACT's head runs 12 blocks on 2 x 17 tokens ten times for each image.  Its layers are expected
to take less time than their launches, which are five a block here instead of ten (expected, not
measured).  Each program computes some output channels of all rows, so that each weight is read
once; it normalises the rows, which lie in L1, by itself.

Rounding is that of the separate operations (norm, product with bias, GELU, sum), up to the order
of float32 sums.  Bytes: 2 N K + 2 M (K + N) for 16-bit floats.  Operations: 2 M N K.
"""

from __future__ import annotations

import logging

import torch
from torch import nn
import triton
import triton.language as tl

from . import pick, unavailable
from .choices import warn
from .probe import FAILURES
from .trial import why_not
from ..attention import attend

_log = logging.getLogger(__name__)
MOST_ROWS = 64
CONFIGS = (
    {'BLOCK_N': 16, 'BLOCK_K': 128, 'num_warps': 4, 'num_stages': 4},
    {'BLOCK_N': 32, 'BLOCK_K': 128, 'num_warps': 4, 'num_stages': 4},
    {'BLOCK_N': 16, 'BLOCK_K': 256, 'num_warps': 4, 'num_stages': 3},
    {'BLOCK_N': 32, 'BLOCK_K': 64, 'num_warps': 4, 'num_stages': 5},
    {'BLOCK_N': 16, 'BLOCK_K': 64, 'num_warps': 4, 'num_stages': 2},  # float32 on small cards
)


@triton.jit
def _statistics(rows, inside, K, eps, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr):
    """Return mean and 1 / deviation [BLOCK_M] of rows of pointers to K values."""
    total = tl.zeros((BLOCK_M,), tl.float32)
    for k in range(0, K, BLOCK_K):
        column = k + tl.arange(0, BLOCK_K)
        valid = inside[:, None] & (column < K)[None, :]
        total += tl.sum(tl.load(rows + column[None, :], mask=valid, other=0.0).to(tl.float32), 1)
    mean = total / K
    total = tl.zeros((BLOCK_M,), tl.float32)
    for k in range(0, K, BLOCK_K):
        column = k + tl.arange(0, BLOCK_K)
        valid = inside[:, None] & (column < K)[None, :]
        value = tl.load(rows + column[None, :], mask=valid, other=0.0).to(tl.float32)
        value = tl.where(valid, value - mean[:, None], 0.0)
        total += tl.sum(value * value, 1)
    return mean, tl.rsqrt(total / K + eps)


@triton.jit
def _gelu(x):
    """Return the tanh form of the GELU of float32 x."""
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return x / (1.0 + tl.exp(-2.0 * inner))  # (1 + tanh(y)) / 2 = 1 / (1 + exp(-2 y))


@triton.jit(do_not_specialize=['M'])
def small_kernel(x, weight, bias, residual, y, M, N, K, x_stride, residual_stride, eps,
                 NORM: tl.constexpr, GELU: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
                 PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
                 BLOCK_K: tl.constexpr):
    """Compute BLOCK_N channels of y [M, N]; x [M, K] and weight [N, K] are of one type."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.arange(0, BLOCK_M)
    inside, rows = m < M, x + m[:, None] * x_stride
    if NORM:
        mean, scale = _statistics(rows, inside, K, eps, BLOCK_M, BLOCK_K)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, BLOCK_K):
        column = k + tl.arange(0, BLOCK_K)
        valid = column < K
        value = tl.load(rows + column[None, :], mask=inside[:, None] & valid[None, :], other=0.0)
        if NORM:
            normed = (value.to(tl.float32) - mean[:, None]) * scale[:, None]
            value = tl.where(valid[None, :], normed, 0.0).to(value.dtype)
        part = tl.load(weight + n[:, None].to(tl.int64) * K + column[None, :],
                       mask=(n < N)[:, None] & valid[None, :], other=0.0)
        total = tl.dot(value, part.T, total, input_precision=PRECISION)
    total += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
    out = total.to(y.dtype.element_ty)
    if GELU:
        out = _gelu(out.to(tl.float32)).to(y.dtype.element_ty)
    stored = inside[:, None] & (n < N)[None, :]
    if HAS_RESIDUAL:
        before = tl.load(residual + m[:, None] * residual_stride + n[None, :], mask=stored,
                         other=0.0)
        out = (before.to(tl.float32) + out.to(tl.float32)).to(y.dtype.element_ty)
    tl.store(y + m[:, None] * N + n[None, :], out, mask=stored)


def small_linear(x, weight, bias, norm_eps: float | None = None, gelu: bool = False,
                 residual=None) -> torch.Tensor:
    """
    Return x @ weight^T + bias as [M, N] in the type of x, for at most MOST_ROWS rows.

    x: [M, K] with neighbouring columns.  weight: [N, K], contiguous.  norm_eps: a LayerNorm
    without parameters first.  gelu: the tanh form behind the product.  residual: [M, N], added
    at the end.  Raises ValueError for more rows.
    """
    rows, inputs = x.shape
    if not 0 < rows <= MOST_ROWS:
        raise ValueError(f'{rows} rows, expected 1 to {MOST_ROWS}')
    y = torch.empty(rows, len(weight), dtype=x.dtype, device=x.device)
    flags = {'NORM': norm_eps is not None, 'GELU': gelu, 'HAS_RESIDUAL': residual is not None,
             'PRECISION': 'ieee', 'BLOCK_M': max(16, triton.next_power_of_2(rows))}
    other = y if residual is None else residual

    def launch(config):
        small_kernel[(triton.cdiv(len(weight), config['BLOCK_N']),)](
            x, weight, bias, other, y, rows, len(weight), inputs, x.stride(0), other.stride(0),
            norm_eps or 0.0, **flags, **config)

    key = (flags['BLOCK_M'], len(weight), inputs, *flags.values(), str(x.dtype))
    launch(pick('small_linear', key, CONFIGS, launch))
    return y


class FusedActionBlock(nn.Module):
    """A model.dit.DiTBlock in five launches, for inference on few tokens."""

    def __init__(self, block: nn.Module):
        """Take a block of plain layers."""
        super().__init__()
        self.block = block

    def forward(self, x):
        """Map x [B, 1 + T, C] to the same shape."""
        block, rows = self.block, x.reshape(-1, x.shape[-1])
        if len(rows) > MOST_ROWS:
            warn(f"the action head's blocks run unfused for {len(rows)} rows, which is slower: "
                 f'their kernel takes {MOST_ROWS}, of all samples, with and without guidance')
            return block(x)
        attention, mlp = block.attn, block.mlp
        qkv = small_linear(rows, *_parts(attention.qkv), norm_eps=block.norm1.eps)
        qkv = qkv.view(*x.shape[:2], 3, attention.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, 1 + T, d]
        attended = attend(q, k, v).transpose(1, 2).reshape(rows.shape)
        rows = small_linear(attended, *_parts(attention.proj), residual=rows)
        hidden = small_linear(rows, *_parts(mlp.fc1), norm_eps=block.norm2.eps, gelu=True)
        return small_linear(hidden, *_parts(mlp.fc2), residual=rows).view(x.shape)


def _parts(linear: nn.Linear):
    return linear.weight, linear.bias


def fuse_action_head(head: nn.Module) -> int:
    """
    Fuse the blocks of a model.dit.DiffusionHead, in place, and return how many.

    Each kind of block is tried once.  Warns, with the reason, where a block cannot be fused.
    """
    fused, reasons = 0, {}
    problem = unavailable(head.positional_embedding.device)
    for index, block in enumerate(head.blocks):
        reason = problem or _why_not(block, head)
        if reason:
            reasons.setdefault(reason, []).append(index)
            continue
        head.blocks[index] = FusedActionBlock(block)
        fused += 1
    for reason, indices in reasons.items():
        _log.warning("%d of the action head's %d blocks run unfused, which is slower: %s",
                     len(indices), len(head.blocks), reason)
    return fused


def _why_not(block: nn.Module, head: nn.Module) -> str:
    """Return why a block of a head cannot be fused, '' if it can."""
    layers = block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2
    if not all(type(layer) is nn.Linear for layer in layers):
        return 'its layers are quantized, and the fused kernels are for plain ones'
    config, tokens = head.config, head.positional_embedding  # [1 + T, C]
    rows = min((2 if config.guidance > 1 else 1) * len(tokens), MOST_ROWS)

    def run():
        FusedActionBlock(block)(tokens.new_zeros(1, rows, tokens.shape[1]))
    key = ('action head', rows, block.attn.heads, tokens.dtype, str(tokens.device),
           *(layer.weight.shape for layer in layers))
    return why_not(key, run, FAILURES, tokens.device)


def ahead_of_time() -> list[tuple]:
    """Return the layers of CogACT's base head."""
    types = {'x': '*bf16:16', 'weight': '*bf16:16', 'bias': '*bf16:16', 'residual': '*bf16:16',
             'y': '*bf16:16', 'M': 'i32', 'N': 'i32:16', 'K': 'i32:16', 'x_stride': 'i32:16',
             'residual_stride': 'i32:16', 'eps': 'fp32'}

    def entry(name, config, norm, gelu, residual):
        options = {key: config[key] for key in ('num_warps', 'num_stages')}
        constants = {'NORM': norm, 'GELU': gelu, 'HAS_RESIDUAL': residual, 'PRECISION': 'ieee',
                     'BLOCK_M': 64, 'BLOCK_N': config['BLOCK_N'], 'BLOCK_K': config['BLOCK_K']}
        return f'small_linear {name}', small_kernel, types, constants, options

    return [entry('norm, GELU', CONFIGS[1], True, True, False),
            entry('residual', CONFIGS[0], False, False, True)]
