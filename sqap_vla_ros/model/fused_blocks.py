# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A decoder block in ten launches: what stands between two products is done in one.

    norm + quantize, q/k/v product, rotary (into the cache), attention, Hadamard + quantize,
    output product + residual, norm + quantize, gate/up product, SwiGLU + Hadamard + quantize,
    down product + residual

Plain layers, and those whose activations stay floats, take the same way without the integers:
a full-precision block is fused as well as a quantized one, which is what a comparison needs.
Everything is rounded where model/llama.py rounds, except that a plain layer's product and its
residual are added before they are rounded, and so are those of up to 8 tokens (gemv.py).  Results
equal the unfused block's but for that, the order of float sums, and what quantize.py and gemm.py
say.  On a GPU a product and a sum in float32 may be contracted to one operation that rounds once
(a bias; the rotation of float32 queries and keys): there they may differ by one unit in the last
place, and equality to the last bit holds only where neither is.

Bytes of the rotation: 2 S (H + G) d values (with a cache the values too).  Operations: 3 a value.
"""

from __future__ import annotations

from collections.abc import Sequence
import logging

import torch
from torch import nn
import triton
import triton.language as tl

from .llama import LayerCache, part_of, rotary_tables
from ..errors import ConfigError
from ..kernels.cuda import unavailable
from ..kernels.cuda.linear import TritonKernel
from ..kernels.cuda.quantize import quantize_rows, row_constants, transform_rows
from ..kernels.cuda.trial import why_not
from ..kernels.cuda.tuning import is_interpreted
from ..quant.linear import joinable

_log = logging.getLogger(__name__)
_TILE = 16  # heads that a program rotates
_PROMPT, _FEW = 24, 12  # tokens that a block is tried with behind an image, or interpreted


@triton.jit
def _turned(x, y, cos, sin, SIGN: tl.constexpr):
    """Return x cos + SIGN y sin, both products rounded to the type of x before they are added."""
    first = (x.to(tl.float32) * cos.to(tl.float32)).to(x.dtype).to(tl.float32)
    second = (y.to(tl.float32) * sin.to(tl.float32)).to(x.dtype).to(tl.float32)
    return (first + SIGN * second).to(x.dtype)


@triton.jit(do_not_specialize=['length', 'batch_rows', 'head_rows', 'token_rows'])
def rotary_kernel(qkv, cos, sin, keys, values, length, row_stride, table_stride, batch_rows,
                  head_rows, token_rows, HEADS: tl.constexpr, KV_HEADS: tl.constexpr,
                  DIM: tl.constexpr, HALF: tl.constexpr, HAS_CACHE: tl.constexpr,
                  TILE: tl.constexpr):
    """
    Rotate TILE heads of one row of qkv [B S, (H + 2 G) d] by tables [S, d].

    Queries stay where they are; so do keys without a cache, else they go to keys [B, G, S, d]
    and the values to values, both with the same strides, which are given in rows of d.  HALF:
    power of two that holds DIM / 2.
    """
    row = tl.program_id(0)
    head = tl.program_id(1) * TILE + tl.arange(0, TILE)
    column = tl.arange(0, HALF)
    used: tl.constexpr = HEADS + 2 * KV_HEADS if HAS_CACHE else HEADS + KV_HEADS
    inside = (head < used)[:, None] & (column < DIM // 2)[None, :]
    place = qkv + row.to(tl.int64) * row_stride + head[:, None] * DIM + column[None, :]
    first = tl.load(place, mask=inside, other=0.0)
    second = tl.load(place + DIM // 2, mask=inside, other=0.0)
    token = row % length
    table = token.to(tl.int64) * table_stride + column
    c = tl.load(cos + table, mask=column < DIM // 2, other=0.0)[None, :]
    s = tl.load(sin + table, mask=column < DIM // 2, other=0.0)[None, :]
    turned = _turned(first, second, c, s, -1)
    behind = _turned(second, first, c, s, 1)
    if HAS_CACHE:
        is_query, is_key = head < HEADS, (head >= HEADS) & (head < HEADS + KV_HEADS)
        group = tl.where(is_key, head - HEADS, head - HEADS - KV_HEADS)
        cached = (row // length).to(tl.int64) * batch_rows + token * token_rows
        cached = (cached + group[:, None] * head_rows) * DIM + column[None, :]
        key = inside & is_key[:, None]
        value = inside & (head >= HEADS + KV_HEADS)[:, None]
        tl.store(keys + cached, turned, mask=key)
        tl.store(keys + cached + DIM // 2, behind, mask=key)
        tl.store(values + cached, first, mask=value)
        tl.store(values + cached + DIM // 2, second, mask=value)
        inside = inside & is_query[:, None]
    tl.store(place, turned, mask=inside)
    tl.store(place + DIM // 2, behind, mask=inside)


def rotate(qkv, cos, sin, heads: int, cache=None):
    """
    Rotate the queries and keys of qkv [B, S, H + 2 G, d], which it overwrites.

    cos, sin: tables [S, d] in the type of qkv.  heads: H.  cache: a LayerCache that the keys and
    values go to.  Returns q [B, H, S, d] and k and v [B, G, T, d], of all tokens in the cache.
    """
    batch, length, total, width = qkv.shape
    groups = (total - heads) // 2
    keys, values = (qkv, qkv) if cache is None else cache.extend(
        (batch, groups, length, width), qkv)
    used = total if cache is not None else heads + groups
    rotary_kernel[(batch * length, triton.cdiv(used, _TILE))](
        qkv, cos, sin, keys, values, length, qkv.stride(1), cos.stride(0),
        *(keys.stride(axis) // width for axis in range(3)), HEADS=heads, KV_HEADS=groups,
        DIM=width, HALF=triton.next_power_of_2(width // 2), HAS_CACHE=cache is not None,
        TILE=_TILE, num_warps=4)
    q, k, v = qkv.transpose(1, 2).split([heads, groups, groups], dim=1)
    return (q, k, v) if cache is None else (q, *cache.filled)


class _KernelProduct:
    """A product that reads floats, or all rows by one scale: only what stands before is fused."""

    def __init__(self, kernel: TritonKernel):
        self._kernel, self.form = kernel, (kernel.spec, kernel.bias is None)

    def __call__(self, x, visual=None, norm=None, gate=None, residual=None, may_overwrite=False):
        return self._kernel(_prepared(x, norm, gate), visual, residual)


class _IntegerProduct(_KernelProduct):
    """A quantized product, or several side by side, whose tokens become integers on the way."""

    def __call__(self, x, visual=None, norm=None, gate=None, residual=None, may_overwrite=False):
        kernel, spec = self._kernel, self._kernel.spec
        integers, scale = quantize_rows(
            x, spec.act_bits, *_norm_arguments(norm), block=spec.hadamard_block,
            stride=spec.hadamard_stride, gate=gate, text_bits=spec.text_bits, visual=visual)
        return kernel.multiply(integers, scale, x.dtype, residual)


class _PlainProduct:
    """A product of plain layers; they keep their weights, as parts of one tensor."""

    def __init__(self, layers: Sequence[nn.Linear]):
        weight = (layers[0].weight if len(layers) == 1
                  else torch.cat([layer.weight for layer in layers])).detach()
        self._transposed, self.form = weight.t(), tuple(weight.shape)
        parts = weight.split([layer.out_features for layer in layers])
        for layer, part in zip(layers, parts):
            layer.weight = nn.Parameter(part, requires_grad=False)

    def __call__(self, x, visual=None, norm=None, gate=None, residual=None, may_overwrite=False):
        x = _prepared(x, norm, gate)
        if residual is None:
            return x @ self._transposed
        if may_overwrite:  # else the residual is copied first
            return residual.addmm_(x, self._transposed)
        return torch.addmm(residual, x, self._transposed)


def _norm_arguments(norm) -> tuple:
    return (None, 0.0) if norm is None else (norm.weight, norm.eps)


def _prepared(x, norm, gate):
    """Return x [M, K] behind its norm or SwiGLU."""
    if norm is None and gate is None:
        return x
    return transform_rows(x, *_norm_arguments(norm), gate=gate)


def _product(layers: Sequence[nn.Module]):
    """Return layers side by side as one product; raise ConfigError, saying why, if they aren't."""
    if all(type(layer) is nn.Linear and layer.bias is None for layer in layers):
        row_constants(layers[0].in_features, 1, 1)
        return _PlainProduct(layers)
    if not joinable(layers):
        raise ConfigError('layers that read the same input are quantized in different ways')
    kernel = layers[0].kernel
    if not isinstance(kernel, TritonKernel):
        raise ConfigError(f'the backend is {kernel.name if kernel else "not chosen yet"}')
    if kernel.spec.out_features != sum(layer.spec.out_features for layer in layers):
        raise ConfigError('layers that read the same input have kernels of their own')
    is_integer = kernel.spec.act_bits != 16 and kernel.spec.per_token
    return (_IntegerProduct if is_integer else _KernelProduct)(kernel)


