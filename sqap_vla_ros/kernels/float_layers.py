# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Plain float32 linear layers at their fastest.

Torch multiplies floats with MKL, which some AMD processors run at half the speed of oneDNN's
product on packed weights.  A policy has that timed once a process, with a margin, so that noise
does not decide: the two round differently, and results should repeat.  A benchmark's baseline
has it timed for every shape instead.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

from .base import Unavailable
from .cpu import onednn_linear
from ..support.timing import best_seconds

_TIMED_WIDTH, _TIMED_ROWS = 768, 256
_MARGIN = 1.2
_SMALLEST = 2 ** 14  # weights; below, calling costs more than multiplying
Shape = tuple[int, int, int]  # inputs, outputs, rows
_TYPICAL = (_TIMED_WIDTH, _TIMED_WIDTH, _TIMED_ROWS)


class PlainLinear(nn.Module):
    """A float32 linear layer for inference, by the faster of torch's product and oneDNN's."""

    def __init__(self, linear: nn.Linear, rows: int = 256, per_shape: bool = False):
        """
        Take over a layer.

        rows: about how many tokens a call brings.  per_shape: time this layer's shape, where
        otherwise one timing a process decides for all layers that are not small.
        """
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        weight = linear.weight.detach()
        threads = torch.get_num_threads()
        if per_shape:
            packed, plain = seconds((self.in_features, self.out_features, rows), threads)
            use_onednn = packed < plain
        else:
            use_onednn = weight.numel() >= _SMALLEST and onednn_is_faster(threads)
        if use_onednn:
            self.multiply = onednn_linear(weight, rows)
        else:
            self.multiply = lambda x: F.linear(x, weight)

    def forward(self, x):
        """Map x [..., in] to [..., out]."""
        y = self.multiply(x.reshape(-1, self.in_features))
        if self.bias is not None:
            y += self.bias
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Describe the layer as nn.Linear does."""
        return f'{self.in_features}, {self.out_features}, bias={self.bias is not None}'


def onednn_is_faster(threads: int) -> bool:
    """Return whether oneDNN's packed product is clearly faster on this machine."""
    packed, plain = seconds(_TYPICAL, threads)
    return _MARGIN * packed < plain


@lru_cache(maxsize=None)
@torch.inference_mode()
def seconds(shape: Shape, threads: int) -> tuple[float, float]:
    """Return the times of oneDNN's packed product (inf without it) and of torch's; once a key."""
    inputs, outputs, rows = shape
    weight, x = torch.ones(outputs, inputs), torch.ones(rows, inputs)
    plain = best_seconds(lambda x: F.linear(x, weight), x)
    try:
        return best_seconds(onednn_linear(weight, rows), x), plain
    except Unavailable:
        return float('inf'), plain


def use_fastest_linears(model: nn.Module, rows: int = 256, per_shape: bool = False) -> None:
    """
    Replace every float32 nn.Linear on the CPU of a model that will only infer, in place.

    rows, per_shape: see PlainLinear.
    """
    # a list without the layers themselves, so that each one's memory is free once it is replaced
    for parent in [module for module in model.modules() if not isinstance(module, nn.Linear)]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype == torch.float32 \
                    and child.weight.device.type == 'cpu':
                setattr(parent, name, PlainLinear(child, rows, per_shape))
