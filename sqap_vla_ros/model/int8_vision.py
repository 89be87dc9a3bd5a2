# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A vision encoder and its projector that multiply in 8 bits, for CPUs without AMX.

Weights are rounded to nearest with a scale a channel, rows of activations with a scale each.  With
the native kernels a convolutional stem is theirs too, each place of its output a row, and a block
is one native call, whose attention is rounded as docs/cpu_kernels.md says; elsewhere linear layers
run on what torch has, with attention of floats.  A strided stem stays in float32, and norms, the
residual stream and FiLM's factors do everywhere.
"""

from __future__ import annotations

import logging

from torch import nn

from .native_layers import kernel_of
from .native_stem import NativeProjector, NativeStem
from .native_vision import use_native_vision
from .vit import ConvStem, ViT
from .vla import VLA
from ..kernels import native_reason, serving_kernel
from ..kernels.native import in_8_bits, NativeKernel
from ..quant import QuantLinear

_log = logging.getLogger(__name__)
PRECISION = 'w8a8'


def use_int8_vision(model: VLA) -> int:
    """
    Have a network that only infers encode images in 8 bits, in place; return how many layers do.

    The encoder's features and the visual tokens are float32 as before.  Raises ConfigError for
    weights that are not finite.
    """
    count, parents = 0, [model.projector]
    for encoder in (module for module in model.vision.modules() if isinstance(module, ViT)):
        if isinstance(encoder.patch_embed, ConvStem) and _is_native(encoder.patch_embed):
            encoder.patch_embed = NativeStem(encoder.patch_embed, in_8_bits)
            count += 3
        for block in encoder.blocks:
            parents += [block.attn, block.mlp]
    rows = model.config.num_visual
    count += sum(_rounded(parent, rows) for parent in parents)
    _log.info('%d layers of the vision encoder and projector multiply in 8 bits', count)
    if all(isinstance(kernel_of(layer), NativeKernel) for layer in model.projector[::2]):
        model.projector = NativeProjector(*model.projector)
    use_native_vision(model)
    return count


def _rounded(parent: nn.Module, rows: int) -> int:
    """Replace a module's own linear layers; return how many there were."""
    layers = [(name, child) for name, child in parent.named_children()
              if type(child) is nn.Linear]
    for name, child in layers:
        layer = QuantLinear.from_linear(child, PRECISION)
        layer.prepare(rows, release=True)
        setattr(parent, name, layer)
    return len(layers)


def _is_native(stem: ConvStem) -> bool:
    """Return whether the native kernels multiply a stem's weights, and exactly."""
    return not native_reason() and all(
        serving_kernel(layer.weight[0].numel(), 8, 8) is NativeKernel for layer in stem.children())
