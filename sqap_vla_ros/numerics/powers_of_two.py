# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Powers of two: the widths that a Hadamard matrix and a group of weights can have."""

from __future__ import annotations

from ..errors import ConfigError


def is_power_of_two(number: int) -> bool:
    """Return whether number is 1, 2, 4, 8 ..."""
    return number > 0 and number & (number - 1) == 0


def largest_power_of_two(width: int) -> int:
    """Return the largest power of two that divides width (11008 -> 256, 1536 -> 512)."""
    if width < 1:
        raise ConfigError(f'a width must be at least 1, got {width}')
    return width & -width
