# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A vision encoder and its projector that multiply in bfloat16, for CPUs that do so fast.

Products, convolutions, attention and GELU are bfloat16's; norms and the residual stream between
the blocks stay in float32, which costs a pass over the tokens a norm and keeps small changes that
a stream of 8 bits would lose.  FiLM's factors stay in float32, too.
"""

from __future__ import annotations

import logging

import torch
from torch import nn

from .vit import ViT
from .vla import VLA

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


def use_bfloat16_vision(model: VLA) -> int:
    """
    Have a network that only infers encode images in bfloat16, in place; return how many layers do.

    The encoder's features and the visual tokens are float32 as before.  Layers that are quantized
    or packed already stay as they are; loading/vision_type.py lets none pass.
    """
    parents = [model.projector]
    for encoder in (module for module in model.vision.modules() if isinstance(module, ViT)):
        parents.append(encoder.patch_embed)
        for block in encoder.blocks:
            parents += [block.attn, block.mlp]
    count = sum(map(_rounded, parents))
    _log.info('%d layers of the vision encoder and projector multiply in bfloat16', count)
    return count


def _rounded(parent: nn.Module) -> int:
    """Replace a module's own linear layers and convolutions; return how many there were."""
    layers = [(name, child) for name, child in parent.named_children()
              if type(child) in (nn.Linear, nn.Conv2d)]
    for name, child in layers:
        setattr(parent, name, Bfloat16Layer(child))
    return len(layers)
