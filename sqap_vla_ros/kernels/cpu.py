# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What serves on a CPU without the native kernels: the products that torch brings along."""

from __future__ import annotations

import warnings

import torch
from torch.nn import functional as F

from .base import dequantize, Kernel, Unavailable

_FLOAT32_EXACT = 2 ** 24
_SMALLEST = 2 ** 14  # weights; below, calling oneDNN costs more than multiplying


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


def float_product(weight: torch.Tensor, rows: int = 256):
    """
    Return a function x [M, K] -> x @ weight^T in float32.

    It is oneDNN's on packed weights where torch has that and they are not few: torch's own, MKL's,
    runs at half its speed on some AMD processors.  The two round differently, so that the choice
    is a rule, and results repeat.  weight: [N, K].  rows: about how many tokens a call brings.
    """
    try:
        if weight.numel() >= _SMALLEST:
            return onednn_linear(weight, rows)
    except Unavailable:
        pass
    return lambda x: F.linear(x, weight)


class FbgemmKernel(Kernel):
    """
    FBGEMM's int8 linear, which rounds, packs, multiplies and scales in one call.

    On a processor without VNNI its sums of large integers saturate; check_exact finds that.
    """

    name = 'fbgemm'

    @classmethod
    def bits_for(cls, spec):
        """Return 8: one integer a byte."""
        return 8

    def __init__(self, spec, q_weight, scale, bias=None):
        """Pack the weights; torch's global engine is set only meanwhile."""
        super().__init__(spec, q_weight, scale, bias)
        operators = torch.ops.quantized
        engines = torch.backends.quantized.supported_engines
        if spec.act_bits == 16 or 'fbgemm' not in engines or not hasattr(
                operators, 'linear_with_input_q_dq_qweight_dq_output_fp32'):
            raise Unavailable('this torch has no FBGEMM linear with float input and output')
        self.zero_point = 2 ** (spec.widest_bits - 1)
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


class FloatKernel(Kernel):
    """Float32 products, of integers in parts whose sums are exact: right on every machine."""

    name = 'float'

    @classmethod
    def bits_for(cls, spec):
        """Return 32: what is multiplied is a float."""
        return 32

    def __init__(self, spec, q_weight, scale, bias=None):
        """Hold the integers, or for 16-bit activations the weights themselves, as floats."""
        super().__init__(spec, q_weight, scale, bias)
        self.rounds = spec.act_bits != 16
        largest = 2 ** (spec.weight_bits + spec.widest_bits - 2)  # product of two integers
        self.width = _FLOAT32_EXACT // largest if self.rounds else spec.in_features
        weight = q_weight.float() if self.rounds else dequantize(q_weight, scale)
        self.multiply = [float_product(part) for part in weight.split(self.width, dim=1)]

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w, or grid @ weight^T."""
        if not self.rounds:
            return self.multiply[0](grid)
        parts = grid.round_().split(self.width, dim=1)
        totals = [multiply(part) for multiply, part in zip(self.multiply, parts)]
        total = totals[0] if len(totals) == 1 else sum(part.double() for part in totals).float()
        return total.mul_(self.scale)
