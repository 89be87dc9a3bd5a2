# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Decoder blocks on a CPU in one native call each, where all their layers are native.

What stands between two products (norms, rotary embedding, rounding, SwiGLU, residuals) takes
two thirds of a small decoder's time when each is a pass over memory of its own.  A block gives
what the plain one of llama.py gives, but for the order in which a norm, an attention and the
scores add up floats.  Set SQAP_VLA_CPU_BLOCKS=plain to have the plain ones.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging
import os

import torch
from torch import nn

from .followers import ActiveRows
from .llama import DecoderLayer, Llama, part_of, RMSNorm
from ..errors import ConfigError
from ..kernels.native import NativeKernel
from ..kernels.native_block import BlockForm, BlockKernel, Queries
from ..quant.linear import QuantLinear
from ..quant.qk import QKQuantizer

_log = logging.getLogger(__name__)
VARIABLE = 'SQAP_VLA_CPU_BLOCKS'
WAYS = ('native', 'plain')


class NativeBlock:
    """What DecoderLayer.forward does, by one call."""

    def __init__(self, layer: DecoderLayer):
        """Take a block whose kernels are made; raise ConfigError, saying why, if it can't."""
        attention, mlp = layer.self_attn, layer.mlp
        groups = ((attention.q_proj, attention.k_proj, attention.v_proj),
                  (mlp.gate_proj, mlp.up_proj), (attention.o_proj,), (mlp.down_proj,))
        projections, gate_up, (out,), (down,) = map(_kernels, groups)
        self._layers = [(linear, linear.kernel) for group in groups for linear in group]
        self._form, self._causal = _form(layer), attention.causal
        norms = layer.input_layernorm, layer.post_attention_layernorm
        self._held = Held(norms, *((norm, 'eps') for norm in norms), (attention, 'causal'),
                          (attention, 'qk_transform'))
        self._kernel = BlockKernel(self._form, projections, gate_up, out, down)

    def serves(self, x) -> bool:
        """Whether it can run on x; not with gradients or once a part is another one."""
        return (x.dtype == torch.float32 and x.device.type == 'cpu'
                and not (torch.is_grad_enabled() and x.requires_grad)
                and all(layer.kernel is kernel for layer, kernel in self._layers)
                and self._held.is_the_same())

    def __call__(self, x, cos, sin, score_rows: range | None = None, cache=None, visual=None,
                 read: range | None = None, rows: ActiveRows | None = None):
        """Return what DecoderLayer.forward does."""
        x, cos, sin = (tensor.to(x.dtype).contiguous() for tensor in (x, cos, sin))
        if rows is not None:
            queries = Queries(range(0), rows.index, rows.seen, rows.visual)
            after, _ = self._kernel(x, cos, sin, self._causal, queries, visual, cache)
            return rows.spread(x, rows.of(x), after), None
        queries = Queries(read or range(x.shape[1]), visual=part_of(visual, read))
        return self._kernel(x, cos, sin, self._causal, queries, visual, cache, score_rows)


class Held:
    """What C++ was given of a block besides its layers: addresses of parameters, and values."""

    def __init__(self, modules: Sequence[nn.Module], *values: tuple[nn.Module, str]):
        """Hold all parameters of some modules, and attributes by (module, name)."""
        self._places = [(module, name, parameter.data_ptr()) for module in modules
                        for name, parameter in module.named_parameters(recurse=False)]
        self._values = [(module, name, getattr(module, name)) for module, name in values]

    def is_the_same(self) -> bool:
        """Whether nothing was replaced or moved; in-place changes are seen by C++, too."""
        return all(getattr(module, name) == value for module, name, value in self._values) and all(
            getattr(module, name).data_ptr() == address for module, name, address in self._places)


def _kernels(layers: Sequence[nn.Module]) -> list[NativeKernel]:
    """Return the kernels of layers that read the same, once each; raise ConfigError else."""
    found: list[NativeKernel] = []
    for layer in layers:
        if not isinstance(layer, QuantLinear):
            raise ConfigError('a layer is not quantized')
        kernel = layer.kernel
        if not isinstance(kernel, NativeKernel):
            raise ConfigError(f'a layer runs on backend {kernel.name if kernel else "none yet"}')
        if kernel.spec.act_bits != 16 and not kernel.spec.per_token:
            raise ConfigError('a layer has one scale for all tokens')
        if kernel not in found:
            found.append(kernel)
    if sum(kernel.spec.out_features for kernel in found) != sum(
            layer.spec.out_features for layer in layers):
        raise ConfigError('layers that read the same have kernels that serve others too')
    return found


def _form(layer: DecoderLayer) -> BlockForm:
    """Return what a block is besides its layers; raise ConfigError for another form."""
    norms, transform = (layer.input_layernorm, layer.post_attention_layernorm), (
        layer.self_attn.qk_transform)
    if any(type(norm) is not RMSNorm or norm.weight.dtype != torch.float32 for norm in norms):
        raise ConfigError('a norm is not an RMSNorm in float32')
    if type(transform) not in (nn.Identity, QKQuantizer):
        raise ConfigError(f'queries and keys pass a {type(transform).__name__}')
    config, (first, second) = layer.self_attn.config, norms
    rounding = (transform.bits, transform.rotate) if isinstance(transform, QKQuantizer) else ()
    return BlockForm(config.num_heads, config.num_kv_heads, first.weight.detach(), first.eps,
                     second.weight.detach(), second.eps, *rounding)


def wants_native() -> bool:
    """Return whether blocks shall run natively; raise ConfigError for an unknown word."""
    way = os.environ.get(VARIABLE) or WAYS[0]
    if way not in WAYS:
        raise ConfigError(f'the environment variable {VARIABLE} is {way!r}: use one of {WAYS}')
    return way == 'native'


def use_native_blocks(llm: Llama) -> int:
    """
    Give a decoder's blocks on a CPU their one call where they can have it; return how many can.

    Their kernels must be made.  The others stay as they are, and the log says why at its debug
    level.  Raises ConfigError for an unknown word in SQAP_VLA_CPU_BLOCKS.
    """
    native, served = wants_native(), 0
    for index, layer in enumerate(llm.layers):
        layer.native = None
        try:
            layer.native = NativeBlock(layer) if native else None
        except ConfigError as reason:
            _log.debug('block %d of the decoder runs layer by layer: %s', index, reason)
        served += layer.native is not None
    _log.info('%d of %d decoder blocks run in one native call each', served, len(llm.layers))
    return served
