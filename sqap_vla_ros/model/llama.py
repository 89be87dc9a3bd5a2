# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A Llama-style decoder: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.

Parameter names are those of the Hugging Face format.  The forward pass takes embeddings and
positions, since a vision-language-action model mixes image patches with text, and can return
the attention of a few queries: all that token pruning needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .followers import ActiveRows
from ..errors import ConfigError
from ..kernels.attention import attend
from ..numerics.shared_tensors import constant
from ..numerics.visual_rows import VisualRows
from ..quant.linear import are_joined, called, together
from ..support.validation import check_counts, check_positive


# what torch 2.3, of JetPack 6, has not yet
HAS_RMS_NORM = hasattr(F, 'rms_norm')


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of the decoder; `num_kv_heads` < `num_heads` is grouped-query attention."""

    vocab_size: int = 32064
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_layers: int = 32
    num_heads: int = 32
    num_kv_heads: int = 32
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0

    def __post_init__(self):
        """Raise ConfigError for sizes that do not divide."""
        check_counts(self, 'vocab_size', 'hidden_size', 'intermediate_size', 'num_layers',
                     'num_heads', 'num_kv_heads')
        check_positive(self, 'rms_norm_eps', 'rope_theta')
        if self.hidden_size % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f'hidden_size {self.hidden_size}, num_heads {self.num_heads} and num_kv_heads '
                f'{self.num_kv_heads} must divide one another')
        if (self.hidden_size // self.num_heads) % 2:
            raise ConfigError('rotary embedding needs an even head dimension')

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in float32."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        """Normalise the last axis of x [..., D]."""
        if HAS_RMS_NORM:
            normed = F.rms_norm(x.float(), self.weight.shape, None, self.eps)
        else:
            normed = x.float() * (x.float().square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return normed.to(x.dtype) * self.weight


def rotary_tables(positions, head_dim: int, theta: float):
    """Return cos and sin [S, head_dim] of the split-half rotary embedding for positions [S]."""
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    angle = positions.float()[:, None] * theta ** (-exponent / head_dim)  # [S, head_dim / 2]
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


@constant
def rotary_rows(length: int, head_dim: int, theta: float, dtype: torch.dtype, device):
    """Return rotary_tables of positions 0..length-1, shared between callers."""
    tables = rotary_tables(torch.arange(length, device=device), head_dim, theta)
    return tuple(table.to(dtype) for table in tables)


def apply_rotary(x, cos, sin):
    """Rotate x [B, H, S, head_dim] by tables [S, head_dim]; keeps the type of x."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


def part_of(visual: VisualRows | None, read: range | None) -> VisualRows | None:
    """Return which of the rows `read` are visual, of all rows where it is None."""
    return visual if visual is None or read is None else visual.part(read)


class LayerCache:
    """
    Keys and values of one block, for decoding one token at a time.

    Its length is known on the host, so that no step waits for the device, and the places that a
    step writes to are the same in every replay of a captured graph.
    """

    def __init__(self, room: int):
        """Leave room for so many tokens behind the first run's."""
        self.room = room
        self.length = 0
        self._keys = self._values = None

    def append(self, k, v):
        """Take k and v [B, G, S, d]; return those of all tokens so far."""
        is_first = self.length == 0
        keys, values = self.extend(k.shape, k)
        keys.copy_(k)
        values.copy_(v)
        return (k, v) if is_first else self.filled

    def extend(self, shape, like):
        """
        Count S more tokens, and return the places [B, G, S, d] for their keys and values.

        shape: (B, G, S, d).  like: a tensor with the type and device that the cache shall have.
        Raises RuntimeError where they do not fit, or there is no room any more.
        """
        first, length = self.length, self.length + shape[2]
        if self._keys is None:
            room = (*shape[:2], length + self.room, shape[3])
            self._keys, self._values = like.new_empty(room), like.new_empty(room)
        held, asked = ((*(size for i, size in enumerate(place) if i != 2), tensor.dtype,
                        tensor.device) for place, tensor in (
                            (self._keys.shape, self._keys), (shape, like)))
        if held != asked or length > self._keys.shape[2]:
            raise RuntimeError(
                f'a cache of {list(self._keys.shape)}, {self._keys.dtype}, that holds {first} '
                f'tokens has no place for {list(shape)}, {like.dtype}')
        self.length = length
        return self._keys[:, :, first:self.length], self._values[:, :, first:self.length]

    @property
    def filled(self):
        """Return keys and values [B, G, T, d] of all tokens so far."""
        return self._keys[:, :, :self.length], self._values[:, :, :self.length]


