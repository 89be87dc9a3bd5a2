# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Decoder blocks on a CPU in one native call each, quantized or in float32.

What stands between two products (norms, rotary embedding, rounding, SwiGLU, residuals) takes
two thirds of a small decoder's time when each is a pass over memory of its own.  A block gives
what the plain one of llama.py gives, but for the order in which a norm, an attention, the scores
and float products add up floats, and for attention that is rounded, with AMX and VNNI, in front of
a layer that rounds.  Set SQAP_VLA_CPU_BLOCKS=plain to have the plain ones.
"""

from __future__ import annotations

import torch
from torch import nn

from .followers import ActiveRows
from .llama import DecoderLayer, Llama, part_of, RMSNorm
from .native_layers import check_layers, give_native, Held, kernel_of, packed
from ..errors import ConfigError
from ..kernels.native_block import BlockForm, BlockKernel, Queries
from ..quant.qk import QKQuantizer


class NativeBlock:
    """What DecoderLayer.forward does, by one call."""

    def __init__(self, layer: DecoderLayer):
        """
        Take a block whose kernels are made, and move its float32 weights into panels.

        Raises ConfigError, saying why, and leaves the block as it is, if that can't be.
        """
        attention, mlp, self._form = layer.self_attn, layer.mlp, _form(layer)
        groups = ((attention, ('q_proj', 'k_proj', 'v_proj')), (mlp, ('gate_proj', 'up_proj')),
                  (attention, ('o_proj',)), (mlp, ('down_proj',)))
        for parent, names in groups:
            check_layers([getattr(parent, name) for name in names])
        projections, gate_up, (out,), (down,) = (
            list(dict.fromkeys(map(kernel_of, packed(*group)))) for group in groups)
        norms = 'input_layernorm', 'post_attention_layernorm'
        self._causal = attention.causal
        self._held = Held(
            [(layer, (*norms, 'self_attn', 'mlp')), *groups, (attention, ('qk_transform',))],
            [(attention, 'causal'), *((getattr(layer, norm), 'eps') for norm in norms)])
        self._kernel = BlockKernel(self._form, projections, gate_up, out, down)

    def serves(self, x) -> bool:
        """Whether it can run on x, see Held."""
        return self._held.serves(x)

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


def use_native_blocks(llm: Llama) -> int:
    """
    Give a decoder's blocks on a CPU their one call where they can have it; return how many can.

    Quantized layers' kernels must be made; float32 weights are moved into panels where a block is
    served.  See give_native.
    """
    return give_native(llm.layers, NativeBlock, 'decoder')
