# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Pre-norm vision transformers that turn an image into a grid of patch features.

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
from ..kernels.attention import attend
from ..support.validation import check_counts, check_positive

STEMS = ('linear', 'conv')


@dataclass(frozen=True)
class ViTConfig:
    """
    Sizes of the encoder; the patch grid is image_size // patch_size squared.

    The linear stem leaves out what is left over at the image's right and lower edge, fewer pixels
    than a patch has: 384 px are 27 patches of 14 px and 6 px.

    class_token, registers: learned tokens in front of the patches (DINOv2 with registers), which
    take part in attention, have no position and are dropped at the end.  layer_scale: a learned
    factor a channel on both residual branches.
    """

    image_size: int = 224
    patch_size: int = 14
    width: int = 256
    depth: int = 4
    heads: int = 4
    mlp_width: int = 1024
    stem: str = 'linear'
    final_norm: bool = True
    norm_eps: float = 1e-6
    class_token: bool = False
    registers: int = 0
    layer_scale: bool = False

    def __post_init__(self):
        """Raise ConfigError for sizes that do not divide or an unknown stem."""
        check_counts(self, 'image_size', 'patch_size', 'width', 'depth', 'heads', 'mlp_width')
        check_counts(self, 'registers', least=0)
        check_positive(self, 'norm_eps')
        if self.image_size < self.patch_size or self.width % self.heads:
            raise ConfigError(
                f'image_size {self.image_size} must be at least patch_size {self.patch_size}, and '
                f'width {self.width} / heads {self.heads} a whole number')
        if self.stem not in STEMS or self.stem == 'conv' and (
                self.patch_size % 2 or self.image_size % self.patch_size):
            raise ConfigError(f'stem {self.stem!r} is not one of {STEMS} (conv: even patches, '
                              'which divide the image)')

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        side = self.image_size // self.patch_size
        return side, side

    @property
    def channels(self) -> int:
        """Return the number of image channels it takes."""
        return 3

    @property
    def family(self) -> str:
        """Return which published encoder it is like."""
        return 'DINOv2' if self.class_token else 'SigLIP'

    @property
    def prefix_tokens(self) -> int:
        """Tokens in front of the patches."""
        return int(self.class_token) + self.registers


class Stem(nn.Module):
    """What maps pixels [B, 3, H, W] to features [B, D, rows, cols]."""

    def placed(self, pixels, positions):
        """Map pixels to features plus positions [1, N, D]: [B, N, D]."""
        return self(pixels).flatten(2).transpose(1, 2) + positions


class LinearStem(Stem):
    """One strided convolution: each patch by itself."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch_size, config.patch_size)

    def forward(self, pixels):
        """Map pixels [B, 3, H, W] to features [B, D, rows, cols]."""
        return self.proj(pixels)


class ConvStem(Stem):
    """Half-size patches, a 3x3 mix of neighbours, and a strided 3x3 down to the grid."""

    def __init__(self, config: ViTConfig):
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
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x):
        """Attend over x [B, N, D]."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, -1)
        x = attend(*qkv.permute(2, 0, 3, 1, 4))  # q, k, v, each [B, H, N, d]
        return self.proj(x.transpose(1, 2).reshape(batch, length, width))


class ViTMLP(nn.Module):
    """Two linear layers with a GELU between, the exact one unless 'tanh' is asked for."""

    def __init__(self, config: ViTConfig, approximate: str = 'none'):
        super().__init__()
        self.approximate = approximate
        self.fc1 = nn.Linear(config.width, config.mlp_width)
        self.fc2 = nn.Linear(config.mlp_width, config.width)

    def forward(self, x):
        """Map x [..., D] to [..., D]."""
        return self.fc2(F.gelu(self.fc1(x), approximate=self.approximate))


class LayerScale(nn.Module):
    """A learned factor a channel."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        """Scale x [..., D]."""
        return x * self.gamma


class ViTBlock(nn.Module):
    """
    One pre-norm block.

    condition_width: of what its channels are scaled and shifted by between attention and
    feed-forward (FiLM, Perez et al., arXiv 1709.07871); 0 for none.
    """

    def __init__(self, config: ViTConfig, condition_width: int = 0):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = ViTAttention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = ViTMLP(config)
        self.ls1 = LayerScale(config.width) if config.layer_scale else nn.Identity()
        self.ls2 = LayerScale(config.width) if config.layer_scale else nn.Identity()
        self.scale, self.shift = (
            nn.Linear(condition_width, config.width) if condition_width else None
            for _ in range(2))
        self.native = None  # what does all of it in one call, see native_vision.py

    def __getstate__(self):
        """Leave out of copies what holds the addresses of this block's weights."""
        return {**self.__dict__, 'native': None}

    def forward(self, x, condition=None):
        """Map x [B, N, D] to [B, N, D]; condition: [B or 1, E], where the block takes one."""
        if self.native is not None and self.native.serves(x):
            return self.native(x)
        x = x + self.ls1(self.attn(self.norm1(x)))
        if self.scale is not None:
            x = x * (1 + self.scale(condition)[:, None]) + self.shift(condition)[:, None]
        return x + self.ls2(self.mlp(self.norm2(x)))


