# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A pre-norm vision transformer that turns an image into a grid of patch features.

Parameter names follow timm.  The patch stem is the usual strided convolution, or a short
convolutional one (patches of half the size, mixed with their neighbours), which learns to
localise from fewer images; the transformer behind it is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ConfigError

STEMS = ('linear', 'conv')


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of the encoder; the patch grid is image_size / patch_size squared."""

    image_size: int = 224
    patch_size: int = 14
    width: int = 256
    depth: int = 4
    heads: int = 4
    mlp_width: int = 1024
    stem: str = 'linear'
    final_norm: bool = True
    norm_eps: float = 1e-6

    def __post_init__(self):
        """Raise ConfigError for sizes that do not divide or an unknown stem."""
        if self.image_size % self.patch_size or self.width % self.heads:
            raise ConfigError(
                f'image_size {self.image_size} / patch_size {self.patch_size} and width '
                f'{self.width} / heads {self.heads} must be whole numbers')
        if self.stem not in STEMS or (self.stem == 'conv' and self.patch_size % 2):
            raise ConfigError(f'stem {self.stem!r} is not one of {STEMS} (conv: even patches)')

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        side = self.image_size // self.patch_size
        return side, side


class LinearStem(nn.Module):
    """One strided convolution: each patch by itself."""

    def __init__(self, config: ViTConfig):
        """Make the convolution under timm's name."""
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch_size, config.patch_size)

    def forward(self, pixels):
        """Map pixels [B, 3, H, W] to features [B, D, rows, cols]."""
        return self.proj(pixels)


class ConvStem(nn.Module):
    """Half-size patches, a 3x3 mix of neighbours, and a strided 3x3 down to the grid."""

    def __init__(self, config: ViTConfig):
        """Make the three convolutions; the inner ones have half the width."""
        super().__init__()
        half, size = config.width // 2, config.patch_size // 2
        self.proj = nn.Conv2d(3, half, size, size)
        self.mix = nn.Conv2d(half, half, 3, padding=1)
        self.down = nn.Conv2d(half, config.width, 3, stride=2, padding=1)

    def forward(self, pixels):
        """Map pixels [B, 3, H, W] to features [B, D, rows, cols]."""
        x = F.gelu(self.proj(pixels))
        return self.down(x + F.gelu(self.mix(x)))


class ViTAttention(nn.Module):
    """Full self-attention with one fused projection."""

    def __init__(self, config: ViTConfig):
        """Make the fused qkv and the output projection."""
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x):
        """Attend over x [B, N, D]."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, N, d]
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, length, width))


class ViTMLP(nn.Module):
    """Two linear layers with the exact GELU between."""

    def __init__(self, config: ViTConfig):
        """Make both layers under timm's names."""
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_width)
        self.fc2 = nn.Linear(config.mlp_width, config.width)

    def forward(self, x):
        """Map x [..., D] to [..., D]."""
        return self.fc2(F.gelu(self.fc1(x)))


class ViTBlock(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: ViTConfig):
        """Make the block's parts under timm's names."""
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = ViTAttention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = ViTMLP(config)

    def forward(self, x):
        """Map x [B, N, D] to [B, N, D]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Image to patch features, row-major over the grid."""

    def __init__(self, config: ViTConfig):
        """Make an encoder with torch's default initialisation."""
        super().__init__()
        self.config = config
        rows, cols = config.grid
        self.patch_embed = (LinearStem if config.stem == 'linear' else ConvStem)(config)
        self.pos_embed = nn.Parameter(torch.randn(1, rows * cols, config.width) * 0.02)
        self.blocks = nn.ModuleList(ViTBlock(config) for _ in range(config.depth))
        self.norm = (nn.LayerNorm(config.width, eps=config.norm_eps)
                     if config.final_norm else nn.Identity())

    def forward(self, pixels, pool: int = 1):
        """
        Map pixels [B, 3, H, W] (normalised floats) to features [B, N, D].

        pool > 1 averages pool x pool patches behind the stem: the coarse grid that training
        may start on.
        """
        x = self.patch_embed(pixels).flatten(2).transpose(1, 2) + self.pos_embed  # [B, N, D]
        if pool > 1:
            rows, cols = self.config.grid
            x = x.view(x.shape[0], rows // pool, pool, cols // pool, pool, -1).mean((2, 4))
            x = x.flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
