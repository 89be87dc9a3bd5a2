# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Plain float32 linear layers at their fastest, for a network on a CPU that only infers."""

from __future__ import annotations

import torch
from torch import nn

from .cpu import float_product


class PlainLinear(nn.Module):
    """A float32 linear layer for inference."""

    def __init__(self, linear: nn.Linear, rows: int = 256, product=float_product):
        """
        Take over a layer.

        rows: about how many tokens a call brings.  product: (weight [N, K], rows) to the function
        x [M, K] -> x @ weight^T.
        """
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.multiply = product(linear.weight.detach(), rows)

    def forward(self, x):
        """Map x [..., in] to [..., out]."""
        y = self.multiply(x.reshape(-1, self.in_features))
        if self.bias is not None:
            y += self.bias
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Describe the layer as nn.Linear does."""
        return f'{self.in_features}, {self.out_features}, bias={self.bias is not None}'


def use_fastest_linears(model: nn.Module, rows: int = 256, product=float_product) -> None:
    """
    Replace every float32 nn.Linear on the CPU of a model that will only infer, in place.

    rows, product: see PlainLinear.
    """
    # a list without the layers themselves, so that each one's memory is free once it is replaced
    for parent in [module for module in model.modules() if not isinstance(module, nn.Linear)]:
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype == torch.float32 \
                    and child.weight.device.type == 'cpu':
                setattr(parent, name, PlainLinear(child, rows, product))
