# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What every backend of a quantized linear layer is, and the scheme that all share.

    grid = hadamard(x) / s_x                      one scale a token (or one for all)
    y = (round(grid) @ q_w^T) * s_x * s_w + bias  the product is exact in integers

With 16-bit activations there is no s_x, and the product is an ordinary one in floats; s_w may
then be finer than a channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
import subprocess

import torch

from ..errors import ConfigError
from ..numerics.hadamard import check_block, hadamard_matrix, left_multiply
from ..numerics.int4 import activation_scale, integer_range
from ..numerics.visual_rows import VisualRows

_INNER = 64  # channels of a Hadamard that one product does


@dataclass(frozen=True)
class LinearSpec:
    """
    What a kernel has to compute, without the weights.

    weight_bits: 4 or 8.  act_bits: 4, 8, or 16 for activations that stay floats.
    hadamard_block, hadamard_stride: online transform of the input, block 1 for none.
    group_size: neighbouring input channels that share a weight scale, 0 for all of them; only
    with act_bits 16.  text_bits: of the activations of rows that are not visual, 0 for act_bits.
    """

    in_features: int
    out_features: int
    weight_bits: int
    act_bits: int
    hadamard_block: int = 1
    hadamard_stride: int = 1
    per_token: bool = True
    group_size: int = 0
    text_bits: int = 0

    def __post_init__(self):
        """Raise ConfigError for bits, a Hadamard block or a group that are not available."""
        integer_range(self.weight_bits)
        if self.act_bits != 16:
            integer_range(self.act_bits)
        if self.text_bits:
            integer_range(self.text_bits)
            if self.act_bits == 16 or not self.per_token:
                raise ConfigError(f'text_bits {self.text_bits} beside act_bits {self.act_bits} '
                                  'need quantized activations with a scale for each token')
        check_block(self.in_features, self.hadamard_block, self.hadamard_stride)
        if self.group_size and (self.act_bits != 16 or self.in_features % self.group_size):
            raise ConfigError(
                f'weight scales by groups of {self.group_size} need 16-bit activations and a '
                f'width that they divide, got {self.act_bits} bits and {self.in_features}')

    @property
    def widest_bits(self) -> int:
        """Return the bits of the largest integers among the activations."""
        return max(self.act_bits, self.text_bits)

    @property
    def precision(self) -> str:
        """Return the name of its bits, such as w4a4t8."""
        text = f't{self.text_bits}' if self.text_bits else ''
        return f'w{self.weight_bits}a{self.act_bits}{text}'


def dequantize(q_weight, scale) -> torch.Tensor:
    """Return the float32 weights [N, K] of integers [N, K] and scales [N] or [N, groups]."""
    groups = q_weight.float().view(len(q_weight), scale[0].numel(), -1)
    return groups.mul_(scale.view(len(scale), -1, 1)).view(q_weight.shape)


class Unavailable(Exception):
    """A backend cannot serve a layer on this machine; the message says why."""


class Kernel(ABC):
    """
    One layer's weights in a backend's own layout.

    failures: what it raises where it is not for this machine; compilers may fail in their own
    process.
    """

    name = ''
    failures: tuple[type[Exception], ...] = (
        Unavailable, RuntimeError, OSError, subprocess.SubprocessError)

    @classmethod
    def bits_for(cls, spec: LinearSpec) -> int:
        """Return how many bits a weight takes in memory: as many as on disk, or more."""
        return spec.weight_bits

    def __init__(self, spec: LinearSpec, q_weight, scale, bias=None):
        """
        Lay out q_weight int8 [N, K], scale float32 [N] (or [N, K / group_size]) and bias [N].

        Raises Unavailable if the backend cannot serve the spec on this machine.

        Subclasses call this first and then keep q_weight in their own form.
        """
        self.spec = spec
        self.scale = scale
        self.bias = bias

    @abstractmethod
    def product(self, grid: torch.Tensor) -> torch.Tensor:
        """
        Return round(grid) @ q_w^T * s_w as floats [M, N] for float32 grid [M, K].

        It may overwrite grid, except with 16-bit activations, which it does not round.
        """

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the online Hadamard to x [M, K], its inner channels in one product."""
        block, stride = self.spec.hadamard_block, self.spec.hadamard_stride
        if stride == 1:
            stride = min(block, _INNER)
            inner = hadamard_matrix(stride, x.dtype, str(x.device))
            x, block = (x.reshape(-1, stride) @ inner).view(x.shape), block // stride
        return left_multiply(x, block, stride)

    def row_scale(self, x: torch.Tensor, visual: VisualRows | None) -> torch.Tensor:
        """Return the scale of each row of x [M, K], [M, 1], or [1, 1] for all of them."""
        spec = self.spec
        if not spec.text_bits:
            return activation_scale(x, spec.act_bits, spec.per_token)
        text = activation_scale(x, spec.text_bits)
        if visual is None:
            return text
        mask = visual.mask(len(x), x.device)[:, None]
        return torch.where(mask, activation_scale(x, spec.act_bits), text)

    def __call__(self, x: torch.Tensor, visual: VisualRows | None = None) -> torch.Tensor:
        """
        Map x [M, K] to [M, N] of the same floating type.

        visual: which rows are visual tokens, None for none; they matter with text_bits.
        """
        spec, dtype = self.spec, x.dtype
        x = x.float()
        if spec.hadamard_block > 1:
            x = self.transform(x)
        if spec.act_bits == 16:
            y = self.product(x)
        else:
            row_scale = self.row_scale(x, visual)
            y = self.product(x / row_scale).mul_(row_scale)
        if self.bias is not None:
            y.add_(self.bias)
        return y.to(dtype)
