# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
CogACT's action head: a transformer that denoises a chunk of actions (DDIM with guidance).

One condition token (time step plus the decoder's last hidden state) stands in front of the
noisy actions; the network predicts their noise.  Parameter names are CogACT's.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import torch
from torch import nn

from .diffusion import ddim_steps, ddim_times, ddpm_steps, step_times
from .vit import ViTAttention, ViTMLP
from ..errors import ConfigError, ObservationError
from ..support.validation import check_counts, is_number

TIME_WIDTH = 256


@dataclass(frozen=True)
class DiffusionHeadConfig:
    """
    Sizes of the action transformer and how it is sampled.

    gripper_index: the action column that is rounded to 0 or 1; -1 for none.
    ddim_steps, guidance: CogACT's defaults; 0 steps means all of DDPM's 100, with fresh noise in
    each, and guidance <= 1 means none.
    """

    chunk_length: int = 16
    action_dim: int = 7
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    gripper_index: int = 6
    ddim_steps: int = 10
    guidance: float = 1.5
    kind: str = 'diffusion'

    def __post_init__(self):
        """Raise ConfigError for sizes that do not divide or a sampling without a schedule."""
        check_counts(self, 'chunk_length', 'action_dim', 'width', 'depth', 'heads', 'mlp_width')
        check_counts(self, 'ddim_steps', least=0)
        if self.width % self.heads:
            raise ConfigError(f'action head: width {self.width} / heads {self.heads} must be a '
                              'whole number')
        if self.ddim_steps:
            ddim_times(self.ddim_steps)
        if not is_number(self.guidance):
            raise ConfigError(f'guidance (--cfg-scale) is {self.guidance}, expected a number')


def time_features(time):
    """Return the cosines, then the sines [B, 256] of time steps [B] at 128 frequencies."""
    half = TIME_WIDTH // 2
    exponent = torch.arange(half, dtype=torch.float32, device=time.device) / half
    angle = time[:, None].float() * torch.exp(-math.log(10000.0) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class _Embedder(nn.Module):
    """One linear layer under the name that CogACT gives it."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.linear(x)


class TimeEmbedder(nn.Module):
    """Time steps to vectors."""

    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time, dtype: torch.dtype = torch.float32):
        """Map time steps [B] to [B, C]; dtype: that of the layers."""
        return self.mlp(time_features(time).to(dtype))


class ConditionEmbedder(_Embedder):
    """The decoder's last hidden state, or the learned feature that stands for none."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.uncondition = nn.Parameter(torch.zeros(1, inputs))


class DiTBlock(nn.Module):
    """A pre-norm block whose norms have no parameters, with the tanh form of the GELU."""

    def __init__(self, config: DiffusionHeadConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6, elementwise_affine=False)
        self.attn = ViTAttention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6, elementwise_affine=False)
        self.mlp = ViTMLP(config, approximate='tanh')

    def forward(self, x):
        """Map x [B, 1 + T, C] to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DiffusionHead(nn.Module):
    """Sample a chunk of normalised actions from the decoder's last hidden state."""

    num_queries = 0

    def __init__(self, config: DiffusionHeadConfig, hidden_size: int):
        super().__init__()
        self.config = config
        width = config.width
        self.x_embedder = _Embedder(config.action_dim, width)
        self.t_embedder = TimeEmbedder(width)
        self.z_embedder = ConditionEmbedder(hidden_size, width)
        self.positional_embedding = nn.Parameter(
            torch.empty(1 + config.chunk_length, width).normal_(std=0.02))
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.final_layer = _Embedder(width, config.action_dim)

    @property
    def dtype(self) -> torch.dtype:
        """Return the type that the transformer computes in; samples keep their own."""
        return self.positional_embedding.dtype

    def predict_noise(self, x, time, condition):
        """Return the noise [B, T, A] in x [B, T, A] at time steps [B], given condition [B, Z]."""
        return self._noise(x, self.t_embedder(time, self.dtype) + self.z_embedder(condition))

    def _noise(self, x, token):
        """
        Return the noise [n B, T, A] in x [B, T, A], given its first token [n B, C].

        n: 2 where one sample is looked at under two conditions, else 1.
        """
        actions = self.x_embedder(x.to(self.dtype))  # [B, T, C]
        actions = actions.expand(len(token) // len(x), *actions.shape).flatten(0, 1)
        hidden = torch.cat([token[:, None], actions], dim=1) + self.positional_embedding
        for block in self.blocks:
            hidden = block(hidden)
        return self.final_layer(self.norm(hidden))[:, 1:].to(x.dtype)

    def _tokens(self, times, condition, guidance: float):
        """Return the first tokens [steps, B, C] of all steps; twice B, the free ones behind."""
        if guidance > 1:
            nothing = self.z_embedder.uncondition.expand_as(condition)
            condition = torch.cat([condition, nothing])
        return self.t_embedder(times, self.dtype)[:, None] + self.z_embedder(condition)

    def _guided(self, x, token, guidance: float):
        """Return the noise in x [B, T, A] given its first tokens, see _tokens."""
        noise = self._noise(x, token)
        if guidance <= 1:
            return noise
        given, free = noise.chunk(2)
        return torch.lerp(free, given, guidance)

    def forward(self, condition, noise):
        """
        Sample raw normalised actions [B, T, A], which may lie a little outside [-1, 1].

        condition: [B, Z], the normed hidden state of the last prompt token.  noise: [B, T, A],
        draws from the unit normal distribution; with 0 DDIM steps [B, 100, T, A], the first to
        begin with and one more for each step but the last.  What does not change from step to
        step, the condition and the times, is embedded once.
        """
        config = self.config
        times = step_times(config.ddim_steps)
        tokens = self._tokens(torch.arange(times.start, times.stop, times.step,
                                           device=noise.device), condition, config.guidance)

        def predict(x, time):
            return self._guided(x, tokens[times.index(time)], config.guidance)
        if config.ddim_steps:
            path = (x for x, _ in ddim_steps(predict, noise, config.ddim_steps))
        else:
            path = ddpm_steps(predict, noise[:, 0], lambda time: noise[:, -time])
        for x in path:
            pass
        return x

    def normalised(self, raw) -> np.ndarray:
        """
        Return float32 [T, A] of the raw sample [1, T, A]: within [-1, 1], gripper 0 or 1.

        Raises ObservationError for a sample that is not finite, which clipping would hide.
        """
        actions = raw[0].float().cpu().numpy()
        if not np.isfinite(actions).all():
            raise ObservationError(
                'the policy answered with non-finite actions: check the checkpoint and precision')
        actions = actions.clip(-1.0, 1.0)
        index = self.config.gripper_index
        if index >= 0:
            actions[:, index] = np.where(actions[:, index] < 0.5, 0.0, 1.0)
        return actions
