# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Symmetric int4 and int8: scales, rounding, and two int4 values in a byte.

Weights use the whole range (-8..7 or -128..127) with a clip searched per output channel, or per
group of input channels.
Activations use -7..7 or -127..127: their scale puts the largest value at 7.49 (127.49), which
still rounds to 7, so that nothing needs clipping and no value is off by more than half a step.
"""

from __future__ import annotations

import torch

from ..errors import ConfigError

_HEADROOM = 0.49
_TINY = 1e-30
_CLIP_RATIOS = tuple(1.0 - 0.025 * step for step in range(25))  # 1.0 .. 0.4
_CACHED = 2 ** 18  # values at a time, so that a search stays in the cache


def integer_range(bits: int) -> tuple[int, int]:
    """Return the lowest and the highest integer, (-8, 7) for 4 bits; ConfigError else."""
    if bits not in (4, 8):
        raise ConfigError(f'{bits} bits are not supported: use 4 or 8')
    return -2 ** (bits - 1), 2 ** (bits - 1) - 1


def pack_int4(values: torch.Tensor) -> torch.Tensor:
    """
    Pack int8 [..., K] with values -8..7 into uint8 [..., K / 2].

    Element 2 i is the low half of byte i, element 2 i + 1 the high half, as two's complement.
    Raises ConfigError for an odd K, another type or a value out of range.
    """
    if values.dtype != torch.int8:
        raise ConfigError(f'int4 packing takes int8 values, got {values.dtype}')
    if values.dim() == 0 or values.shape[-1] % 2:
        raise ConfigError(
            f'int4 packing puts two values in a byte: the width of {tuple(values.shape)} must '
            'be even (keep this layer at 8 bits or in full precision)')
    if values.numel() and (values.min() < -8 or values.max() > 7):
        raise ConfigError(f'int4 values must be in -8..7, got {values.min().item()}..'
                          f'{values.max().item()}')
    halves = values.view(torch.uint8) & 0xF
    return halves[..., ::2] | halves[..., 1::2] << 4


def unpack_int4(packed: torch.Tensor) -> torch.Tensor:
    """Undo pack_int4: uint8 [..., K / 2] to int8 [..., K]; raises ConfigError else."""
    if packed.dtype != torch.uint8:
        raise ConfigError(f'packed int4 values are uint8, got {packed.dtype}')
    halves = torch.stack([packed & 0xF, packed >> 4], dim=-1).flatten(-2)
    return (halves ^ 8).view(torch.int8) - 8  # sign extension of a half byte


def weight_scale(weight: torch.Tensor, bits: int, group_size: int = 0) -> torch.Tensor:
    """
    Return the float32 scales of weight [out, in] with the least square error.

    [out], one a row, or [out, in / group_size], one for so many neighbours.  Clips from 1.0
    down to 0.4 of the largest magnitude are tried.
    """
    if group_size:
        rows = weight.reshape(-1, group_size)
        return weight_scale(rows, bits).view(len(weight), -1)
    rows = max(1, _CACHED // weight.shape[1])
    return torch.cat([_row_scale(part.float(), bits) for part in weight.split(rows)])


def _row_scale(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the scale [out] of each row of weight [out, in]."""
    low, high = integer_range(bits)
    full = weight.abs().amax(dim=1, keepdim=True).clamp_min(_TINY) / high  # [out, 1]
    best, best_error = full, torch.full_like(full, torch.inf)
    for ratio in _CLIP_RATIOS:
        scale = full * ratio
        rounded = (weight / scale).round_().clamp_(low, high)
        error = rounded.mul_(scale).sub_(weight).square_().sum(dim=1, keepdim=True)
        best = torch.where(error < best_error, scale, best)
        best_error = torch.minimum(error, best_error)
    return best.squeeze(1)


def spread_scale(scale: torch.Tensor, width: int) -> torch.Tensor:
    """Return scales [out] or [out, groups] as [out, 1] or [out, width], to multiply with."""
    if scale.dim() == 1:
        return scale[:, None]
    return scale.repeat_interleave(width // scale.shape[1], dim=1)


def quantize_weight(weight: torch.Tensor, bits: int,
                    group_size: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Round weight [out, in] to nearest.

    Returns integers int8 [out, in] and scales float32 [out] or [out, in / group_size]; weight
    ~ integers * scale.  Raises ConfigError for weights that are not finite.
    """
    check_finite(weight)
    scale = weight_scale(weight, bits, group_size)
    low, high = integer_range(bits)
    integers = (weight.float() / spread_scale(scale, weight.shape[1])).round_().clamp_(low, high)
    return integers.to(torch.int8), scale


def check_finite(weight: torch.Tensor) -> None:
    """Raise ConfigError for a weight with NaN or inf."""
    if not torch.isfinite(weight).all():
        raise ConfigError(f'a weight of shape {tuple(weight.shape)} has non-finite values: '
                          'the checkpoint is damaged, copy it again')


def activation_scale(x: torch.Tensor, bits: int, per_token: bool = True) -> torch.Tensor:
    """
    Return the float32 scale of x [..., K]: [..., 1] a token, [1, ..., 1] for the whole tensor.

    round(x / scale) lies in -7..7 (-127..127) without clipping.  A non-finite x gives a
    non-finite scale, so that it is not hidden by the rounding.
    """
    _, high = integer_range(bits)
    magnitude = x.float().abs()
    largest = (magnitude.amax(dim=-1, keepdim=True) if per_token
               else magnitude.amax().reshape((1,) * x.dim()))
    return largest.clamp_min_(_TINY).mul_(1.0 / (high + _HEADROOM))


def quantize_activation(x: torch.Tensor, bits: int, per_token: bool = True):
    """Return integers int8 [..., K] and scale [..., 1] of finite x; x ~ integers * scale."""
    scale = activation_scale(x, bits, per_token)
    return (x.float() / scale).round_().to(torch.int8), scale
