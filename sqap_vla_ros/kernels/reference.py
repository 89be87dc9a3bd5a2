# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The reference: plain torch on any device, exact in integers, made to be right and not fast."""

from __future__ import annotations

from .base import dequantize, Kernel
from ..numerics.hadamard import hadamard_transform


class ReferenceKernel(Kernel):
    """Products in float64, which holds every integer sum that can occur exactly."""

    name = 'reference'

    @classmethod
    def bits_for(cls, spec):
        """Return 8: one integer a byte."""
        return 8

    def __init__(self, spec, q_weight, scale, bias=None):
        """Keep the integers as they are."""
        super().__init__(spec, q_weight, scale, bias)
        self.q_weight = q_weight

    def transform(self, x):
        """Apply the online Hadamard to x [M, K]."""
        return hadamard_transform(x, self.spec.hadamard_block, self.spec.hadamard_stride)

    def product(self, grid):
        """Return round(grid) @ q_w^T * s_w."""
        if self.spec.act_bits == 16:
            return (grid.double() @ dequantize(self.q_weight, self.scale).double().t()).float()
        y = grid.round().double() @ self.q_weight.double().t()
        return y.float() * self.scale
