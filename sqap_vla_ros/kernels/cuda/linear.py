# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A quantized linear layer by the Triton kernels: one launch for the tokens, one to multiply."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from . import unavailable
from .gemm import int_linear
from .gemv import MOST_ROWS, skinny_linear
from .pack import float_weight, pack_weight
from .quantize import quantize_rows, row_constants, transform_rows
from .trial import failures
from .tuning import warn
from ..base import Kernel, Unavailable
from ...errors import ConfigError

FINEST_GROUP = 16  # inputs that share a scale, for skinny_linear
_AT_ONCE = 16  # weights of 8 bits that skinny_linear reads


class TritonKernel(Kernel):
    """
    One layer's weights, packed as pack.py says, on an NVIDIA GPU.

    Integer products are exact.  With 16-bit activations the Hadamard's result is rounded to the
    type of x (see quantize.py), and so are the weights of more than 8 tokens, which are opened
    in memory for a product of torch's.
    """

    name = 'triton'
    failures = failures()

    def __init__(self, spec, q_weight, scale, bias=None):
        """Pack the weights on their device."""
        reason = unavailable(q_weight.device)
        if reason:
            raise Unavailable(reason)
        try:
            row_constants(spec.in_features, spec.hadamard_block, spec.hadamard_stride)
        except ConfigError as error:
            raise Unavailable(str(error)) from error
        super().__init__(spec, q_weight, scale.float().contiguous(),
                         None if bias is None else bias.float().contiguous())
        self.weight = pack_weight(q_weight, spec.weight_bits)
        if spec.weight_bits == 8 and spec.in_features % _AT_ONCE:
            warn(f'{spec.in_features} inputs are no multiple of {_AT_ONCE}: each product of up to '
                 f'{MOST_ROWS} tokens copies the 8-bit weights, which is slower')

    def multiply(self, integers, row_scale, dtype, residual=None) -> torch.Tensor:
        """Return dtype [M, N] of integers int8 [M, K] with scales [M], with bias and residual."""
        if 0 < len(integers) <= MOST_ROWS:
            return skinny_linear(integers, self.weight, self.scale, row_scale, self.bias,
                                 residual, out_dtype=dtype)
        return int_linear(integers, row_scale, self.weight, self.scale, self.bias, dtype,
                          residual)

    def multiply_floats(self, x, residual=None) -> torch.Tensor:
        """Return [M, N] in the type of x [M, K], with bias and residual; for act_bits 16."""
        spec = self.spec
        if (0 < len(x) <= MOST_ROWS and spec.weight_bits == 4
                and not spec.group_size % FINEST_GROUP):
            return skinny_linear(x, self.weight, self.scale, None, self.bias, residual,
                                 spec.group_size)
        weight = float_weight(self.weight, self.scale, spec.in_features, x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        y = F.linear(x, weight, bias)
        return y if residual is None else y.add_(residual)

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w, for checks; grid is left alone."""
        if self.spec.act_bits == 16:
            bare = float_weight(self.weight, self.scale, self.spec.in_features, torch.float32)
            return F.linear(grid.float(), bare)
        integers, ones = grid.round().to(torch.int8), torch.ones(len(grid), device=grid.device)
        if 0 < len(grid) <= MOST_ROWS:
            return skinny_linear(integers, self.weight, self.scale, ones, out_dtype=torch.float32)
        return int_linear(integers, ones, self.weight, self.scale, None, torch.float32)

    def __call__(self, x, visual=None, residual=None):
        """Map x [M, K] to [M, N] of the same floating type, and add a residual; see Kernel."""
        spec = self.spec
        block, stride = spec.hadamard_block, spec.hadamard_stride
        if spec.act_bits == 16:
            rotated = x if block == 1 else transform_rows(x, block=block, stride=stride)
            return self.multiply_floats(rotated, residual)
        if not spec.per_token:
            warn('layers with one scale for all tokens are quantized by separate operations, '
                 'which is expected to be slower than the one kernel of those with a scale each: '
                 'quantize with per_token=True')
            y = super().__call__(x, visual)
            return y if residual is None else y + residual
        integers, row_scale = quantize_rows(x, spec.act_bits, block=block, stride=stride,
                                            text_bits=spec.text_bits, visual=visual)
        return self.multiply(integers, row_scale, x.dtype, residual)