class ViT(nn.Module):
    """Image to patch features, row-major over the grid."""

    def __init__(self, config: ViTConfig, condition_width: int = 0):
        """condition_width: see ViTBlock."""
        super().__init__()
        self.config = config
        self.patch_embed = (LinearStem if config.stem == 'linear' else ConvStem)(config)
        self.pos_embed = nn.Parameter(
            torch.empty(1, config.grid[0] * config.grid[1], config.width).normal_(std=0.02))
        self.cls_token = (nn.Parameter(torch.zeros(1, 1, config.width))
                          if config.class_token else None)
        self.reg_token = (nn.Parameter(torch.zeros(1, config.registers, config.width))
                          if config.registers else None)
        self.blocks = nn.ModuleList(
            ViTBlock(config, condition_width) for _ in range(config.depth))
        self.norm = (nn.LayerNorm(config.width, eps=config.norm_eps)
                     if config.final_norm else nn.Identity())

    def forward(self, pixels, pool: int = 1, condition=None):
        """
        Map pixels [B, 3, H, W] (normalised floats) to features [B, N, D].

        pool > 1 averages pool x pool patches behind the stem: the coarse grid that training
        may start on.  condition: see ViTBlock.
        """
        x = self.patch_embed.placed(pixels, self.pos_embed)
        if pool > 1:
            rows, cols = self.config.grid
            x = x.view(x.shape[0], rows // pool, pool, cols // pool, pool, -1).mean((2, 4))
            x = x.flatten(1, 2)
        x = self._with_prefix(x)
        for block in self.blocks:
            x = block(x, condition)
        return self.norm(x[:, self.config.prefix_tokens:])

    def _with_prefix(self, x):
        """Put class and register tokens in front of the patches x [B, N, D]."""
        tokens = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.reg_token)
                  if token is not None]
        return torch.cat([*tokens, x], dim=1) if tokens else x


@dataclass(frozen=True)
class FusedViTConfig:
    """DINOv2 and SigLIP side by side: their features of each patch are put together."""

    dino: ViTConfig
    siglip: ViTConfig

    def __post_init__(self):
        """Raise ConfigError unless both see the same patches."""
        if self.dino.grid != self.siglip.grid or self.image_size != self.siglip.image_size:
            raise ConfigError(
                f'both vision encoders must cut the image alike: {self.dino.image_size} px into '
                f'{self.dino.grid} and {self.siglip.image_size} px into {self.siglip.grid}')

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.dino.image_size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        return self.dino.grid

    @property
    def width(self) -> int:
        """Channels of a patch's features."""
        return self.dino.width + self.siglip.width

    @property
    def channels(self) -> int:
        """Return the number of channels it takes: the image once for each encoder."""
        return self.dino.channels + self.siglip.channels


class FusedViT(nn.Module):
    """Two encoders over two normalisations of one image, stacked on the channel axis."""

    def __init__(self, config: FusedViTConfig, condition_width: int = 0):
        """condition_width: see ViTBlock."""
        super().__init__()
        self.config = config
        self.dino = ViT(config.dino, condition_width)
        self.siglip = ViT(config.siglip, condition_width)

    def forward(self, pixels, pool: int = 1, condition=None):
        """Map pixels [B, 6, H, W], DINOv2's channels first, to features [B, N, D1 + D2]."""
        first, second = pixels.split(3, dim=1)
        return torch.cat([self.dino(first, pool, condition),
                          self.siglip(second, pool, condition)], dim=-1)


def make_vision(config: ViTConfig | FusedViTConfig, condition_width: int = 0) -> nn.Module:
    """Return the encoder that a config describes; condition_width: see ViTBlock."""
    kind = FusedViT if isinstance(config, FusedViTConfig) else ViT
    return kind(config, condition_width)
