# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Quantized queries and keys: what attention, and so the choice of tokens, is made of."""

from __future__ import annotations

from torch import nn

from ..numerics.hadamard import hadamard_transform
from ..numerics.int4 import activation_scale, integer_range


class QKQuantizer(nn.Module):
    """
    Round Q or K after the rotary embedding, per token and head, in a rotated basis.

    Both are rotated alike, so that Q K^T stays what it was but for the rounding.
    """

    def __init__(self, bits: int, rotate: bool = True):
        """Take 4 or 8 bits; rotate puts a Hadamard on the head dimension first."""
        super().__init__()
        integer_range(bits)
        self.bits, self.rotate = bits, rotate

    def forward(self, x):
        """Return x [B, H, S, d] with the values that `bits` leave of it, still rotated."""
        if self.rotate:
            x = hadamard_transform(x)
        scale = activation_scale(x, self.bits)
        return (x / scale).round_().mul_(scale).to(x.dtype)