class FusedDecoderLayer(nn.Module):
    """A model.llama.DecoderLayer in as few launches as possible, for inference."""

    def __init__(self, layer: nn.Module, is_last: bool = False):
        """
        Take a layer whose kernels are made; raise ConfigError if it cannot be fused.

        is_last: of the decoder: its queries have a product of their own, since few rows need one.
        """
        super().__init__()
        self.layer, self.is_last = layer, is_last
        attention, mlp = layer.self_attn, layer.mlp
        queries, others = (attention.q_proj,), (attention.k_proj, attention.v_proj)
        self._projections = ([_product(queries), _product(others)] if is_last
                             else [_product(queries + others)])
        self._out = _product((attention.o_proj,))
        self._gate_up = _product((mlp.gate_proj, mlp.up_proj))
        self._down = _product((mlp.down_proj,))

    @property
    def form(self) -> tuple:
        """Return what its kernels depend on, besides the tokens and their type."""
        attention = self.layer.self_attn
        products = *self._projections, self._out, self._gate_up, self._down
        return (attention.config, attention.causal, str(attention.qk_transform),
                *((type(product), product.form) for product in products))

    def forward(self, x, cos, sin, score_rows: range | None = None, cache=None, visual=None,
                read: range | None = None, rows=None):
        """Do what DecoderLayer.forward does, unfused where some rows follow others."""
        if rows is not None:
            return self.layer(x, cos, sin, score_rows, cache, visual, read, rows)
        layer, attention = self.layer, self.layer.self_attn
        read_x, some = (x, visual) if read is None else (
            x[:, read.start:read.stop], part_of(visual, read))
        q, k, v = self._rotated((x, visual), (read_x, some), cos, sin, cache, read)
        attended = attention.attended(q, k, v, read).transpose(1, 2)
        y = read_x.reshape(-1, x.shape[-1])
        y = self._out(attended.reshape(len(y), -1), some, residual=y)
        gate, up = self._gate_up(y, some, layer.post_attention_layernorm).chunk(2, dim=1)
        y = self._down(up, some, gate=gate, residual=y, may_overwrite=True)  # it is ours
        scores = None if score_rows is None else attention.scores(
            q, k, score_rows, 0 if read is None else read.start)
        return y.view(read_x.shape), scores

    def _rotated(self, every, some, cos, sin, cache, read):
        """
        Return q, k and v as attention takes them, those of the cache included.

        every, some: x and its visual rows, of all and of those that are read.
        """
        attention = self.layer.self_attn
        heads, transform = attention.config.num_heads, attention.qk_transform
        plain = isinstance(transform, nn.Identity)
        direct = cache if plain else None  # what the rotation writes to
        if self.is_last:
            first = 0 if read is None else read.start
            q = rotate(self._projected(0, *some), cos[first:], sin[first:], heads)[0]
            _, k, v = rotate(self._projected(1, *every), cos, sin, 0, direct)
        else:
            q, k, v = rotate(self._projected(0, *every), cos, sin, heads, direct)
            q = q if read is None else q[:, :, read.start:read.stop]
        if plain:
            return q, k, v
        k = transform(k)
        return transform(q), *((k, v) if cache is None else cache.append(k, v))

    def _projected(self, index: int, x, visual):
        """Return the heads [B, S, H', d] that a product makes of x [B, S, D]."""
        rows = self._projections[index](
            x.reshape(-1, x.shape[-1]), visual, self.layer.input_layernorm)
        return rows.view(*x.shape[:2], -1, self.layer.self_attn.config.head_dim)


