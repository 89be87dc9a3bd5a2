# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The modules of OpenVLA-OFT's action heads: a residual network over the values of one step.

What it gives is the action itself (trained with an L1 loss), or the noise in a noisy one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .diffusion import clipped_ddim_steps, leading_times
from .oft import OFTHeadConfig
from ..errors import ObservationError
from ..numerics.shared_tensors import constant

NORM_EPS = 1e-5  # unlike the vision encoders'


class ResidualBlock(nn.Module):
    """Norm, linear layer and ReLU, added to what comes in."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        """Map x [..., W] to the same shape."""
        return x + F.relu(self.linear(self.norm(x)))


class OFTHead(nn.Module):
    """Read each step of a chunk from the hidden states of its values, side by side."""

    num_queries = 0

    def __init__(self, config: OFTHeadConfig, hidden_size: int):
        super().__init__()
        self.config = config
        width = config.width
        self.norm1 = nn.LayerNorm(config.action_dim * hidden_size, eps=NORM_EPS)
        self.fc1 = nn.Linear(config.action_dim * hidden_size, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.blocks))
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.fc2 = nn.Linear(width, config.action_dim)

    def forward(self, hidden):
        """Map the hidden states [B, T A, D] of all values, step by step, to [B, T, A]."""
        config = self.config
        x = hidden.reshape(hidden.shape[0], config.chunk_length, -1)  # [B, T, A D]
        x = F.relu(self.fc1(self.norm1(x)))
        for block in self.blocks:
            x = block(x)
        return self.fc2(self.norm2(x))

    def surrounded(self, text, noisy=None, step: int = 0) -> list[torch.Tensor]:
        """Return what follows the state: text [B, L, D], placeholders before its last token."""
        return around(self.config, text)

    def normalised(self, raw) -> np.ndarray:
        """
        Return float32 [T, A] of the output [1, T, A]; values a little beyond -1 and 1 occur.

        Raises ObservationError for values that are not finite.
        """
        actions = raw[0].float().cpu().numpy()
        if not np.isfinite(actions).all():
            raise ObservationError(
                'the policy answered with non-finite actions: check the checkpoint and precision')
        return actions


class OFTDiffusionHead(OFTHead):
    """Denoise a chunk whose values are themselves tokens of the sequence."""

    def __init__(self, config: OFTHeadConfig, hidden_size: int):
        super().__init__(config, hidden_size)
        self.noisy = nn.Sequential(nn.Linear(1, hidden_size), nn.GELU(),
                                   nn.Linear(hidden_size, hidden_size))
        self.time = TimeToken(config.training_steps, hidden_size)

    def surrounded(self, text, noisy=None, step: int = 0) -> list[torch.Tensor]:
        """
        Return what follows the state: the time token, and noisy actions inside the text.

        noisy: [B, T, A].  step: of the denoising, from 0.
        """
        time = leading_times(self.config.training_steps, self.config.ddim_steps)[step]
        actions = self.noisy(noisy.flatten(1)[..., None].to(text.dtype))  # [B, T A, D]
        return [self.time(time, text).expand(len(text), 1, -1),
                *around(self.config, text, actions)]

    def sample(self, hidden, noise, run: Callable):
        """
        Denoise a chunk [B, T, A] whose values end in [-1, 1].

        hidden: [B, T A, D] of the first step, of which noise [B, T, A] was the input.
        run(x, step) -> those of a later step.
        """
        config = self.config

        def predict(x, step: int):
            states = run(x, step) if step else hidden
            return self(states).to(x.dtype)
        for x in clipped_ddim_steps(predict, noise, config.training_steps, config.ddim_steps):
            pass
        return x


def around(config: OFTHeadConfig, text, placeholders=None) -> Sequence[torch.Tensor]:
    """Return the text [B, L, D] with placeholders, zeros unless given, before its last token."""
    if placeholders is None:
        placeholders = text.new_zeros(text.shape[0], config.placeholders, text.shape[2])
    return [text[:, :-1], placeholders, text[:, -1:]]


class TimeToken(nn.Module):
    """Turn time steps into vectors: sines, then cosines."""

    def __init__(self, steps: int, width: int):
        """Keep the sizes; steps: of the training."""
        super().__init__()
        self.steps, self.width = steps, width

    def forward(self, time: int, like):
        """Return the token [1, 1, D] of a time step; like: of its type and device."""
        return time_tokens(self.steps, self.width, like.dtype, like.device)[None, time:time + 1]


@constant
def time_tokens(steps: int, width: int, dtype: torch.dtype = torch.float32, device=None):
    """Return the tokens [steps, width] of the time steps from 0, shared between callers."""
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=device) / (half - 1)
    angle = torch.arange(steps, dtype=torch.float32, device=device)[:, None] * torch.exp(
        -math.log(10000.0) * exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(dtype)
