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
from .cuda.pack import HALF, pack_weight
from ..numerics.hadamard import hadamard_matrix, left_multiply

_MOST_INPUTS = 2 ** 17 - 1  # of int8 products whose sums fit into int32
_ROWS, _WIDTH = 32, 16  # torch._int_mm on a GPU takes more than 16 rows, and multiples of 8
_INNER = 64  # channels of a Hadamard that one product does
_OPENED = 16  # times the weight: 4 bits in the upper half of a byte


class TorchKernel(Kernel):
    """
    One layer's weights, in 4 or 8 bits, for torch's own products on any device.

    Weights of 4 bits lie as cuda/pack.py says, but as two's complement: an opened weight is 16
    times its value, which its scale takes back.  With 16-bit activations the Hadamard's result
    and the weights are rounded to the type of x.
    """

    name = 'torch'
    bits_in_memory = 8

    @classmethod
    def bits_for(cls, spec):
        """Return as many bits as on disk."""
        return spec.weight_bits

    def __init__(self, spec, q_weight, scale, bias=None):
        """Lay out the weights on their device."""
        if not hasattr(torch, '_int_mm') or spec.in_features > _MOST_INPUTS:
            raise Unavailable('torch._int_mm needs torch >= 2.2 and at most '
                              f'{_MOST_INPUTS} inputs')
        super().__init__(spec, q_weight, scale.float(), None if bias is None else bias.float())
        self.bits_in_memory = spec.weight_bits
        missing = -spec.in_features % _WIDTH, -spec.out_features % _WIDTH
        if any(missing):
            q_weight = F.pad(q_weight, (0, missing[0], 0, missing[1]))
        if spec.weight_bits == 4:
            self.weight = pack_weight(q_weight, 4).bitwise_xor_(0x88)  # 8 is added to both halves
            self.scale = self.scale / _OPENED  # a power of two: exact
        else:
            self.weight = q_weight.contiguous()

    def _opened(self) -> torch.Tensor:
        """Return int8 [N, K], both perhaps with zeros behind: the weights, or 16 times them."""
        if self.spec.weight_bits == 8:
            return self.weight
        halves = self.weight.view(len(self.weight), -1, HALF)
        both = torch.empty(*halves.shape[:2], 2, HALF, dtype=torch.uint8,
                           device=halves.device)
        torch.bitwise_left_shift(halves, 4, out=both[:, :, 0])
        torch.bitwise_and(halves, 0xF0, out=both[:, :, 1])
        return both.view(torch.int8).flatten(1)

    def _floats(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the weights [N, K] as floats, rounded once."""
        outputs, inputs = self.spec.out_features, self.spec.in_features
        opened = self._opened()[:outputs, :inputs].view(outputs, self.scale[0].numel(), -1)
        weight = torch.empty(opened.shape, dtype=dtype, device=opened.device)
        torch.mul(opened, self.scale.view(outputs, -1, 1), out=weight)
        return weight.view(outputs, inputs)

    def transform(self, x):
        """Apply the online Hadamard to x [M, K], its inner channels in one product."""
        block, stride = self.spec.hadamard_block, self.spec.hadamard_stride
        if stride == 1:
            stride = min(block, _INNER)
            inner = hadamard_matrix(stride, x.dtype, str(x.device))
            x, block = (x.reshape(-1, stride) @ inner).view(x.shape), block // stride
        return left_multiply(x, block, stride)

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w, or grid @ weight^T."""
        if self.spec.act_bits == 16:
            return F.linear(grid, self._floats(grid.dtype))
        rows, weight = len(grid), self._opened()
        missing = weight.shape[1] - grid.shape[1], -rows % _ROWS
        integers = F.pad(grid.round_().to(torch.int8), (0, missing[0], 0, missing[1]))
        total = torch._int_mm(integers, weight.t())[:rows, :self.spec.out_features]
        return total.float().mul_(self.scale)

    def __call__(self, x):
        """Map x [M, K] to [M, N] of the same floating type."""
        if self.spec.act_bits != 16:
            return super().__call__(x)
        rotated = x if self.spec.hadamard_block == 1 else self.transform(x.float()).to(x.dtype)
        y = self.product(rotated)
        return y if self.bias is None else y.add_(self.bias)
