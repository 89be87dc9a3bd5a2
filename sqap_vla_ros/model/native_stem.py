# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is in front of and behind a vision encoder's blocks, by native products that round."""

from __future__ import annotations

import math

from torch import nn

from .native_layers import kernel_of
from .vit import ConvStem, Stem
from ..kernels.native_convolution import NativeConvolution


class NativeStem(Stem):
    """What ConvStem does, by native convolutions."""

    def __init__(self, stem: ConvStem, product):
        """Take over a stem's weights, rounded; product and what is raised: NativeConvolution's."""
        super().__init__()
        self.proj = NativeConvolution(stem.proj, product, planar=True)
        self.mix, self.down = (
            NativeConvolution(layer, product) for layer in (stem.mix, stem.down))

    @property
    def product(self):
        """Return what its last convolution multiplies by."""
        return self.down.product

    def forward(self, pixels):
        """Map pixels [B, 3, H, W] to features [B, D, rows, cols], channels last in memory."""
        return self._features(pixels).permute(0, 3, 1, 2)

    def placed(self, pixels, positions):
        """Do what Stem.placed does, without a pass of its own; grids are square."""
        side = math.isqrt(positions.shape[1])
        base = positions.view(1, side, side, -1).expand(len(pixels), -1, -1, -1).contiguous()
        return self._features(pixels, base).flatten(1, 2)

    def _features(self, pixels, base=None):
        x = self.proj(pixels.contiguous(), gelu=True)
        return self.down(self.mix(x, gelu=True, to=x), base=base)


class NativeProjector(nn.Sequential):
    """Layers with native products, with an exact GELU behind each but the last."""

    def forward(self, x):
        """Map x [..., in], float32, to [..., out]."""
        kernels = [kernel_of(layer) for layer in list(self)[::2]]
        rows = x.reshape(-1, x.shape[-1])
        for kernel in kernels:
            rows = kernel.answer(rows, gelu=kernel is not kernels[-1])
        return rows.view(*x.shape[:-1], rows.shape[-1])
