# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Float32 weights in the native kernels' panels: for blocks that run in one native call."""

from __future__ import annotations

import torch

from .native import check_floats, describe, Described, library, run_layer


class NativeFloat(Described):
    """A function x [M, K] -> x @ weight^T in float32; what a block calls has the bias too."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None):
        """
        Pack weight [N, K] float32; bias: [N].  Raises Unavailable without native kernels.

        Raises RuntimeError for weights or a bias of another type or device.
        """
        loaded, (outputs, inputs) = library(), weight.shape
        self.bias = None if bias is None else bias.detach().contiguous()
        weight = weight.detach().contiguous()
        for tensor in (weight, weight if bias is None else self.bias):
            check_floats(tensor, 'a weight or bias')
        self.weight = torch.empty(loaded.sqap_packed_bytes(outputs, inputs, 32) // 4)
        loaded.sqap_pack_floats(weight.data_ptr(), outputs, inputs, self.weight.data_ptr())
        self._bare, self._layer = (
            describe(inputs, outputs, 32, self.weight, bias=each) for each in (None, self.bias))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [M, K] to [M, N], without the bias."""
        return run_layer(self._bare, x if x.stride(-1) == 1 else x.contiguous())