class Attention(nn.Module):
    """Grouped-query attention; `score_rows` asks for some queries' probabilities."""

    def __init__(self, config: LlamaConfig, causal: bool = True):
        """causal: False lets every token see every other."""
        super().__init__()
        self.config, self.causal = config, causal
        kv_width = config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.qk_transform = nn.Identity()  # quantizer of the rotated Q and K (qk_bits < 16)

    def forward(self, x, cos, sin, score_rows: range | None = None, cache=None, visual=None,
                read: range | None = None):
        """
        Attend over x [B, S, D], and over what a LayerCache holds already.

        read: the rows R, neighbours, whose output is wanted, score_rows among them; None for all.
        Returns [B, R, D] and, if score_rows is given, the attention probabilities [B, S] that
        these queries, neighbours, give all keys, as a mean over them and the heads; else None.
        visual: VisualRows of x, None where no row is visual; it matters to layers with text_bits.
        """
        q, k, v = self._projected(x, visual, read)
        rows = read or range(x.shape[1])
        tables = (table[rows.start:rows.stop] for table in (cos, sin))
        q = self.qk_transform(apply_rotary(q, *tables))
        k = self.qk_transform(apply_rotary(k, cos, sin))
        if cache is not None:
            k, v = cache.append(k, v)
        out = self.attended(q, k, v, read)
        out = called(self.o_proj, out.transpose(1, 2).flatten(2), part_of(visual, read))
        return out, None if score_rows is None else self.scores(q, k, score_rows, rows.start)

    def of_rows(self, x, cos, sin, rows: ActiveRows, cache=None, visual=None):
        """Return what the active rows [B, A, D] of x [B, S, D] make of all; see forward."""
        layers = self.k_proj, self.v_proj
        if are_joined((self.q_proj, *layers)):
            q, k, v = together((self.q_proj, *layers), x, visual)
            q = rows.of(q)
        else:
            q = called(self.q_proj, rows.of(x), rows.visual)
            k, v = together(layers, x, visual)
        q, k, v = (y.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)
                   for y in (q, k, v))
        q = self.qk_transform(apply_rotary(q, rows.of(cos, 0), rows.of(sin, 0)))
        k = self.qk_transform(apply_rotary(k, cos, sin))
        if cache is not None:
            k, v = cache.append(k, v)
        out = attend(q, k, v, seen=rows.seen)
        return called(self.o_proj, out.transpose(1, 2).flatten(2), rows.visual)

    def _projected(self, x, visual, read: range | None):
        """Return queries [B, H, R, d] of the rows `read`, keys and values [B, G, S, d] of all."""
        layers = self.q_proj, self.k_proj, self.v_proj
        if read is None:
            found = together(layers, x, visual)
        elif are_joined(layers):
            q, k, v = together(layers, x, visual)
            found = q[:, read.start:read.stop], k, v
        else:
            found = (called(self.q_proj, x[:, read.start:read.stop], part_of(visual, read)),
                     *together(layers[1:], x, visual))
        return (y.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2) for y in found)

    def attended(self, q, k, v, read: range | None = None):
        """
        Return what queries [B, H, R, d] make of keys and values [B, G, T, d]: [B, H, R, d].

        read: their rows; None for all, or new ones behind those of the cache.
        """
        if read is not None and self.causal:
            k, v = k[:, :, :read.stop], v[:, :, :read.stop]
        return attend(q, k, v, self.causal)

    def scores(self, q, k, rows: range, first: int = 0):
        """
        Return the probabilities [B, S] of the queries `rows`, a mean over heads and rows.

        q: [B, H, R, d] of the rows from `first` on, and k: [B, G, S, d], both rotated.
        """
        batch, _, length, head_dim = k.shape
        last = rows.stop if self.causal else length
        queries = q[:, :, rows.start - first:rows.stop - first]
        queries = queries.reshape(batch, k.shape[1], -1, head_dim)
        seen = k[:, :, :last]  # [B, G, T, d]
        logits = queries.float() @ seen.float().transpose(2, 3) / head_dim ** 0.5
        if self.causal and len(rows) > 1:  # [B, G, H/G, R, T]: each row sees one key more
            logits = logits.view(batch, k.shape[1], -1, len(rows), last)
            later = torch.ones(len(rows), last, dtype=torch.bool, device=q.device)
            logits = logits.masked_fill(later.triu(rows.start + 1), float('-inf')).flatten(2, 3)
        scores = logits.softmax(dim=-1).mean(dim=(1, 2))
        return F.pad(scores, (0, length - last))


