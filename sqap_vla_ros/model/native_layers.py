# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What blocks in one native call have in common: their layers, what they notice, who gets one.

Layers are quantized ones whose kernels are native, those of bfloat16 in panels, and float32 ones,
whose weights are moved into panels: so they are in memory once, and serve in a block and layer by
layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import logging
import os

import torch
from torch import nn

from ..errors import ConfigError
from ..kernels import native_reason
from ..kernels.float_layers import PlainLinear
from ..kernels.native import NativeKernel
from ..kernels.native_bfloat16 import NativeBfloat16
from ..kernels.native_float import NativeFloat
from ..quant.linear import QuantLinear

_log = logging.getLogger(__name__)
VARIABLE = 'SQAP_VLA_CPU_BLOCKS'
WAYS = ('native', 'plain')


class Held:
    """
    What C++ was given of a block: modules, their kernels and parameters' addresses, and values.

    It holds no block itself, which holds it: so weights are free once a model is dropped.
    """

    def __init__(self, modules: Sequence[tuple[nn.Module, Sequence[str]]],
                 values: Sequence[tuple[nn.Module, str]]):
        """Take children by (parent, names), and other attributes by (child, name)."""
        self._modules = [(parent._modules, name, getattr(parent, name))
                         for parent, names in modules for name in names]
        children = [child for _, _, child in self._modules]
        self._kernels = [(child, kernel_of(child)) for child in children
                         if kernel_of(child) is not None]
        self._places = [(child, name, parameter.data_ptr()) for child in children
                        for name, parameter in child.named_parameters(recurse=False)]
        self._values = [(child, name, getattr(child, name)) for child, name in values]

    def serves(self, x: torch.Tensor) -> bool:
        """
        Whether a block can run on x: in float32 on a CPU, without gradients, with its own parts.

        What was changed in place is seen by C++, too.
        """
        return (x.dtype == torch.float32 and x.device.type == 'cpu'
                and not (torch.is_grad_enabled() and x.requires_grad)
                and all(place[name] is child for place, name, child in self._modules)
                and all(kernel_of(child) is kernel for child, kernel in self._kernels)
                and all(getattr(child, name) == value for child, name, value in self._values)
                and all(getattr(child, name).data_ptr() == address
                        for child, name, address in self._places))


def kernel_of(layer: nn.Module):
    """Return what multiplies in a linear layer, None in one of torch's."""
    return layer.kernel if isinstance(layer, QuantLinear) else getattr(layer, 'multiply', None)


def check_layers(layers: Sequence[nn.Module]) -> None:
    """Raise ConfigError, saying why, unless blocks in one call can have these layers together."""
    for layer in layers:
        kernel, weight = kernel_of(layer), getattr(layer, 'weight', None)
        if type(layer) is nn.Linear and weight.dtype == torch.float32 and (
                weight.device.type == 'cpu'):
            continue
        if type(layer) is nn.Linear:
            raise ConfigError(f'a layer is in {weight.dtype} on {weight.device}')
        if not isinstance(kernel, (NativeKernel, NativeFloat, NativeBfloat16)):
            raise ConfigError(f'a layer is a {type(layer).__name__} without a native kernel '
                              f'(backend {getattr(kernel, "name", "not chosen")})')
        if isinstance(kernel, NativeKernel) and not kernel.spec.per_token and (
                kernel.spec.act_bits != 16):
            raise ConfigError('a layer has one scale for all tokens')
    made = [layer for layer in layers if kernel_of(layer) is not None]
    if len({kernel_of(layer).level_used for layer in made}) > 1:
        raise ConfigError('its layers run at several levels of instructions')
    if sum(map(_outputs, made)) != sum(kernel.outputs for kernel in set(map(kernel_of, made))):
        raise ConfigError('layers that read the same have kernels that serve others too')


def _outputs(layer: nn.Module) -> int:
    return layer.spec.out_features if isinstance(layer, QuantLinear) else layer.out_features


def packed(parent: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Move float32 layers' weights into panels, each freeing its plain ones; return the layers."""
    for name in names:
        layer = getattr(parent, name)
        if type(layer) is nn.Linear:
            setattr(parent, name, PlainLinear(
                layer, product=lambda weight, rows: NativeFloat(weight, layer.bias)))
    return [getattr(parent, name) for name in names]


def wants_native() -> bool:
    """Return whether blocks shall run natively; raise ConfigError for an unknown word."""
    way = os.environ.get(VARIABLE) or WAYS[0]
    if way not in WAYS:
        raise ConfigError(f'the environment variable {VARIABLE} is {way!r}: use one of {WAYS}')
    return way == 'native'


def give_native(blocks: Sequence[nn.Module], make: Callable, part: str) -> int:
    """
    Give blocks of a part of a network their one call where they can have it; return how many can.

    make: returns what does a block's work, or raises ConfigError: then the block stays as it is,
    and the log says why at its debug level.  Raises ConfigError as wants_native does.
    """
    native, served = wants_native() and not native_reason(), 0
    for index, block in enumerate(blocks):
        block.native = None
        try:
            block.native = make(block) if native else None
        except ConfigError as reason:
            _log.debug('block %d of the %s runs layer by layer: %s', index, part, reason)
        served += block.native is not None
    _log.info('%d of %d blocks of the %s run in one native call each', served, len(blocks), part)
    return served
