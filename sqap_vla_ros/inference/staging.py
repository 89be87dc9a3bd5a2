# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Several small tensors in one block of memory, so that one copy moves them all."""

from __future__ import annotations

from collections.abc import Mapping
import math

import torch

_ALIGNMENT = 256  # bytes, as CUDA's own allocations have
Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]


class Staging:
    """
    Named tensors twice: pinned on the host, and at fixed addresses on the device.

    On a CPU both are the same memory, and moving costs nothing.
    """

    def __init__(self, layout: Layout, device: torch.device):
        """Make room for `layout`, {name: (type, shape)}; `host` and `device` hold the tensors."""
        places, end = {}, 0
        for name, (dtype, shape) in layout.items():
            places[name], length = end, math.prod(shape) * dtype.itemsize
            end += -(-length // _ALIGNMENT) * _ALIGNMENT
        self._host = torch.zeros(end, dtype=torch.uint8, pin_memory=device.type == 'cuda')
        self._device = (self._host if device.type == 'cpu'
                        else torch.zeros_like(self._host, device=device))
        self.host = _views(self._host, layout, places)
        self.device = _views(self._device, layout, places)

    def upload(self) -> None:
        """Start to copy everything to the device, in the current stream's order."""
        if self._device is not self._host:
            self._device.copy_(self._host, non_blocking=True)

    def download(self) -> None:
        """Start to copy everything back, in the current stream's order."""
        if self._device is not self._host:
            self._host.copy_(self._device, non_blocking=True)


def _views(block: torch.Tensor, layout: Layout, places: Mapping[str, int]) -> dict:
    return {name: block[places[name]:places[name] + math.prod(shape) * dtype.itemsize]
            .view(dtype).view(shape) for name, (dtype, shape) in layout.items()}
