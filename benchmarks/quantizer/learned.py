# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A rotation of the residual stream that is learned on what quantization does to each layer."""

from __future__ import annotations

from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.numerics.hadamard import Rotation
import torch

ROWS = 512  # of activations, of each place


class Learned:
    """A Rotation times an orthogonal matrix [D, D]."""

    def __init__(self, start: Rotation, matrix: torch.Tensor):
        """Take both."""
        self._start, self._matrix = start, matrix.double()

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Q as float64 for x [..., D]."""
        return self._start.apply(x) @ self._matrix


def rounded(x, bits: int):
    """Return x rounded to so many bits a row; gradients go through."""
    top = 2 ** (bits - 1) - 1
    scale = x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-8) / top
    return x + ((x / scale).round() * scale - x).detach()


def places(model: VLA, inputs: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return (x [ROWS, D], weights [N, D]) of what reads the stream, with the norms' scales."""
    found, handles = [], []
    for layer in model.llm.layers:
        for norm, readers in (
                (layer.input_layernorm, [getattr(layer.self_attn, f'{part}_proj')
                                         for part in 'qkv']),
                (layer.post_attention_layernorm, [layer.mlp.gate_proj, layer.mlp.up_proj])):
            weight = torch.cat([reader.weight for reader in readers]) * norm.weight
            handles.append(norm.register_forward_hook(
                lambda norm, _, y, weight=weight: found.append((y / norm.weight, weight))))
    with torch.no_grad():
        model.llm.run(inputs, torch.arange(inputs.shape[1]), 0, len(model.llm.layers))
    for handle in handles:
        handle.remove()
    generator = torch.Generator().manual_seed(0)
    flat = [(x.flatten(0, 1), weight.detach()) for x, weight in found]
    return [(x[torch.randperm(len(x), generator=generator)[:ROWS]], weight) for x, weight in flat]


def learn(model: VLA, inputs: torch.Tensor, start: Rotation, steps: int, bits: int,
          rate: float = 1e-4) -> tuple[Learned, list[float]]:
    """
    Return the best rotation that Adam finds through Cayley's map, and the loss of each step.

    The loss is the relative squared error of all products that read the stream, with 4-bit weights
    and activations of `bits`.
    """
    seen = [(start.apply(x).float(), start.apply(weight).float())
            for x, weight in places(model, inputs)]
    width = inputs.shape[-1]
    free, eye = torch.zeros(width, width, requires_grad=True), torch.eye(width)
    optimiser, losses, best = torch.optim.Adam([free], rate), [], eye

    def turned():
        skew = free - free.t()
        return torch.linalg.solve(eye + skew, eye - skew)
    for _ in range(steps):
        q, loss = turned(), 0.0
        for x, weight in seen:
            exact = x @ weight.t()
            found = rounded(x @ q, bits) @ rounded(weight @ q, 4).t()
            loss = loss + (found - exact).square().mean() / exact.square().mean()
        losses.append(loss.item() / len(seen))
        best = q.detach() if losses[-1] == min(losses) else best
        optimiser.zero_grad()
        (loss / len(seen)).backward()
        optimiser.step()
    return Learned(start, best), losses
