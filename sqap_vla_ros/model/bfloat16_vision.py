# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A vision encoder and its projector that multiply in bfloat16, for CPUs that do so fast.

With AMX and the native kernels, linear layers, attention and the stem's convolutions are theirs, a
block is one native call, and what lies between its products is rounded where the next reads it.
Elsewhere products, attention and GELU are torch's (oneDNN's).  Norms and the residual stream
between the blocks stay in float32, which costs a pass over the tokens a norm and keeps small
changes that a stream of 8 bits would lose.  FiLM's factors stay in float32, too.
"""

from __future__ import annotations

import logging

import torch
from torch import nn

from .native_layers import kernel_of
from .native_stem import NativeProjector, NativeStem
from .native_vision import use_native_vision
from .vit import ConvStem, ViT
from .vla import VLA
from ..kernels import native_reason
from ..kernels.float_layers import PlainLinear
from ..kernels.native_bfloat16 import multiplies_halves, NativeBfloat16

_log = logging.getLogger(__name__)


class Bfloat16Layer(nn.Module):
    """A linear layer or convolution that multiplies, and answers, in bfloat16."""

    def __init__(self, layer: nn.Linear | nn.Conv2d):
        """Take over a layer, whose weights are rounded in their place."""
        super().__init__()
        for name, parameter in list(layer.named_parameters()):
            rounded = parameter.detach().to(torch.bfloat16)
            setattr(layer, name, nn.Parameter(rounded, requires_grad=False))
        self.layer = layer

    def forward(self, x):
        """Map what the layer maps, in any float type, to bfloat16."""
        return self.layer(x.to(torch.bfloat16))


def in_bfloat16(module: nn.Module) -> bool:
    """Return whether a module is one that use_bfloat16_vision puts in, here or with AMX."""
    product = module.product if isinstance(module, NativeStem) else kernel_of(module)
    return isinstance(module, Bfloat16Layer) or isinstance(product, NativeBfloat16)


def use_bfloat16_vision(model: VLA) -> int:
    """
    Have a network that only infers encode images in bfloat16, in place; return how many layers do.

    The encoder's features and the visual tokens are float32 as before.  Layers that are quantized
    or packed already stay as they are; loading/vision_type.py lets none pass.
    """
    native, count = not native_reason() and multiplies_halves(), 0
    parents = [model.projector]
    for encoder in (module for module in model.vision.modules() if isinstance(module, ViT)):
        if native and isinstance(encoder.patch_embed, ConvStem):
            encoder.patch_embed = NativeStem(encoder.patch_embed, NativeBfloat16)
            count += 3
        parents.append(encoder.patch_embed)
        for block in encoder.blocks:
            parents += [block.attn, block.mlp]
    count += sum(_rounded(parent, native) for parent in parents)
    _log.info('%d layers of the vision encoder and projector multiply in bfloat16', count)
    if native:
        if all(in_bfloat16(layer) for layer in model.projector[::2]):
            model.projector = NativeProjector(*model.projector)
        use_native_vision(model)
    return count


def _rounded(parent: nn.Module, native: bool) -> int:
    """Replace a module's own linear layers and convolutions; return how many there were."""
    layers = [(name, child) for name, child in parent.named_children()
              if type(child) in (nn.Linear, nn.Conv2d)]
    for name, child in layers:
        setattr(parent, name, _packed(child) if native and type(child) is nn.Linear
                else Bfloat16Layer(child))
    return len(layers)


def _packed(layer: nn.Linear) -> PlainLinear:
    """Return a layer of the same weights, rounded, in the native kernels' panels."""
    return PlainLinear(layer, product=lambda weight, rows: NativeBfloat16(weight, layer.bias))
