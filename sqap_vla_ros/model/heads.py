# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Action heads: what turns the decoder's final hidden states into actions.

Every head says how many learned queries it puts at the end of the sequence (`num_queries`) and
turns its raw output into normalised actions [T, A] (`normalised`).  CogACT's diffusion transformer
lives in dit.py, the heads of OpenVLA-OFT in oft_heads.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .dit import DiffusionHead, DiffusionHeadConfig
from .oft import OFTHeadConfig
from .oft_heads import around, OFTDiffusionHead, OFTHead
from .prompt import LLAMA_EOS
from ..errors import ConfigError, ObservationError
from ..support.validation import check_counts


BROKEN = -1  # stands for a token whose logits were not all finite


@dataclass(frozen=True)
class ChunkHeadConfig:
    """A chunk of `chunk_length` actions of `action_dim` values, decoded in one pass."""

    chunk_length: int = 8
    action_dim: int = 7
    kind: str = 'chunk'

    def __post_init__(self):
        """Raise ConfigError for a chunk without actions."""
        check_counts(self, 'chunk_length', 'action_dim')


@dataclass(frozen=True)
class TokenHeadConfig:
    """
    One action of `action_dim` tokens, decoded one by one (OpenVLA).

    bins: edges of the equal bins over [-1, 1] that an action value falls into.  vocab_end: the
    id behind the last action token; bin 0 is vocab_end - 1, and bins go on downwards.
    """

    action_dim: int = 7
    bins: int = 256
    vocab_end: int = 32000
    kind: str = 'tokens'

    def __post_init__(self):
        """Raise ConfigError for bins or tokens that cannot be."""
        check_counts(self, 'action_dim', 'bins', 'vocab_end')
        if self.bins < 2 or self.vocab_end < self.bins:
            raise ConfigError(f'action tokens: {self.bins} bins below id {self.vocab_end}: '
                              'expected at least 2 bins, and as many ids')

    @property
    def chunk_length(self) -> int:
        """Return the number of actions decoded at a time."""
        return 1

    @property
    def ids(self) -> range:
        """Return the ids that stand for actions."""
        return range(self.vocab_end - self.bins, self.vocab_end)

    @property
    def centres(self) -> np.ndarray:
        """Middles of the bins, float64 [bins - 1]."""
        edges = np.linspace(-1.0, 1.0, self.bins)
        return (edges[:-1] + edges[1:]) / 2.0

    def values(self, ids: np.ndarray) -> np.ndarray:
        """
        Return the centres of the bins that token ids stand for, float64 of the same shape.

        Ids outside the action tokens fall into the nearest bin, as in the reference, which is
        full speed: TokenHead.normalised refuses them.
        """
        centres = self.centres
        return centres[np.clip(self.vocab_end - ids - 1, 0, len(centres) - 1)]


class ChunkHead(nn.Module):
    """
    Decode a whole chunk in parallel from learned query tokens.

    The queries stand at the end of the decoder's sequence, one an action; each one's final
    hidden state becomes that action.
    """

    def __init__(self, config: ChunkHeadConfig, hidden_size: int):
        super().__init__()
        self.config = config
        self.queries = nn.Parameter(
            torch.empty(config.chunk_length, hidden_size).normal_(std=0.02))
        self.fc1 = nn.Linear(hidden_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, config.action_dim)

    @property
    def num_queries(self) -> int:
        """Tokens that stand behind the prompt."""
        return self.config.chunk_length

    def forward(self, hidden):
        """Map the queries' hidden states [B, T, D] to normalised actions [B, T, A]."""
        return self.fc2(F.gelu(self.fc1(hidden)))

    def normalised(self, raw) -> np.ndarray:
        """Return float32 [T, A] of the output [1, T, A]."""
        return raw[0].float().cpu().numpy()


class TokenHead(nn.Module):
    """The language model's own output layer, read as bins of action values."""

    num_queries = 0

    def __init__(self, config: TokenHeadConfig, hidden_size: int, vocab_size: int):
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)

    @property
    def fc1(self) -> nn.Linear:
        """Return the layer that reads the final vector: rotations fold into it."""
        return self.lm_head

    def forward(self, hidden):
        """Map hidden states [B, D] to logits [B, V]."""
        return self.lm_head(hidden)

    def normalised(self, raw) -> np.ndarray:
        """
        Return float64 [1, A] of decoded ids [1, A].

        Raises ObservationError where logits were not finite, which argmax does not show, where
        the model ended its answer early, since the ids behind that are no actions, and where it
        answered with words: none of these must reach a robot.
        """
        ids = raw[0].cpu().numpy()
        if (ids == BROKEN).any():
            raise ObservationError(
                'the policy answered with non-finite logits: check the checkpoint and precision')
        if (ids == LLAMA_EOS).any():
            raise ObservationError(
                f'the model ended its answer early (tokens {ids.tolist()}): check instruction, '
                'unnorm_key and precision')
        valid = self.config.ids
        words = ids[(ids < valid.start) | (ids >= valid.stop)]
        if words.size:
            raise ObservationError(
                f'the model answered with tokens {sorted(set(words.tolist()))}, which are words: '
                f'actions are {valid.start} to {valid.stop - 1}.  Is its adapter merged, is it '
                'an OpenVLA (OpenVLA-OFT and language models do not answer so), and are '
                'instruction, precision and pad_to_multiple_of in config.json right?')
        return self.config.values(ids)[None]


class ParallelTokenHead(TokenHead):
    """All action tokens of a chunk at once, of an OpenVLA-OFT without a head of its own."""

    def __init__(self, config: OFTHeadConfig, hidden_size: int, vocab_size: int):
        super().__init__(TokenHeadConfig(config.placeholders, config.bins, config.vocab_end),
                         hidden_size, vocab_size)
        self._chunk = config

    def surrounded(self, text, noisy=None, step: int = 0) -> list[torch.Tensor]:
        """Return text [B, L, D] with placeholders in front of its last token."""
        return around(self._chunk, text)

    def forward(self, hidden):
        """Map hidden states [B, T A, D] to ids [B, T A], BROKEN where logits are not finite."""
        logits = self.lm_head(hidden)
        return torch.where(logits.isfinite().all(dim=-1), logits.argmax(dim=-1), BROKEN)

    def normalised(self, raw) -> np.ndarray:
        """Return float64 [T, A] of ids [1, T A]; raises as TokenHead's does."""
        return super().normalised(raw).reshape(self._chunk.chunk_length, -1)


HEADS = {config.kind: config for config in (
    ChunkHeadConfig, TokenHeadConfig, DiffusionHeadConfig, OFTHeadConfig)}


def make_head(config, hidden_size: int, vocab_size: int) -> nn.Module:
    """Return the head that a config describes."""
    if isinstance(config, OFTHeadConfig):
        return _make_oft_head(config, hidden_size, vocab_size)
    if isinstance(config, TokenHeadConfig):
        return TokenHead(config, hidden_size, vocab_size)
    kind = DiffusionHead if isinstance(config, DiffusionHeadConfig) else ChunkHead
    return kind(config, hidden_size)


def _make_oft_head(config: OFTHeadConfig, hidden_size: int, vocab_size: int) -> nn.Module:
    if config.reads == 'tokens':
        return ParallelTokenHead(config, hidden_size, vocab_size)
    return (OFTDiffusionHead if config.diffuses else OFTHead)(config, hidden_size)
