# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Action heads: what reads the decoder's final hidden states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ChunkHeadConfig:
    """A chunk of `chunk_length` actions of `action_dim` values, decoded in one pass."""

    chunk_length: int = 8
    action_dim: int = 7


class ChunkHead(nn.Module):
    """
    Decode a whole chunk in parallel from learned query tokens.

    The queries stand at the end of the decoder's sequence, one an action; each one's final
    hidden state becomes that action.
    """

    def __init__(self, config: ChunkHeadConfig, hidden_size: int):
        """Make the queries and the two-layer read-out."""
        super().__init__()
        self.config = config
        self.queries = nn.Parameter(torch.randn(config.chunk_length, hidden_size) * 0.02)
        self.fc1 = nn.Linear(hidden_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, config.action_dim)

    def forward(self, hidden):
        """Map the queries' hidden states [B, T, D] to normalised actions [B, T, A]."""
        return self.fc2(F.gelu(self.fc1(hidden)))