def _why_not(fused: FusedDecoderLayer, model: nn.Module) -> str:
    """Return why a block's kernels fail on zeros, '' if they don't; tried once for a form."""
    config, embedding = fused.layer.self_attn.config, model.llm.embed_tokens.weight
    decodes = model.make_caches() is not None
    tokens = _FEW if is_interpreted() else model.config.num_visual + _PROMPT

    def run():
        """Run a block on zeros: a prompt and, where it decodes, one token more."""
        x = embedding.new_zeros(1, tokens, embedding.shape[1])
        position = torch.arange(tokens + 1, device=x.device)
        rotary = [table.to(x.dtype) for table in rotary_tables(position, config.head_dim,
                                                               config.rope_theta)]
        cache, read = LayerCache(1) if decodes else None, model.config.head_rows(tokens)
        fused(x, *(table[:tokens] for table in rotary), cache=cache,
              read=range(max(read.start, 0), tokens) if fused.is_last else None)
        if decodes:
            fused(x[:, :1], *(table[tokens:] for table in rotary), cache=cache)
    key = fused.form, embedding.dtype, str(embedding.device), decodes, tokens
    return why_not(key, run, embedding.device)


def fuse_blocks(model: nn.Module) -> int:
    """
    Fuse all blocks of a VLA's decoder that can be, in place, and return how many.

    Their kernels must be made (prepare_kernels); layers that are not quantized are fused too.
    Each kind of block is tried once.  Warns, with the reason, where one cannot be fused.
    """
    layers, fused, reasons = model.llm.layers, 0, {}
    problem = unavailable(model.llm.embed_tokens.weight.device)
    for index, layer in enumerate(layers):
        try:
            if problem:
                raise ConfigError(problem)
            candidate = FusedDecoderLayer(layer, index == len(layers) - 1)
            if reason := _why_not(candidate, model):
                raise ConfigError(reason)
            layers[index] = candidate
            fused += 1
        except ConfigError as error:
            reasons.setdefault(str(error), []).append(index)
    for reason, indices in reasons.items():
        _log.warning('%d of %d decoder blocks run unfused, which is slower: %s', len(indices),
                     len(layers), reason)
    return fused
