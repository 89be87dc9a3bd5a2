# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The vision-language-action model: encoder, projector, decoder and head in one sequence.

    [BOS] [visual tokens, 1..N] [state] [instruction ... <act>] [action queries]

Blocks before `prune_layer` see all of it.  Then the attention row of <act> chooses which visual
tokens the remaining blocks keep, at their original rotary positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from .heads import ChunkHead, ChunkHeadConfig
from .llama import Llama, LlamaConfig
from .vit import ViT, ViTConfig
from ..errors import ConfigError


@dataclass(frozen=True)
class VLAConfig:
    """Everything that fixes the network's shape."""

    vision: ViTConfig = field(default_factory=ViTConfig)
    llm: LlamaConfig = field(default_factory=LlamaConfig)
    head: ChunkHeadConfig = field(default_factory=ChunkHeadConfig)
    text_length: int = 16
    state_dim: int = 8
    prune_layer: int = 2

    def __post_init__(self):
        """Raise ConfigError if the pruning layer leaves nothing to score or to save."""
        if not 1 <= self.prune_layer <= self.llm.num_layers:
            raise ConfigError(
                f'prune_layer {self.prune_layer} must be in 1..{self.llm.num_layers}')

    @property
    def num_visual(self) -> int:
        """Return the number of visual tokens N."""
        rows, cols = self.vision.grid
        return rows * cols

    @property
    def prefix(self) -> int:
        """Tokens in front of the visual ones."""
        return 1

    def query_index(self, num_visual: int) -> int:
        """Position of <act>, the last prompt token, behind num_visual visual tokens."""
        return self.prefix + num_visual + (self.state_dim > 0) + self.text_length - 1


class VLA(nn.Module):
    """The network as separate steps, which inference times one by one, and as one forward."""

    def __init__(self, config: VLAConfig):
        """Make a model with random weights."""
        super().__init__()
        self.config = config
        width = config.llm.hidden_size
        self.vision = ViT(config.vision)
        self.projector = nn.Sequential(
            nn.Linear(config.vision.width, width), nn.GELU(), nn.Linear(width, width))
        self.llm = Llama(config.llm)
        self.state_embed = nn.Linear(config.state_dim, width) if config.state_dim else None
        self.head = ChunkHead(config.head, width)

    def encode_image(self, pixels, pool: int = 1):
        """Map pixels [B, 3, H, W] to visual tokens [B, N, D]."""
        return self.projector(self.vision(pixels, pool))

    def embed(self, visual, token_ids, state=None):
        """
        Build the decoder's input [B, S, D].

        visual: [B, N, D].  token_ids: [B, 1 + L], BOS first.  state: normalised [B, state_dim],
        needed exactly when the model has a state token.
        """
        text = self.llm.embed_tokens(token_ids)  # [B, 1 + L, D]
        parts = [text[:, :1], visual]
        if self.state_embed is not None:
            parts.append(self.state_embed(state)[:, None])
        queries = self.head.queries.to(visual.dtype).expand(visual.shape[0], -1, -1)
        return torch.cat([part.to(visual.dtype) for part in (*parts, text[:, 1:], queries)], 1)

    def prefill_full(self, x):
        """
        Run the blocks that see every token.

        Returns x [B, S, D] and the scores [B, N] that <act> gives the visual tokens.
        """
        config = self.config
        num_visual = config.num_visual
        positions = torch.arange(x.shape[1], device=x.device)
        x, row = self.llm.run(
            x, positions, 0, config.prune_layer, config.query_index(num_visual))
        return x, row[:, config.prefix:config.prefix + num_visual]

    def prefill_kept(self, x, kept):
        """
        Run the remaining blocks on the kept visual tokens and everything that is not visual.

        kept: int64 [K] sorted indices into the visual tokens, or None to keep them all.
        Returns the normed hidden states of the action queries [B, T, D].
        """
        config = self.config
        positions = torch.arange(x.shape[1], device=x.device)
        if kept is not None:
            first, behind = config.prefix, config.prefix + config.num_visual
            positions = torch.cat([positions[:first], kept + first, positions[behind:]])
            x = x.index_select(1, positions)
        x, _ = self.llm.run(x, positions, config.prune_layer, config.llm.num_layers)
        return self.llm.norm(x[:, -config.head.chunk_length:])

    def forward(self, pixels, token_ids, state=None, pool: int = 1):
        """
        Run without pruning, as training does.

        Returns normalised actions [B, T, A], visual tokens [B, N, D] and the normed hidden
        state [B, D] of <act>.  pool: see ViT.forward; pooled tokens take every pool^2-th
        position so that the text stays where it is on the full grid.
        """
        visual = self.encode_image(pixels, pool)
        x = self.embed(visual, token_ids, state)
        positions = torch.arange(x.shape[1], device=x.device)
        count, step = visual.shape[1], pool * pool
        first = self.config.prefix
        positions[first:first + count] = first + torch.arange(count, device=x.device) * step
        positions[first + count:] += count * (step - 1)
        hidden = self.llm(x, positions)
        actions = self.head(hidden[:, -self.config.head.chunk_length:])
        return actions, visual, hidden[:, self.config.query_index(count)]
