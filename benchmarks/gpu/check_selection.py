# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The selection kernel against tokens.select_tokens, token by token, in all configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
import torch

from .compare import row

_SCENES = 3


def cases(grid: tuple[int, int], keep: int, device: torch.device) -> dict[str, Callable]:
    """Return what yields the comparisons, by name; grid: rows and columns of visual tokens."""
    return {f'selection, {name}': lambda name=name, config=config: choice(
        name, config, grid, device) for name, config in _choices(keep).items()}


def choice(name: str, config: SelectionConfig, grid, device: torch.device) -> Iterator[dict]:
    """Yield whether the device chooses the very tokens that the plain code does, and why."""
    from sqap_vla_ros.tokens import triton_choice as select
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(_SCENES if device.type == 'cuda' else 1):
        scores, distance = _scene(rng, grid)
        expected = select_tokens(scores, distance, grid, config)
        given = (torch.from_numpy(scores).to(device),
                 torch.from_numpy(distance.astype(np.float32)).to(device))
        kept = torch.empty(config.keep, dtype=torch.int64, device=device)
        reason = torch.empty(config.keep, dtype=torch.uint8, device=device)
        select.select_tokens_cuda(*given, grid, config, kept, reason)
        wrong += int((kept.cpu().numpy() != expected.kept).sum())
        wrong += int((reason.cpu().numpy() != expected.reason).sum())
    yield row(f'selection, {name}', float(wrong), 0.0, 'integers decide: the same tokens')


def _choices(keep: int) -> dict[str, SelectionConfig]:
    best = min(32, keep // 2)
    return {'sqap': SelectionConfig(keep, best, ties='even'),
            'ties by index': SelectionConfig(keep, best),
            'without protection': SelectionConfig(keep, best, protect=False),
            'without sampling': SelectionConfig(keep, best, sample=False),
            'attention': SelectionConfig(keep, best, method='attention')}


def _scene(rng, grid):
    """Return scores with equal ones among them, and the distances to a random patch."""
    count = grid[0] * grid[1]
    scores = rng.integers(0, max(count // 4, 2), count).astype(np.float32)
    down, right = np.divmod(np.arange(count), grid[1])
    centre = rng.integers(count)
    distance = np.hypot(down - down[centre], right - right[centre])
    return scores, np.where(distance <= 2.0, distance, np.inf)
