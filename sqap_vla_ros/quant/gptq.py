# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
GPTQ: round weights one input channel at a time, and let the later ones make up for the error.

After Frantar, Ashkboos, Hoefler, Alistarh: "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers", ICLR 2023 (arXiv 2210.17323).  What is minimised is the
error of the layer's outputs on calibration inputs, |X (W - Q)^T|^2, whose curvature for each
output is the same H = X^T X.  Channels are taken in falling order of H's diagonal; scales are
those of rounding to nearest and stay fixed, so that groups do not depend on the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from ..errors import ConfigError
from ..numerics.hadamard import hadamard_transform
from ..numerics.int4 import check_finite, integer_range, spread_scale, weight_scale

_BLOCK = 128
_DAMPING = 0.01
_TRIES = 6


def inverse_factor(hessian: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """
    Return the upper Cholesky factor U [K, K] of H^-1 = U^T U, with H's channels in `order`.

    A hundredth of the mean diagonal is added first, and ten times as much until it succeeds.
    Raises ConfigError for a matrix that is not finite.
    """
    mean = hessian.diagonal().mean()
    if not torch.isfinite(hessian.sum()):
        raise ConfigError('the calibration inputs give non-finite sums: check the checkpoint '
                          'and the calibration data')
    damping = _DAMPING * mean if mean > 0 else torch.ones_like(mean)
    for _ in range(_TRIES):
        matrix = hessian[order, order[:, None]].mT  # in LAPACK's layout: one copy does for all
        matrix.diagonal().add_(damping)
        if _factorise(matrix):
            torch.cholesky_inverse(matrix, out=matrix)
            if _factorise(matrix, upper=True):
                return matrix
        del matrix  # K x K may be 0.5 GB
        damping = 10 * damping
    raise ConfigError('the calibration inputs are too few or too much alike for GPTQ: give '
                      'more of them, or convert without')


def _factorise(matrix: torch.Tensor, upper: bool = False) -> bool:
    """Overwrite a matrix with its Cholesky factor; return whether it is positive definite."""
    failed = torch.empty((), dtype=torch.int32, device=matrix.device)
    torch.linalg.cholesky_ex(matrix, upper=upper, out=(matrix, failed))
    return not failed


def gptq_weight(weight: torch.Tensor, hessian: torch.Tensor, bits: int,
                group_size: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Round weight [out, in] for inputs whose X^T X is hessian float32 [in, in].

    Returns what int4.quantize_weight does.  Raises ConfigError for values that are not finite.
    """
    check_finite(weight)
    scale = weight_scale(weight, bits, group_size)
    order = hessian.diagonal().argsort(descending=True)
    upper = inverse_factor(hessian, order)
    remaining = weight.float()[:, order].t().contiguous()  # [in, out]: a channel is a row
    steps = spread_scale(scale, len(order)).t()  # [1, out] or [in, out]
    steps = steps.expand_as(remaining) if scale.dim() == 1 else steps[order]
    rounded = torch.empty_like(remaining, dtype=torch.int8)
    for first in range(0, len(order), _BLOCK):
        last = min(first + _BLOCK, len(order))
        errors = _round_block(remaining[first:last], steps[first:last],
                              upper[first:last, first:last], rounded[first:last], bits)
        remaining[last:].addmm_(upper[first:last, last:].t(), errors, alpha=-1)
    integers = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    integers[:, order] = rounded.t()
    return integers, scale


def _round_block(remaining, steps, upper, rounded, bits: int) -> torch.Tensor:
    """
    Round some channels of remaining [B, out] into `rounded`; change the later among them.

    Returns each channel's error over its diagonal element of upper [B, B], as [B, out].
    """
    low, high = integer_range(bits)
    errors = torch.empty_like(remaining)
    for i, (row, step) in enumerate(zip(remaining, steps)):
        rounded[i] = (row / step).round_().clamp_(low, high)
        errors[i] = (row - rounded[i] * step) / upper[i, i]
        remaining[i + 1:].addr_(upper[i, i + 1:], errors[i], alpha=-1)
    return errors


def input_hessians(layers: Mapping[str, tuple[nn.Linear, int, int]], inputs: Iterable,
                   run: Callable) -> dict[str, torch.Tensor]:
    """
    Return X^T X float32 [in, in] of the inputs X that each layer sees, by name.

    layers: name to a plain layer and to block and stride of the online Hadamard that its
    quantized form will apply first.  run(x) makes the layers see one of the inputs; layers
    that are given the same tensor share one sum.
    """
    sums = _Sums()
    handles = [
        linear.register_forward_pre_hook(
            lambda _, args, key=(name, block, stride): sums.add(*key, args[0]))
        for name, (linear, block, stride) in layers.items()]
    try:
        for x in inputs:
            run(x)
    finally:
        for handle in handles:
            handle.remove()
    return sums.by_name


class _Sums:
    """Sums of X^T X by layer; layers with the same input share one."""

    def __init__(self):
        """Start with no layer."""
        self._sums: dict[str, torch.Tensor] = {}  # by the first layer that sees an input
        self._first: dict[str, str] = {}
        self._newest: tuple = (None, 1, 1, '')

    @property
    def by_name(self) -> dict[str, torch.Tensor]:
        """Return each layer's sum."""
        return {name: self._sums[first] for name, first in self._first.items()}

    def add(self, name: str, block: int, stride: int, x) -> None:
        """Add the input x [..., in] of a layer, after a Hadamard."""
        newest, *form, first = self._newest
        if x is not newest or form != [block, stride]:
            self._newest, first = (x, block, stride, name), name
            rows = x.detach().reshape(-1, x.shape[-1]).float()
            rows = hadamard_transform(rows, block, stride)
            if name not in self._sums:
                self._sums[name] = rows.new_zeros(rows.shape[-1], rows.shape[-1])
            self._sums[name].addmm_(rows.t(), rows)
        self._first[name] = first