class MLP(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x, visual=None):
        """Map x [..., D] to [..., D]; visual: see Attention."""
        gate, up = together((self.gate_proj, self.up_proj), x, visual)
        return called(self.down_proj, F.silu(gate) * up, visual)


class DecoderLayer(nn.Module):
    """One pre-norm block: attention, then feed-forward, both residual."""

    def __init__(self, config: LlamaConfig, causal: bool = True):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, causal)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)
        self.native = None  # what does all of it in one call, see native_blocks.py

    def __getstate__(self):
        """Leave out of copies what holds the addresses of this block's weights."""
        return {**self.__dict__, 'native': None}

    def forward(self, x, cos, sin, score_rows: range | None = None, cache=None, visual=None,
                read: range | None = None, rows: ActiveRows | None = None):
        """
        Return the block's output [B, S, D] and the attention asked for, or None.

        read: compute the output of these rows only, [B, R, D]; see Attention.  rows: the only ones
        that are computed, none of which is asked for attention; the others follow them.
        """
        if self.native is not None and self.native.serves(x):
            return self.native(x, cos, sin, score_rows, cache, visual, read, rows)
        if rows is not None:
            return self._followed(x, cos, sin, rows, cache, visual), None
        attended, scores = self.self_attn(
            self.input_layernorm(x), cos, sin, score_rows, cache, visual, read)
        x = attended + (x if read is None else x[:, read.start:read.stop])
        x = x + self.mlp(self.post_attention_layernorm(x), part_of(visual, read))
        return x, scores

    def _followed(self, x, cos, sin, rows: ActiveRows, cache, visual):
        """Return x [B, S, D] with its active rows computed, and the others following them."""
        before = rows.of(x)
        after = before + self.self_attn.of_rows(
            self.input_layernorm(x), cos, sin, rows, cache, visual)
        after = after + self.mlp(self.post_attention_layernorm(after), rows.visual)
        return rows.spread(x, before, after)


class Llama(nn.Module):
    """The decoder's embedding, blocks and final norm; heads live elsewhere."""

    def __init__(self, config: LlamaConfig, causal: bool = True):
        """causal: see Attention."""
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, causal) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def rotary(self, length: int, like):
        """
        Return cos and sin [at least `length`, head_dim] of positions from 0 on.

        like: a tensor with the type and device to have them in.  They are computed once.
        """
        config, rows = self.config, max(512, 1 << (length - 1).bit_length())
        return rotary_rows(rows, config.head_dim, config.rope_theta, like.dtype, like.device)

    def run(self, x, positions, first: int, last: int, score_rows: range | None = None,
            caches=None, visual=None, read: range | None = None,
            rows: ActiveRows | None = None):
        """
        Run blocks first..last-1 on x [B, S, D] at rotary positions.

        positions: int64 [S], or their rows (cos, sin) of `rotary`, each [S, head_dim].

        score_rows asks block last-1 for the attention of these queries, see Attention.
        caches: one LayerCache a block of the whole decoder, filled by the first run and read
        and extended, token by token, by later ones.  visual: see Attention.  rows: the only ones
        that blocks compute, see DecoderLayer.

        read: the rows that somebody reads behind block last-1, which computes no others; None for
        all.  Returns x [B, S, D], or [B, R, D] of these rows, and the probabilities [B, S] (None
        if not asked for).  The final norm is not applied.
        """
        if torch.is_tensor(positions):
            positions = (table.to(x.dtype) for table in rotary_tables(
                positions, self.config.head_dim, self.config.rope_theta))
        cos, sin = positions
        scores = None
        for index in range(first, last):
            cache, options = None if caches is None else caches[index], {'rows': rows}
            if index == last - 1:
                options = {'score_rows': score_rows, 'read': read,
                           'rows': rows if read is None else None}  # which need no others
            x, scores = self.layers[index](x, cos, sin, cache=cache, visual=visual, **options)
        return x, scores

    def forward(self, x, positions, visual=None):
        """Return normed hidden states [B, S, D] for embeddings x [B, S, D], no pruning."""
        x, _ = self.run(x, positions, 0, len(self.layers), visual=visual)
        return self.norm(x)
