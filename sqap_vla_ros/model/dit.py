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

from .diffusion import ddim_steps, ddim_times, ddpm_steps
from .validation import check_counts, is_number
from .vit import ViTAttention, ViTMLP
from ..errors import ConfigError, ObservationError

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
        """Make the two layers behind the sinusoids."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time):
        """Map time steps [B] to [B, C]."""
        return self.mlp(time_features(time).to(self.mlp[-1].bias.dtype))


class ConditionEmbedder(_Embedder):
    """The decoder's last hidden state, or the learned feature that stands for none."""

    def __init__(self, inputs: int, outputs: int):
        """Make the projection and the learned feature."""
        super().__init__(inputs, outputs)
        self.uncondition = nn.Parameter(torch.zeros(1, inputs))


class DiTBlock(nn.Module):
    """A pre-norm block whose norms have no parameters, with the tanh form of the GELU."""

    def __init__(self, config: DiffusionHeadConfig):
        """Make the block's parts under CogACT's names."""
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
        """Make the transformer with torch's default initialisation."""
        super().__init__()
        self.config = config
        width = config.width
        self.x_embedder = _Embedder(config.action_dim, width)
        self.t_embedder = TimeEmbedder(width)
        self.z_embedder = ConditionEmbedder(hidden_size, width)
        self.positional_embedding = nn.Parameter(
            torch.randn(1 + config.chunk_length, width) * 0.02)
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.final_layer = _Embedder(width, config.action_dim)

    def predict_noise(self, x, time, condition):
        """Return the noise [B, T, A] in x [B, T, A] at time steps [B], given condition [B, Z]."""
        token = self.t_embedder(time) + self.z_embedder(condition)  # [B, C]
        x = torch.cat([token[:, None], self.x_embedder(x)], dim=1) + self.positional_embedding
        for block in self.blocks:
            x = block(x)
        return self.final_layer(self.norm(x))[:, 1:]

    def guided_noise(self, x, time: int, condition, guidance: float):
        """Return the noise pushed from the unconditional towards the conditional one."""
        steps = torch.full((x.shape[0],), time, device=x.device)
        if guidance <= 1:
            return self.predict_noise(x, steps, condition)
        nothing = self.z_embedder.uncondition.expand_as(condition)
        both = self.predict_noise(torch.cat([x, x]), torch.cat([steps, steps]),
                                  torch.cat([condition, nothing]))
        given, free = both.chunk(2)
        return free + guidance * (given - free)

    def forward(self, condition, noise):
        """
        Sample raw normalised actions [B, T, A], which may lie a little outside [-1, 1].

        condition: [B, Z], the normed hidden state of the last prompt token.  noise: [B, T, A],
        draws from the unit normal distribution; with 0 DDIM steps [B, 100, T, A], the first to
        begin with and one more for each step but the last.
        """
        config = self.config

        def predict(x, time):
            return self.guided_noise(x, time, condition, config.guidance)
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
