# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Buffers in which the parts of a product are added up; each stream has its own."""

from __future__ import annotations

import torch

_FEWEST_SUMS, _ARRIVALS = 2 ** 20, 2 ** 12
_kept: dict[tuple[str, int, int], torch.Tensor] = {}  # by device, stream and size


def sums_and_arrivals(device: torch.device, values: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return int32 zeros for so many sums, and for arrivals, of the current stream.

    Kernels leave them zero.  What runs at the same time in another stream must not add to the
    same sums.  Raises RuntimeError in a capture, if nothing ran in that stream before.
    """
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == 'cuda' else 0
    sums = max(_FEWEST_SUMS, 1 << (values - 1).bit_length())
    return _zeros(str(device), stream, sums), _zeros(str(device), stream, _ARRIVALS)


def buffers() -> dict[tuple[str, int, int], torch.Tensor]:
    """Return all buffers by (device, stream, size); between two products they are zero."""
    return dict(_kept)


def _zeros(device: str, stream: int, values: int) -> torch.Tensor:
    """Return zeros that are never freed: a captured graph may hold their address."""
    place = device, stream, values
    if place not in _kept:
        if stream and torch.cuda.is_current_stream_capturing():
            raise RuntimeError('a product is captured in a CUDA graph before it ran in that '
                               'stream, where its sums would never be cleared: run it once before')
        _kept[place] = torch.zeros(values, dtype=torch.int32, device=device)
    return _kept[place]
