# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantized layers by the products that torch brings along, for GPUs without the Triton kernels.

Integer activations are multiplied in int8 by torch._int_mm (cuBLASLt on a GPU), exactly; floats by
an ordinary product with weights of their own type.  Weights of 4 bits stay so in memory, which is
what they were chosen for, and are opened before each product: that writes and reads a byte more
for each of them (a float where they meet floats), in memory that the next layer uses again.  So
w8a8, whose weights are multiplied as they are, is expected to be the faster precision here (not
measured).  Nothing waits for the device.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .base import Kernel, Unavailable
from .cuda.pack import float_weight, OPENED, opened, pack_weight

_MOST_INPUTS = 2 ** 17 - 1  # of int8 products whose sums fit into int32
_ROWS, _WIDTH = 32, 16  # torch._int_mm on a GPU takes more than 16 rows, and multiples of 8


class TorchKernel(Kernel):
    """
    One layer's weights, in 4 or 8 bits, for torch's own products on any device.

    Weights lie as cuda/pack.py says.  With 16-bit activations the Hadamard's result and the
    weights are rounded to the type of x.
    """

    name = 'torch'

    def __init__(self, spec, q_weight, scale, bias=None):
        """Lay out the weights on their device."""
        if spec.in_features > _MOST_INPUTS:
            raise Unavailable(f'torch._int_mm serves at most {_MOST_INPUTS} inputs')
        super().__init__(spec, q_weight, scale.float(), None if bias is None else bias.float())
        missing = -spec.in_features % _WIDTH, -spec.out_features % _WIDTH
        if any(missing):
            q_weight = F.pad(q_weight, (0, missing[0], 0, missing[1]))
        self.weight = pack_weight(q_weight, spec.weight_bits)

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w, or grid @ weight^T."""
        if self.spec.act_bits == 16:
            return F.linear(grid, float_weight(self.weight, self.scale, grid.shape[1], grid.dtype))
        rows, weight, scale = len(grid), self.weight, self.scale
        if weight.dtype == torch.uint8:
            weight, scale = opened(weight), scale / OPENED  # a power of two: exact
        missing = weight.shape[1] - grid.shape[1], -rows % _ROWS
        integers = F.pad(grid.round_().to(torch.int8), (0, missing[0], 0, missing[1]))
        total = torch._int_mm(integers, weight.t())[:rows, :self.spec.out_features]
        return total.float().mul_(scale)

    def __call__(self, x, visual=None):
        """Map x [M, K] to [M, N] of the same floating type; see Kernel."""
        if self.spec.act_bits != 16:
            return super().__call__(x, visual)
        rotated = x if self.spec.hadamard_block == 1 else self.transform(x.float()).to(x.dtype)
        y = self.product(rotated)
        return y if self.bias is None else y.add_(self.bias)
