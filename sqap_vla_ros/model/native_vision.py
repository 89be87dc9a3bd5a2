# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Blocks of a vision encoder on a CPU in one native call each, in float32 or quantized.

Norms, attention, GELU and residuals happen beside the products, and float weights lie in the
native kernels' panels.  A block gives what vit.py's gives, but for the order of sums (1e-6) and,
in front of layers that round, for attention that is rounded with AMX and VNNI and a GELU within
3e-5.
SQAP_VLA_CPU_BLOCKS=plain leaves the plain ones.
"""

from __future__ import annotations

import torch
from torch import nn

from .native_layers import check_layers, give_native, Held, kernel_of, packed
from .vit import LayerScale, ViTBlock
from ..errors import ConfigError
from ..kernels.native_block import VitBlockKernel


class NativeVitBlock:
    """What ViTBlock.forward does without a condition, by one call."""

    def __init__(self, block: ViTBlock):
        """
        Take a block whose kernels are made, and move its float32 weights into panels.

        Raises ConfigError, saying why, and leaves the block as it is, if that can't be.
        """
        _check_form(block)
        attention, mlp = block.attn, block.mlp
        groups = (attention, ('qkv', 'proj')), (mlp, ('fc1', 'fc2'))
        kernels = [kernel_of(layer) for group in groups for layer in packed(*group)]
        norms = [(norm.weight.detach(), norm.bias.detach(), norm.eps)
                 for norm in (block.norm1, block.norm2)]
        scales = [scale.gamma.detach() if isinstance(scale, LayerScale) else None
                  for scale in (block.ls1, block.ls2)]
        self._held = Held(
            [(block, ('norm1', 'attn', 'ls1', 'norm2', 'mlp', 'ls2')), *groups],
            [(block.norm1, 'eps'), (block.norm2, 'eps'), (attention, 'heads'),
             (mlp, 'approximate')])
        self._kernel = VitBlockKernel(kernels, norms, attention.heads, mlp.approximate == 'tanh',
                                      scales)

    def serves(self, x) -> bool:
        """Whether it can run on x, see Held."""
        return self._held.serves(x)

    def __call__(self, x):
        """Map x [B, N, D] to [B, N, D]."""
        return self._kernel(x.contiguous())


def _check_form(block: ViTBlock) -> None:
    """Raise ConfigError unless a block and its layers are those that native/vit.h knows."""
    if block.scale is not None:
        raise ConfigError('the prompt modulates it')
    for norm in (block.norm1, block.norm2):
        if type(norm) is not nn.LayerNorm or norm.weight.dtype != torch.float32:
            raise ConfigError('a norm is not a LayerNorm in float32')
    check_layers((block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2))


def use_native_vision(model: nn.Module) -> int:
    """
    Give a network's vision blocks on a CPU their one call where they can; return how many can.

    Quantized layers' kernels must be made; float32 weights are moved into panels where a block is
    served.  See give_native.
    """
    blocks = [module for module in model.vision.modules() if isinstance(module, ViTBlock)]
    return give_native(blocks, NativeVitBlock, 'vision encoder')
