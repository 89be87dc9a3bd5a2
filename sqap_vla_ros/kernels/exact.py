# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a backend's integer products are those of the reference, at the extremes."""

from __future__ import annotations

from functools import lru_cache

import torch

from .base import Kernel, LinearSpec
from .cuda.tuning import without_tuning
from .reference import ReferenceKernel


def integer_part(spec: LinearSpec) -> tuple[int, int, int]:
    """Return what check_exact depends on."""
    return spec.in_features, spec.weight_bits, spec.widest_bits


def extreme_inputs(in_features: int, bits: int, rows_random: int = 2) -> torch.Tensor:
    """Return float integers [4 + rows, K]: all lowest, highest, alternating, random, high."""
    low, high = -2 ** (bits - 1), 2 ** (bits - 1) - 1
    generator = torch.Generator().manual_seed(0)
    alternating = torch.full((in_features,), float(high))
    alternating[::2] = low
    rows = [torch.full((in_features,), float(low)), torch.full((in_features,), float(high)),
            alternating, -alternating.clamp(-high, high)]
    rows += [torch.randint((low, high // 2)[row % 2], high + 1, (in_features,),
                           generator=generator).float() for row in range(rows_random)]
    return torch.stack(rows)


@lru_cache(maxsize=None)
def check_exact(kernel: type[Kernel], in_features: int, weight_bits: int, act_bits: int,
                device: str = 'cpu') -> str:
    """Return '' if the kernel's integer product equals the reference's, else the reason."""
    # two panels of the native kernels, and all of their tiles: [136, K]
    weight = extreme_inputs(in_features, weight_bits, 132).to(device, torch.int8)
    spec = LinearSpec(in_features, len(weight), weight_bits, act_bits)
    ones = torch.ones(len(weight), device=device)
    # floats are exact where sums are small
    grid = extreme_inputs(in_features, 2 if act_bits == 16 else act_bits).to(device)
    for rows in (grid[:2], grid, grid.repeat(7, 1)[:40]):  # kernels take few otherwise than many
        try:
            with without_tuning():  # the result is the same, and nobody needs this shape again
                found = kernel(spec, weight, ones).product(rows.clone())
            expected = ReferenceKernel(spec, weight, ones).product(rows)
            off = (found - expected).abs().max().item()
        except torch.cuda.OutOfMemoryError:
            raise
        except kernel.failures as error:
            return (str(error) or type(error).__name__).splitlines()[0]
        if off != 0:
            return f'its integer product is off by up to {off:g} (int16 saturation without VNNI?)'
    return ''
