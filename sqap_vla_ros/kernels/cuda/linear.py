# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A quantized linear layer by the Triton kernels: one launch for the tokens, one to multiply."""

from __future__ import annotations

import torch

from . import pick, unavailable
from .choices import warn
from .float_gemm import candidates as float_candidates, float_linear
from .gemm import candidates as int_candidates, int_linear
from .gemv import MOST_ROWS, skinny_linear
from .pack import pack_weight
from .probe import FAILURES
from .quantize import quantize_rows, row_constants, transform_rows
from ..base import Kernel, Unavailable
from ...errors import ConfigError

FINEST_GROUP = 16  # inputs that share a scale, for skinny_linear
_FEWEST_TIMED = 4  # rows; with fewer, memory is expected to bind skinny_linear (not measured)
_SKINNY, _TILES = {'skinny': True}, {'skinny': False}
_AT_ONCE = 16  # weights of 8 bits that skinny_linear reads


class TritonKernel(Kernel):
    """
    One layer's weights, packed as pack.py says, on an NVIDIA GPU.

    Integer products are exact; with 16-bit activations the Hadamard's result and the weights are
    rounded to the type of x (see quantize.py and float_gemm.py for the tolerances).
    """

    name = 'triton'
    bits_in_memory = 8
    failures = FAILURES

    @classmethod
    def bits_for(cls, spec):
        """Return as many bits as on disk."""
        return spec.weight_bits

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
        self.bits_in_memory = self.bits_for(spec)
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
        """
        Return [M, N] in the type of x [M, K], with bias and residual; for act_bits 16.

        For 4 to 8 rows the tuner chooses between gemv.py and float_gemm.py.
        """
        group_size = self.spec.group_size

        def launch(choice):
            if choice == _SKINNY:
                return skinny_linear(x, self.weight, self.scale, None, self.bias, residual,
                                     group_size)
            return float_linear(x, self.weight, self.scale, group_size, self.bias, residual)

        key = len(x), *self.weight.shape, group_size, str(x.dtype)
        return launch(pick('few_float_rows', key, self._float_kernels(len(x)), launch))

    def _float_kernels(self, rows: int) -> list[dict]:
        """Return which kernels multiply so many rows of floats."""
        spec = self.spec
        if not 0 < rows <= MOST_ROWS or spec.weight_bits != 4 or spec.group_size % FINEST_GROUP:
            return [_TILES]
        return [_SKINNY] if rows < _FEWEST_TIMED else [_SKINNY, _TILES]

    def product(self, grid):
        """
        Return round(grid) @ q_w^T * s_w, for checks; grid is left alone.

        It takes a fixed configuration.
        """
        scale, group_size = self.scale, self.spec.group_size
        if self.spec.act_bits == 16:
            grid = grid.float()
            return float_linear(grid, self.weight, scale, group_size,
                                config=float_candidates(grid, group_size)[-1])
        integers, ones = grid.round().to(torch.int8), torch.ones(len(grid), device=grid.device)
        if 0 < len(grid) <= MOST_ROWS:
            return skinny_linear(integers, self.weight, scale, ones, out_dtype=torch.float32)
        config = int_candidates(integers, self.weight)[0]
        return int_linear(integers, ones, self.weight, scale, None, torch.float32, config=config)

    def __call__(self, x, residual=None):
        """Map x [M, K] to [M, N] of the same floating type, and add a residual [M, N]."""
        spec = self.spec
        block, stride = spec.hadamard_block, spec.hadamard_stride
        if spec.act_bits == 16:
            rotated = x if block == 1 else transform_rows(x, block=block, stride=stride)
            return self.multiply_floats(rotated, residual)
        if not spec.per_token:
            warn('layers with one scale for all tokens are quantized by separate operations, '
                 'which is expected to be slower than the one kernel of those with a scale each: '
                 'quantize with per_token=True')
            y = super().__call__(x)
            return y if residual is None else y + residual
        integers, row_scale = quantize_rows(x, spec.act_bits, block=block, stride=stride)
        return self.multiply(integers, row_scale, x.dtype, residual)
