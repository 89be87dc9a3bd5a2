# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The vision-language-action model: encoder, projector, decoder and head in one sequence.

    [BOS] [visual tokens, 1..N] [state] [prompt ... query] [action queries]

Blocks before `prune_layer` see all of it.  Then the attention of the tokens that the head reads
(the action queries, or without them the prompt's last token) chooses which visual tokens the
remaining blocks keep, at their original rotary positions.  State token and action queries are
there only if the model has them.  OpenVLA-OFT's sequence and its scores are those of oft.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from .dit import DiffusionHeadConfig
from .followers import active_rows
from .heads import BROKEN, ChunkHeadConfig, make_head, TokenHeadConfig
from .llama import LayerCache, Llama, LlamaConfig
from .oft import OFTHeadConfig, score_rows
from .oft_heads import OFTDiffusionHead
from .vit import FusedViTConfig, make_vision, ViTConfig
from ..errors import ConfigError
from ..numerics.visual_rows import VisualRows
from ..support.validation import check_counts

ATTENTIONS = ('causal', 'full')


@dataclass(frozen=True)
class VLAConfig:
    """
    Everything that fixes the network's shape.

    text_length: tokens of the prompt behind BOS, 0 for prompts of any length.
    projector_widths: widths of the projector's hidden layers; empty for one as wide as the
    decoder.
    images: how many it takes; their visual tokens stand one image behind the other.
    attention: 'causal', or 'full' where every token sees every token.
    state_hidden: width of the hidden layer, with an exact GELU, between the state and its token;
    0 for one linear layer.
    film: whether each block of the vision encoders is modulated by the mean of the prompt.
    """

    vision: ViTConfig | FusedViTConfig = field(default_factory=ViTConfig)
    llm: LlamaConfig = field(default_factory=LlamaConfig)
    head: ChunkHeadConfig | TokenHeadConfig | DiffusionHeadConfig | OFTHeadConfig = field(
        default_factory=ChunkHeadConfig)
    text_length: int = 16
    state_dim: int = 8
    prune_layer: int = 2
    projector_widths: tuple[int, ...] = ()
    images: int = 1
    attention: str = 'causal'
    state_hidden: int = 0
    film: bool = False

    def __post_init__(self):
        """Raise ConfigError if the pruning layer leaves nothing to score or to save."""
        object.__setattr__(self, 'projector_widths', tuple(self.projector_widths))
        if not 1 <= self.prune_layer <= self.llm.num_layers:
            raise ConfigError(
                f'prune_layer {self.prune_layer} must be in 1..{self.llm.num_layers}')
        check_counts(self, 'images')
        check_counts(self, 'state_hidden', least=0)
        if self.attention not in ATTENTIONS:
            raise ConfigError(f'attention is {self.attention!r}, expected one of {ATTENTIONS}')
        wrong = {'causal': OFTHeadConfig, 'full': TokenHeadConfig}[self.attention]
        if isinstance(self.head, wrong):
            raise ConfigError(f'attention is {self.attention!r}, and the head is of the kind '
                              f'{self.head.kind!r}, which was trained with another: correct '
                              'attention in config.json')

    @property
    def num_visual(self) -> int:
        """Return the number of visual tokens N of all images."""
        rows, cols = self.vision.grid
        return self.images * rows * cols

    @property
    def prefix(self) -> int:
        """Tokens in front of the visual ones."""
        return 1

    def query_index(self, num_visual: int) -> int:
        """Position of <act>, the last prompt token, behind num_visual visual tokens."""
        return self.prefix + num_visual + (self.state_dim > 0) + self.text_length - 1

    @property
    def placeholders(self) -> int:
        """Return the number of rows that only hold places for OpenVLA-OFT's answer, else 0."""
        return self.head.placeholders if isinstance(self.head, OFTHeadConfig) else 0

    def head_rows(self, length: int) -> range:
        """
        Return the rows whose hidden states the head reads, of a sequence of this length.

        They are the action queries, the prompt's last token, or those of oft.py.  Visual tokens
        may have been dropped in front of them.
        """
        if isinstance(self.head, OFTHeadConfig):
            return self.head.rows(length)
        count = self.head.chunk_length if isinstance(self.head, ChunkHeadConfig) else 1
        return range(length - count, length)

    def score_rows(self, length: int) -> range:
        """Return the rows of a whole sequence whose attention scores its visual tokens."""
        if isinstance(self.head, OFTHeadConfig):
            return score_rows(self, length)
        return self.head_rows(length)


def make_projector(config: VLAConfig) -> nn.Sequential:
    """Return what maps patch features to visual tokens."""
    width = config.llm.hidden_size
    return _layers(config.vision.width, *(config.projector_widths or (width,)), width)


def make_state_embed(config: VLAConfig) -> nn.Module | None:
    """Return what maps the state to its token; None for a network without one."""
    width = config.llm.hidden_size
    if not config.state_dim or not config.state_hidden:
        return nn.Linear(config.state_dim, width) if config.state_dim else None
    return _layers(config.state_dim, config.state_hidden, width)


def _layers(*widths: int) -> nn.Sequential:
    """Return linear layers with exact GELUs between."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class VLA(nn.Module):
    """The network as separate steps, which inference times one by one, and as one forward."""

    def __init__(self, config: VLAConfig):
        super().__init__()
        self.config = config
        width = config.llm.hidden_size
        self.vision = make_vision(config.vision, width if config.film else 0)
        self.projector = make_projector(config)
        self.llm = Llama(config.llm, config.attention == 'causal')
        self.state_embed = make_state_embed(config)
        self.head = make_head(config.head, width, config.llm.vocab_size)

    def encode_image(self, pixels, pool: int = 1, condition=None):
        """
        Map pixels [B, C, H, W] to visual tokens [B, N, D].

        The channels of several images stand one behind the other, and so do their tokens.
        condition: see `condition`.
        """
        return self.project(self.vision(self.each_image(pixels), pool, condition))

    def each_image(self, pixels):
        """Return pixels [B, images * C, H, W] as a batch [B * images, C, H, W]."""
        return pixels.view(-1, self.config.vision.channels, *pixels.shape[2:])

    def project(self, features):
        """
        Map features [B * images, N, E] of single images to visual tokens [B, images * N, D].

        They have the features' type, whatever the projector multiplies in.
        """
        return self.projector(features.reshape(
            -1, self.config.images * features.shape[1], features.shape[2])).to(features.dtype)

    def condition(self, token_ids):
        """
        Return what FiLM modulates the encoders by [B, D], None for a network without it.

        It is the mean over all ids of the prompt, BOS and stop token included.
        """
        return self.llm.embed_tokens(token_ids).mean(dim=1) if self.config.film else None

    def embed(self, visual, token_ids, state=None, noisy=None, step: int = 0):
        """
        Build the decoder's input [B, S, D].

        visual: [B, N, D].  token_ids: [B, 1 + L], BOS first.  state: normalised [B, state_dim],
        needed exactly when the model has a state token.  noisy, step: see OFTDiffusionHead.
        """
        text = self.llm.embed_tokens(token_ids)  # [B, 1 + L, D]
        parts = [text[:, :1], visual]
        if self.state_embed is not None:
            parts.append(self.state_embed(state.to(visual.dtype))[:, None])
        if isinstance(self.config.head, OFTHeadConfig):
            parts += self.head.surrounded(text[:, 1:], noisy, step)
        else:
            parts.append(text[:, 1:])
        if self.head.num_queries:
            parts.append(self.head.queries.expand(visual.shape[0], -1, -1))
        return torch.cat([part.to(visual.dtype) for part in parts], 1)

    def make_caches(self) -> list[LayerCache] | None:
        """Return one empty cache a block for a head that decodes token by token, else None."""
        if not isinstance(self.config.head, TokenHeadConfig):
            return None
        room = self.config.head.action_dim - 1  # the last token is never fed back
        return [LayerCache(room) for _ in self.llm.layers]

    def visual_rows(self, length: int, count: int | None = None) -> VisualRows:
        """Return where a sequence of this length has its `count` visual tokens, None for all."""
        return VisualRows(length, self.config.prefix,
                          self.config.num_visual if count is None else count)

    def prefill_full(self, x, caches=None, scored: bool = True, all_rows: bool = False):
        """
        Run the blocks that see every token.

        Returns x [B, S, D] and the scores [B, N] of the visual tokens: the attention, in the last
        of these blocks, of VLAConfig.score_rows, a mean over heads and queries.
        scored: False saves the scores where nothing is selected, and returns None for them.
        Where no block is left behind them, x is [B, R, D], what the head reads, unless all_rows
        has the decoder's last block compute the others too.
        """
        config, length = self.config, x.shape[1]
        rows = config.score_rows(length) if scored else None
        reads_all = all_rows or config.prune_layer < config.llm.num_layers
        x, row = self.llm.run(
            x, self._rotary(x, range(length)), 0, config.prune_layer, rows, caches,
            self.visual_rows(length), None if reads_all else rows or config.head_rows(length))
        if not reads_all:  # the rows that score end with those of the head
            x = x[:, -len(config.head_rows(length)):]
        if not scored:
            return x, None
        return x, row[:, config.prefix:config.prefix + config.num_visual]

    def prefill_kept(self, x, kept, caches=None, follow: bool = False, all_rows: bool = False):
        """
        Run the remaining blocks on the kept visual tokens and everything that is not visual.

        x: what prefill_full gave.  kept: int64 [K] sorted indices into the visual tokens, or None
        to keep them all.  follow: the others are still seen, and follow those that are kept; see
        followers.py.  Returns the normed hidden states [B, R, D] that the head reads, see
        VLAConfig.head_rows; the last block computes no others unless all_rows says so.
        """
        config = self.config
        if config.prune_layer == config.llm.num_layers and not all_rows:
            return self.llm.norm(x)
        rotary = self._rotary(x, range(x.shape[1]))
        rows, count = None, config.num_visual
        if kept is not None and follow:
            rows = active_rows(kept, x.shape[1], config.prefix, config.vision.grid, config.images,
                               config.attention == 'causal')
        elif kept is not None:
            first, behind = config.prefix, config.prefix + config.num_visual
            positions = torch.arange(x.shape[1], device=x.device)
            positions = torch.cat([positions[:first], kept + first, positions[behind:]])
            x = x.index_select(1, positions)
            rotary = tuple(table.index_select(0, positions) for table in rotary)
            count = len(kept)
        read = config.head_rows(x.shape[1])
        x, _ = self.llm.run(
            x, rotary, config.prune_layer, config.llm.num_layers, caches=caches,
            visual=self.visual_rows(x.shape[1], count), read=None if all_rows else read,
            rows=rows)
        return self.llm.norm(x[:, read.start:read.stop] if all_rows else x)

    def _rotary(self, x, places: range):
        """Return the rotary tables' rows of neighbouring positions, views without a copy."""
        return tuple(table[places.start:places.stop]
                     for table in self.llm.rotary(places.stop, x))

    def answer(self, hidden, length: int, caches=None, noise=None, run=None):
        """
        Return the head's raw output for what prefill_kept gave.

        length: tokens of the whole sequence, kept or not.  caches: filled by both prefills, for
        a head that decodes.  noise: [B, T, A] for a head that diffuses.  run(noisy, step) gives
        what prefill_kept gives in a later step, for one that runs the whole network in each.  The
        output is token ids [B, A] of heads of tokens and actions [B, T, A] of all others;
        head.normalised reads it.
        """
        if isinstance(self.config.head, TokenHeadConfig):
            return self.generate(hidden[:, -1], length, caches)
        if isinstance(self.config.head, DiffusionHeadConfig):
            return self.head(hidden[:, -1], noise)
        if isinstance(self.head, OFTDiffusionHead):
            return self.head.sample(hidden, noise, run)
        return self.head(hidden)

    def generate(self, hidden, length: int, caches):
        """
        Decode action tokens greedily and return their ids [B, A].

        hidden: normed [B, D] of the last token at position length - 1.  New tokens stand behind
        the whole sequence; in each block they see what that block's cache holds.  A token whose
        logits are not all finite is returned as heads.BROKEN.
        """
        ids, finite = [], []
        for position in range(length, length + self.config.head.action_dim):
            if ids:
                hidden = self._next_hidden(ids[-1], position - 1, caches)
            logits = self.head(hidden)  # [B, V]
            ids.append(logits.argmax(dim=-1))
            finite.append(logits.isfinite().all(dim=-1))
        return torch.where(torch.stack(finite, dim=1), torch.stack(ids, dim=1), BROKEN)

    def _next_hidden(self, ids, position: int, caches):
        """Return the normed hidden state [B, D] of the tokens ids [B] at a position."""
        x = self.llm.embed_tokens(ids)[:, None]  # [B, 1, D]
        rotary = self._rotary(x, range(position, position + 1))
        x, _ = self.llm.run(x, rotary, 0, self.config.llm.num_layers, caches=caches)
        return self.llm.norm(x[:, -1])

    def forward(self, pixels, token_ids, state=None, pool: int = 1):
        """
        Run a model with action queries without pruning, as training does.

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
        hidden = self.llm(x, positions, self.visual_rows(x.shape[1], count))
        actions = self.head(hidden[:, -self.config.head.chunk_length:])
        return actions, visual, hidden[:, self.config.query_index(count)]
