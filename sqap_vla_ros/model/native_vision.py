# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Blocks of a vision encoder on a CPU in one native call each, in float32 or quantized.

Norms, attention, GELU and residuals happen beside the products, and float weights lie in the
native kernels' panels.  A block gives what vit.py's gives, but for the order of sums (1e-6).
SQAP_VLA_CPU_BLOCKS=plain leaves the plain ones.
"""

from __future__ import annotations

import logging

import torch
from torch import nn

from .native_blocks import Held, wants_native
from .vit import LayerScale, ViTBlock
from ..errors import ConfigError
from ..kernels import native_reason
from ..kernels.float_layers import PlainLinear
from ..kernels.native import NativeKernel
from ..kernels.native_block import VitBlockKernel
from ..kernels.native_float import NativeFloat
from ..quant.linear import QuantLinear

_log = logging.getLogger(__name__)


class NativeVitBlock:
    """What ViTBlock.forward does without a condition, by one call."""

    def __init__(self, block: ViTBlock):
        """Take a block, whose float layers are packed; raise ConfigError, saying why, if not."""
        _check_form(block)
        attention, mlp = block.attn, block.mlp
        for parent, names in ((attention, ('qkv', 'proj')), (mlp, ('fc1', 'fc2'))):
            for name in names:
                layer = getattr(parent, name)
                if type(layer) is nn.Linear:
                    setattr(parent, name, packed(layer))
        self._layers = [(layer, _kernel(layer))
                        for layer in (attention.qkv, attention.proj, mlp.fc1, mlp.fc2)]
        norms = [(norm.weight.detach(), norm.bias.detach(), norm.eps)
                 for norm in (block.norm1, block.norm2)]
        scales = [scale.gamma.detach() if isinstance(scale, LayerScale) else None
                  for scale in (block.ls1, block.ls2)]
        self._held = Held((block.norm1, block.norm2, block.ls1, block.ls2), (block.norm1, 'eps'),
                          (block.norm2, 'eps'), (attention, 'heads'), (mlp, 'approximate'))
        self._kernel = VitBlockKernel(
            [kernel for _, kernel in self._layers], norms, attention.heads,
            mlp.approximate == 'tanh', scales)

    def serves(self, x) -> bool:
        """Whether it can run on x; not with gradients or once a part is another one."""
        return (x.dtype == torch.float32 and x.device.type == 'cpu'
                and not (torch.is_grad_enabled() and x.requires_grad)
                and all(_kernel(layer) is kernel for layer, kernel in self._layers)
                and self._held.is_the_same())

    def __call__(self, x):
        """Map x [B, N, D] to [B, N, D]."""
        return self._kernel(x.contiguous())


def packed(layer: nn.Linear) -> PlainLinear:
    """Return a plain layer with its weights in the native kernels' panels."""
    return PlainLinear(layer, product=lambda weight, rows: NativeFloat(weight, layer.bias))


def _kernel(layer: nn.Module):
    """Return what multiplies, None for a layer that was not packed."""
    return layer.kernel if isinstance(layer, QuantLinear) else getattr(layer, 'multiply', None)


def _check_form(block: ViTBlock) -> None:
    """Raise ConfigError unless a block and its layers are those that native/vit.h knows."""
    if block.scale is not None:
        raise ConfigError('the prompt modulates it')
    for norm in (block.norm1, block.norm2):
        if type(norm) is not nn.LayerNorm or norm.weight.dtype != torch.float32:
            raise ConfigError('a norm is not a LayerNorm in float32')
    for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
        kernel = _kernel(layer)
        if type(layer) is nn.Linear and layer.weight.dtype == torch.float32:
            continue
        if not isinstance(kernel, (NativeKernel, NativeFloat)):
            raise ConfigError(f'a layer is a {type(layer).__name__} without a native kernel')
        if isinstance(kernel, NativeKernel) and not kernel.spec.per_token and (
                kernel.spec.act_bits != 16):
            raise ConfigError('a layer has one scale for all tokens')


def use_native_vision(model: nn.Module) -> int:
    """
    Give a network's vision blocks on a CPU their one call where they can; return how many can.

    Quantized layers' kernels must be made; float layers are packed.  The others stay as they are,
    and the log says why at its debug level.  Raises ConfigError as native_blocks.wants_native.
    """
    blocks = [module for module in model.vision.modules() if isinstance(module, ViTBlock)]
    served, native = 0, wants_native() and not native_reason()
    for index, block in enumerate(blocks):
        block.native = None
        try:
            block.native = NativeVitBlock(block) if native else None
        except ConfigError as reason:
            _log.debug('block %d of the vision encoder runs layer by layer: %s', index, reason)
        served += block.native is not None
    _log.info('%d of %d vision blocks run in one native call each', served, len(blocks))
    return served
