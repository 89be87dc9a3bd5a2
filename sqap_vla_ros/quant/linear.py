# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""QuantLinear: packed weights as buffers, and a kernel chosen when it first runs."""

from __future__ import annotations

import dataclasses
from itertools import groupby
import weakref

import torch
from torch import nn

from .gptq import gptq_weight
from ..errors import ConfigError
from ..kernels import Kernel, LinearSpec, make_kernel
from ..numerics.hadamard import hadamard_transform
from ..numerics.int4 import pack_int4, quantize_weight, spread_scale, unpack_int4
from ..numerics.precision import parse_precision
from ..numerics.visual_rows import VisualRows


class QuantLinear(nn.Module):
    """
    A linear layer with integer weights, dynamic activation scales and an optional Hadamard.

    Buffers: `weight` uint8 [out, in / 2] (4 bits) or int8 [out, in] (8 bits), `scale` float32
    [out] or [out, in / group_size], `bias` [out] or None.  The weights of a layer with an online
    Hadamard are stored transformed, so that the layer computes the plain one's function.
    """

    def __init__(self, in_features: int, out_features: int, precision: str, bias: bool = False,
                 hadamard_block: int = 1, hadamard_stride: int = 1, per_token: bool = True,
                 group_size: int = 0):
        """Make empty buffers; raise ConfigError for 'fp', an odd width or a block that fails."""
        super().__init__()
        bits = parse_precision(precision)
        if bits.weight_bits == 16:
            raise ConfigError(f'precision {precision!r} needs no QuantLinear')
        if bits.weight_bits == 4 and in_features % 2:
            raise ConfigError(
                f'a layer of {in_features} inputs cannot be packed to 4 bits: the width must '
                'be even (override it with w8a8 or fp)')
        self.precision = precision
        self.spec = LinearSpec(in_features, out_features, bits.weight_bits, bits.act_bits,
                               hadamard_block, hadamard_stride, per_token, group_size,
                               bits.text_bits)
        packed = bits.weight_bits == 4
        self.register_buffer('weight', torch.zeros(
            out_features, in_features // (2 if packed else 1),
            dtype=torch.uint8 if packed else torch.int8))
        groups = (in_features // group_size,) if group_size else ()
        self.register_buffer('scale', torch.ones(out_features, *groups))
        self.register_buffer('bias', torch.zeros(out_features) if bias else None)
        self._kernel: Kernel | None = None
        self._group: _Group | None = None

    @classmethod
    def from_linear(cls, linear: nn.Linear, precision: str, hessian=None,
                    **options) -> QuantLinear:
        """
        Quantize a float layer, folding the online Hadamard into its weights first.

        hessian: X^T X [in, in] of its inputs after that Hadamard, for GPTQ; None rounds to
        nearest.  options: those of the constructor.
        """
        layer = cls(linear.in_features, linear.out_features, precision,
                    linear.bias is not None, **options)
        layer.to(linear.weight.device)
        spec, weight = layer.spec, linear.weight.detach().float()
        weight = hadamard_transform(weight, spec.hadamard_block, spec.hadamard_stride)
        if hessian is None:
            integers, scale = quantize_weight(weight, spec.weight_bits, spec.group_size)
        else:
            integers, scale = gptq_weight(weight, hessian, spec.weight_bits, spec.group_size)
        layer.weight.copy_(pack_int4(integers) if spec.weight_bits == 4 else integers)
        layer.scale.copy_(scale)
        if linear.bias is not None:
            layer.bias.copy_(linear.bias.detach())
        return layer

    def integers(self) -> torch.Tensor:
        """Return the weights as int8 [out, in]; raise ConfigError once they are released."""
        if self.weight is None:
            raise ConfigError('the packed weights were released after load: load them again')
        return unpack_int4(self.weight) if self.spec.weight_bits == 4 else self.weight

    def dequantized(self) -> torch.Tensor:
        """Return the float32 weights [out, in] of the plain layer that this one stands for."""
        weight = self.integers() * spread_scale(self.scale, self.spec.in_features)
        return hadamard_transform(weight, self.spec.hadamard_block, self.spec.hadamard_stride)

    def prepare(self, rows: int = 256, backend: str | None = None, release: bool = False,
                dtype: torch.dtype | None = None) -> Kernel:
        """
        Choose and build the kernel; see kernels.make_kernel.

        release drops the packed buffer, so that only the kernel's copy stays in memory.
        """
        self._kernel = make_kernel(self.spec, self.integers(), self.scale, self.bias, rows,
                                   backend, dtype)
        if release:
            self.weight = None
        return self._kernel

    @property
    def kernel(self) -> Kernel | None:
        """Return the kernel in use, perhaps a joint one; None before the first call."""
        return self._kernel if self._group is None else self._group.kernel

    def forward(self, x, visual: VisualRows | None = None):
        """
        Map x [..., in] to [..., out]; the first call chooses the kernel for its rows.

        visual: which rows are visual tokens; it matters to precisions with text_bits.
        """
        rows = x.reshape(-1, x.shape[-1])
        if self._kernel is None:
            self.prepare(len(rows), dtype=x.dtype)
        return self._kernel(rows, visual).view(*x.shape[:-1], self.spec.out_features)

    def _apply(self, fn, recurse=True):
        """Forget the kernel when the module moves or is cast."""
        self._kernel = self._group = None
        return super()._apply(fn, recurse)

    def __getstate__(self):
        """Leave the kernel out of copies: it is made again when it is needed."""
        return {**self.__dict__, '_kernel': None, '_group': None}

    def _load_from_state_dict(self, *args, **kwargs):
        """Forget the kernel when other weights are loaded."""
        self._kernel = self._group = None
        super()._load_from_state_dict(*args, **kwargs)

    def extra_repr(self) -> str:
        """Describe the layer as nn.Linear does."""
        spec = self.spec
        hadamard = (f', hadamard={spec.hadamard_block}x{spec.hadamard_stride}'
                    if spec.hadamard_block > 1 else '')
        return f'{spec.in_features}, {spec.out_features}, {self.precision}{hadamard}'


class _Group:
    """
    Layers and their joint kernel.

    The layers hold it and it does not hold them: so their weights are free as soon as a model is
    dropped, without a garbage collection.
    """

    def __init__(self, layers, kernel: Kernel):
        self._layers, self.kernel = [weakref.ref(layer) for layer in layers], kernel

    def consists_of(self, layers) -> bool:
        """Whether it is of these layers, in this order."""
        return [known() for known in self._layers] == list(layers)  # modules are equal if the same


def joinable(layers) -> bool:
    """Return whether all layers are quantized and read their input in the same form."""
    if not all(isinstance(layer, QuantLinear) for layer in layers):
        return False
    return len({(dataclasses.replace(layer.spec, out_features=0), layer.bias is None)
                for layer in layers}) == 1


def prepare_joint(layers, rows: int = 256, backend: str | None = None, release: bool = False,
                  dtype: torch.dtype | None = None) -> Kernel:
    """
    Make one kernel that computes all outputs side by side, for `together`.

    Raises ConfigError for layers that are not joinable; see QuantLinear.prepare.
    """
    layers = tuple(layers)
    if not joinable(layers):
        raise ConfigError(f'these layers read their input in different forms: {layers}')
    first = layers[0]
    spec = dataclasses.replace(
        first.spec, out_features=sum(layer.spec.out_features for layer in layers))
    bias = None if first.bias is None else torch.cat([layer.bias for layer in layers])
    kernel = make_kernel(spec, torch.cat([layer.integers() for layer in layers]),
                         torch.cat([layer.scale for layer in layers]), bias, rows,
                         backend, dtype)
    group = _Group(layers, kernel)
    for layer in layers:
        layer._group = group
        if release:
            layer.weight = None
    return kernel


def are_joined(layers) -> bool:
    """Return whether one kernel computes all these layers' outputs side by side."""
    group = getattr(layers[0], '_group', None)
    return group is not None and group.consists_of(layers)


def called(layer: nn.Module, x, visual: VisualRows | None):
    """Return a linear layer's output for x [..., in]; visual: see QuantLinear.forward."""
    return layer(x, visual) if isinstance(layer, QuantLinear) else layer(x)


def together(layers, x, visual: VisualRows | None = None) -> tuple[torch.Tensor, ...]:
    """
    Return each layer's output for the same x [..., in]; visual: see QuantLinear.forward.

    Quantized layers of one form share one quantization of x and one product, or if they were
    prepared in several groups one product a group; any others are simply called one by one.
    """
    parts = [tuple(part) for _, part in groupby(
        layers, lambda layer: getattr(layer, '_group', None))]
    if len(parts) > 1:
        return tuple(y for part in parts for y in together(part, x, visual))
    layers, rows = parts[0], x.reshape(-1, x.shape[-1])
    if are_joined(layers):
        kernel = layers[0].kernel
    elif len(layers) > 1 and joinable(layers):
        kernel = prepare_joint(layers, len(rows), dtype=x.dtype)
    else:
        return tuple(called(layer, x, visual) for layer in layers)
    y = kernel(rows, visual).view(*x.shape[:-1], -1)
    return y.split([layer.spec.out_features for layer in layers], dim=-1)
