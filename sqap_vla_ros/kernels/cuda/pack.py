# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The weights' layout in GPU memory.

4 bits: uint8 [N, ceil(K / 128) * 64].  Byte j of block b holds input 128 b + j in its low half
and 128 b + 64 + j in its high half, both with 8 added.  A tile of 64 bytes a row thus opens into
two tiles that meet neighbouring inputs, without any shuffling.  Inputs beyond K are zeros.
8 bits: int8 [N, K] as it is.
"""

from __future__ import annotations

import torch

BLOCK = 128  # inputs
HALF = BLOCK // 2
OPENED = 16  # times a weight: 4 bits in the upper half of a byte
_OFFSET = 8
_ROWS = 1024  # at a time, to keep the temporary copies small


def packed_width(inputs: int, bits: int) -> int:
    """Return the bytes of one output channel's weights."""
    return -(-inputs // BLOCK) * HALF if bits == 4 else inputs


def pack_weight(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Lay out integers int8 [N, K] of 4 or 8 bits."""
    if bits == 8:
        return weight.contiguous()
    packed = torch.empty(len(weight), packed_width(weight.shape[1], 4), dtype=torch.uint8,
                         device=weight.device)
    for start in range(0, len(weight), _ROWS):
        packed[start:start + _ROWS] = _pack_rows(weight[start:start + _ROWS])
    return packed


def _pack_rows(weight: torch.Tensor) -> torch.Tensor:
    missing = -weight.shape[1] % BLOCK
    halves = torch.nn.functional.pad(weight, (0, missing)).add_(_OFFSET).view(torch.uint8)
    low, high = halves.view(len(weight), -1, 2, HALF).unbind(2)
    return (low | high << 4).flatten(1)


def opened(packed: torch.Tensor) -> torch.Tensor:
    """Return int8 [N, K], with zeros behind: 16 times the 4-bit weights of uint8 [N, ...]."""
    halves = packed.bitwise_xor(0x88).view(len(packed), -1, HALF)
    both = torch.empty(*halves.shape[:2], 2, HALF, dtype=torch.uint8, device=packed.device)
    torch.bitwise_left_shift(halves, 4, out=both[:, :, 0])
    torch.bitwise_and(halves, 0xF0, out=both[:, :, 1])
    return both.view(torch.int8).flatten(1)


def float_weight(weight: torch.Tensor, scale: torch.Tensor, inputs: int,
                 dtype: torch.dtype) -> torch.Tensor:
    """Return floats [N, K], rounded once, of weights as they lie and scales [N, ...] of them."""
    if weight.dtype == torch.uint8:
        weight, scale = opened(weight), scale / OPENED  # a power of two: exact
    outputs = len(scale)
    integers = weight[:outputs, :inputs].view(outputs, scale[0].numel(), -1)
    floats = torch.empty(integers.shape, dtype=dtype, device=weight.device)
    torch.mul(integers, scale.view(outputs, -1, 1), out=floats)
    return floats.view(outputs, inputs)
