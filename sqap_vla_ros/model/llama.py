# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A Llama-style decoder: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.

Parameter names are those of the Hugging Face format.  The forward pass takes embeddings and
positions, since a vision-language-action model mixes image patches with text, and can return
ONE row of attention probabilities: all that token pruning needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ConfigError
from ..quant.linear import together


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
    qk_bits: int = 16

    def __post_init__(self):
        """Raise ConfigError for sizes that do not divide."""
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
        """Start with unit scales."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        """Normalise the last axis of x [..., D]."""
        return F.rms_norm(x.float(), self.weight.shape, None, self.eps).to(x.dtype) * self.weight


def rotary_tables(positions, head_dim: int, theta: float):
    """Return cos and sin [S, head_dim] of the split-half rotary embedding for positions [S]."""
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    angle = positions.float()[:, None] * theta ** (-exponent / head_dim)  # [S, head_dim / 2]
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def apply_rotary(x, cos, sin):
    """Rotate x [B, H, S, head_dim] by tables [S, head_dim]; keeps the type of x."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


class Attention(nn.Module):
    """Causal grouped-query attention; `score_row` asks for one query's probabilities."""

    def __init__(self, config: LlamaConfig):
        """Make the four projections, without biases."""
        super().__init__()
        self.config = config
        kv_width = config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.qk_transform = nn.Identity()  # quantizer of the rotated Q and K (qk_bits < 16)

    def forward(self, x, cos, sin, score_row: int | None = None):
        """
        Attend over x [B, S, D].

        Returns [B, S, D] and, if score_row is given, the head-mean attention probabilities
        [B, S] of that one query over all keys it may see (0 after it), else None.
        """
        batch, length, _ = x.shape
        head_dim = self.config.head_dim
        q, k, v = (y.view(batch, length, -1, head_dim).transpose(1, 2)  # [B, H or G, S, d]
                   for y in together((self.q_proj, self.k_proj, self.v_proj), x))
        q = self.qk_transform(apply_rotary(q, cos, sin))
        k = self.qk_transform(apply_rotary(k, cos, sin))
        grouped = q.shape[1] != k.shape[1]
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        out = self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))
        return out, None if score_row is None else self._row(q, k, score_row)

    def _row(self, q, k, row: int):
        """Return the head-mean probabilities [B, S] of query `row`."""
        batch, heads, length, head_dim = q.shape
        query = q[:, :, row].reshape(batch, k.shape[1], -1, head_dim)  # [B, G, H/G, d]
        logits = query.float() @ k[:, :, :row + 1].float().transpose(2, 3) / head_dim ** 0.5
        scores = logits.softmax(dim=-1).mean(dim=(1, 2))
        return F.pad(scores, (0, length - row - 1))


class MLP(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, config: LlamaConfig):
        """Make the three projections, without biases."""
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        """Map x [..., D] to [..., D]."""
        gate, up = together((self.gate_proj, self.up_proj), x)
        return self.down_proj(F.silu(gate) * up)


class DecoderLayer(nn.Module):
    """One pre-norm block: attention, then feed-forward, both residual."""

    def __init__(self, config: LlamaConfig):
        """Make the block's parts under their Hugging Face names."""
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x, cos, sin, score_row: int | None = None):
        """Return the block's output [B, S, D] and the attention row asked for, or None."""
        attended, scores = self.self_attn(self.input_layernorm(x), cos, sin, score_row)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), scores


class Llama(nn.Module):
    """The decoder's embedding, blocks and final norm; heads live elsewhere."""

    def __init__(self, config: LlamaConfig):
        """Make a decoder with torch's default initialisation."""
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def run(self, x, positions, first: int, last: int, score_row: int | None = None):
        """
        Run blocks first..last-1 on x [B, S, D] at rotary positions [S].

        score_row asks block last-1 for that query's attention probabilities.  Returns x and
        the probabilities [B, S] (None if not asked for).  The final norm is not applied.
        """
        cos, sin = rotary_tables(positions, self.config.head_dim, self.config.rope_theta)
        scores = None
        for index in range(first, last):
            row = score_row if index == last - 1 else None
            x, scores = self.layers[index](x, cos, sin, row)
        return x, scores

    def forward(self, x, positions):
        """Return normed hidden states [B, S, D] for embeddings x [B, S, D], no pruning."""
        x, _ = self.run(x, positions, 0, len(self.layers))
        return self.norm(x)
