# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
CPU backends on the integer and float products that torch brings along.

Which one is fastest, and whether it is exact, differs between processors (VNNI or not, AMD or
Intel): `kernels.choose` checks and times them.  A kernel's
product works in float32 on [M, K].
"""

from __future__ import annotations

from functools import lru_cache
import warnings

import torch
from torch.nn import functional as F

from .base import dequantize, Kernel, Unavailable
from ..numerics.hadamard import hadamard_matrix, left_multiply
from ..support.timing import best_seconds

_FLOAT32_EXACT = 2 ** 24
_INNER_BLOCK = 64


def onednn_linear(weight: torch.Tensor, rows: int = 256):
    """
    Return a function x [M, K] -> x @ weight^T in float32 by oneDNN; raise Unavailable.

    weight: float32 [N, K], laid out here once.  rows: the M to expect.
    """
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, '_linear_pointwise'):
        raise Unavailable('this torch has no oneDNN linear for packed float weights')
    packed = operators._reorder_linear_weight(weight.contiguous(), rows)
    return lambda x: operators._linear_pointwise(x, packed, None, 'none', [], '')


@lru_cache(maxsize=None)
def _inner_transform(block: int, threads: int):
    """Return the faster way to multiply x [M, block] by the Hadamard matrix on this CPU."""
    matrix = hadamard_matrix(block)
    x = torch.randn(2048, block)
    try:
        packed = onednn_linear(matrix, len(x))
    except Unavailable:
        return lambda x: x @ matrix
    # which one is faster varies with the machine's load, so both must give the same bits
    same = torch.equal(packed(x), x @ matrix)
    if same and best_seconds(packed, x) < best_seconds(torch.matmul, x, matrix):
        return packed
    return lambda x: x @ matrix


class CpuKernel(Kernel):
    """A kernel whose online Hadamard multiplies its inner 64 channels in one product."""

    def transform(self, x):
        """Apply the online Hadamard to x [M, K]."""
        block, stride = self.spec.hadamard_block, self.spec.hadamard_stride
        if stride == 1:
            stride = min(block, _INNER_BLOCK)
            inner = _inner_transform(stride, torch.get_num_threads())
            x, block = inner(x.reshape(-1, stride)).view(x.shape), block // stride
        return left_multiply(x, block, stride)


class IntMMKernel(CpuKernel):
    """torch._int_mm: int8 x int8 to int32, by oneDNN; fast with VNNI, slow on plain AVX2."""

    name = 'int_mm'
    bits_in_memory = 8

    def __init__(self, spec, q_weight, scale, bias=None):
        """Keep the integers, one a byte."""
        super().__init__(spec, q_weight, scale, bias)
        if spec.act_bits == 16 or not hasattr(torch, '_int_mm'):
            raise Unavailable('torch._int_mm needs quantized activations and torch >= 2.2')
        self.weight = q_weight.contiguous().t()  # [K, N]

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w."""
        total = torch._int_mm(grid.round_().to(torch.int8), self.weight)
        return total.float().mul_(self.scale)


class OnednnKernel(CpuKernel):
    """OneDNN's uint8 x int8 linear, which scales the columns inside."""

    name = 'onednn_u8'
    bits_in_memory = 8

    def __init__(self, spec, q_weight, scale, bias=None):
        """Lay the weights out for oneDNN; the zero point 128 makes activations unsigned."""
        super().__init__(spec, q_weight, scale, bias)
        if spec.act_bits == 16 or not hasattr(torch.ops.onednn, 'qlinear_pointwise'):
            raise Unavailable('this torch has no onednn.qlinear_pointwise for these types')
        self.weight = torch.ops.onednn.qlinear_prepack(q_weight.contiguous(), None)
        self.zeros = torch.zeros(spec.out_features, dtype=torch.int32)

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w."""
        unsigned = grid.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)
        return torch.ops.onednn.qlinear_pointwise(
            unsigned, 1.0, 128, self.weight, self.scale, self.zeros, None, 1.0, 0,
            torch.float32, 'none', [], '')


class FbgemmKernel(CpuKernel):
    """FBGEMM's int8 linear, which rounds, packs, multiplies and scales in one call."""

    name = 'fbgemm'
    bits_in_memory = 8

    def __init__(self, spec, q_weight, scale, bias=None):
        """Pack the weights; torch's global engine is set only meanwhile."""
        super().__init__(spec, q_weight, scale, bias)
        operators = torch.ops.quantized
        engines = torch.backends.quantized.supported_engines
        if spec.act_bits == 16 or 'fbgemm' not in engines or not hasattr(
                operators, 'linear_with_input_q_dq_qweight_dq_output_fp32'):
            raise Unavailable('this torch has no FBGEMM linear with float input and output')
        self.zero_point = 2 ** (spec.act_bits - 1)
        before = torch.backends.quantized.engine
        torch.backends.quantized.engine = 'fbgemm'
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # quantized tensors are deprecated
                self.weight = operators.linear_prepack(torch._make_per_channel_quantized_tensor(
                    q_weight, scale.double(), torch.zeros(len(scale), dtype=torch.long), 0), None)
        finally:
            torch.backends.quantized.engine = before

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w."""
        # FBGEMM rounds grid + zero_point, which differs near ties: round as all others do
        return torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            grid.round_(), 1.0, self.zero_point, self.weight)


class FloatKernel(CpuKernel):
    """Float32 products of the integers: exact up to 2^24, on every machine."""

    name = 'float'
    bits_in_memory = 32

    def __init__(self, spec, q_weight, scale, bias=None):
        """Hold the integers, or for 16-bit activations the weights themselves, as floats."""
        super().__init__(spec, q_weight, scale, bias)
        if spec.largest_sum > _FLOAT32_EXACT:
            raise Unavailable(
                f'float32 sums over {spec.in_features} channels would not be exact')
        self.rounds = spec.act_bits != 16
        self.multiply = self.layout(
            q_weight.float() if self.rounds else dequantize(q_weight, scale))

    def layout(self, weight):
        """Return the function x -> x @ weight^T."""
        return lambda x: F.linear(x, weight)

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w, or grid @ weight^T."""
        if not self.rounds:
            return self.multiply(grid)
        return self.multiply(grid.round_()).mul_(self.scale)


class OnednnFloatKernel(FloatKernel):
    """The same by oneDNN, which is twice as fast as MKL on some AMD processors."""

    name = 'onednn_float'

    def layout(self, weight):
        """Return the function x -> x @ weight^T."""
        return onednn_linear(weight)


class ConvertingKernel(CpuKernel):
    """16-bit activations with int8 weights that become floats at every call: small, slow."""

    name = 'converting'
    bits_in_memory = 8

    def __init__(self, spec, q_weight, scale, bias=None):
        """Keep the integers, one a byte."""
        super().__init__(spec, q_weight, scale, bias)
        if spec.act_bits != 16:
            raise Unavailable('it serves 16-bit activations only')
        self.weight = q_weight.contiguous()

    def product(self, grid):
        """Return grid @ weight^T."""
        return F.linear(grid, dequantize(self.weight, self.scale))


INTEGER_KERNELS = (FbgemmKernel, OnednnKernel, IntMMKernel, OnednnFloatKernel, FloatKernel)
WEIGHT_ONLY_KERNELS = (OnednnFloatKernel, FloatKernel, ConvertingKernel)
