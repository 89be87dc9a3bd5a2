# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""bfloat16 weights in the native kernels' panels, for processors with AMX."""

from __future__ import annotations

import torch

from . import levels
from .base import Unavailable
from .native import best_level, check_floats, describe, Described, library, run_layer


def multiplies_halves() -> bool:
    """Return whether native kernels multiply bfloat16 here; raise Unavailable without any."""
    return levels.NAMES[best_level()] == 'amx'


class NativeBfloat16(Described):
    """A function x [M, K] -> x @ weight^T in bfloat16, of and to floats; blocks add the bias."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None):
        """
        Round and pack weight [N, K], float32; bias: [N], which stays as it is.

        Raises Unavailable without AMX, RuntimeError for another type or device.
        """
        if not multiplies_halves():
            raise Unavailable('native kernels multiply bfloat16 with AMX only')
        loaded, (outputs, inputs) = library(), weight.shape
        self.bias = None if bias is None else bias.detach().contiguous()
        for tensor in (weight, weight if bias is None else self.bias):
            check_floats(tensor.detach(), 'a weight or bias')
        rounded = weight.detach().to(torch.bfloat16).contiguous()
        self.weight = torch.empty(loaded.sqap_half_bytes(outputs, inputs) // 2,
                                  dtype=torch.bfloat16)
        loaded.sqap_pack_halves(rounded.data_ptr(), outputs, inputs, self.weight.data_ptr())
        self._bare, self._layer = (
            describe(inputs, outputs, 16, self.weight, bias=each) for each in (None, self.bias))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [M, K] to [M, N], both float32, without the bias."""
        return run_layer(self._bare, x if x.stride(-1) == 1 else x.contiguous())
