# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What this card can do: the rates of large matrix products and of a large copy, measured."""

from __future__ import annotations

import torch

from .clock import times_ms
from .floors import ASSUMED, Card
from .shapes import Plan

_ROUNDS = 20


def measure(plan: Plan, device: torch.device, seconds: float) -> dict[str, float]:
    """
    Return bf16 and int8 (operations a second) and bandwidth (bytes a second).

    Products of random square matrices by torch's libraries, and a copy on the device that counts
    the bytes read and written.  What cannot be measured is left out.
    """
    found = {}
    try:
        found['bandwidth'] = 2 * plan.copy_bytes / _median_seconds(
            copying(plan.copy_bytes, device), device, seconds)
    except RuntimeError as error:
        print(f'no ceiling for memory: {error}'.splitlines()[0])
    operations = 2 * plan.side ** 3
    for name, make in (('bf16', float_product), ('int8', integer_product)):
        try:
            found[name] = operations / _median_seconds(
                make(plan.side, device), device, seconds)
        except (RuntimeError, NotImplementedError) as error:
            print(f'no ceiling for {name}: {error}'.splitlines()[0])
    return found


def card(found: dict[str, float], name: str) -> Card:
    """
    Return measured ceilings as a card of floors.py; without int8, bf16's rate stands in.

    Without the others it is the card that the goals assume, and says so in its name.
    """
    if not {'bf16', 'bandwidth'} <= found.keys():
        return ASSUMED
    return Card(name, found['bf16'], found.get('int8', found['bf16']), found['bandwidth'],
                'measured in this run')


def _median_seconds(call, device, seconds: float) -> float:
    found = sorted(times_ms(call, device, _ROUNDS, seconds / 3))
    return found[len(found) // 2] / 1e3


def copying(size: int, device: torch.device):
    """Return a call that copies `size` bytes."""
    source = torch.randint(0, 127, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def float_product(side: int, device: torch.device):
    """Return a call that multiplies bfloat16 matrices."""
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b.t(), out=out)


def integer_product(side: int, device: torch.device):
    """Return a call that multiplies int8 matrices into int32."""
    a, b = (torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device)
            for _ in range(2))
    return lambda: torch._int_mm(a, b.t())
