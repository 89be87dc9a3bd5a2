# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether sides of a comparison that compute the same give the same answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .engine import Given, Side

_INPUTS = 4  # new ones, so that a graph that replays an old answer is found out
# Of samples, in their standard deviations: a CogACT with random weights of 512 channels and 24
# blocks, run on a CPU in bfloat16, was 0.015 and 0.0025 from itself in float32.  There its first
# tokens were the same for six inputs of six; two of 32064 that are as good as equal may change
_LARGEST, _MEDIAN, _SAME_FIRST = 0.05, 0.01, 0.5
_SAME_REPLAYED = 0.75  # one input may have two tokens as good as equal


def agreement(sides: Sequence[Side], device: torch.device) -> dict[str, dict]:
    """
    Return by pair how far the answers are apart, and whether that is within the limits.

    A graphed side is compared with an eager one that computes the same, but for the fused one's
    rounding, and with itself launched kernel by kernel.  Of samples: the largest and the median
    difference, in standard deviations.  Of tokens: the share of inputs whose first one is equal,
    since those behind it answer other questions; of a replay, whose kernels are the same, the
    share of inputs with all of them equal.
    """
    found = {}
    is_captured = device.type == 'cuda'
    for first, second in _pairs(sides, is_captured):
        given = [Given.random(second.config, seed=1 + seed)
                 for seed in range(_INPUTS if is_captured else 1)]
        answers = [[one.infer(given=each).raw.float().clone() for each in given]
                   for one in (first, second)]
        name = (f'{second.name} against {first.name}' if first.name != second.name
                else f'{second.name}, replayed')
        found[name] = judged(*map(torch.cat, answers), first.name == second.name)
    return found


def _pairs(sides: Sequence[Side], is_captured: bool) -> Iterator[tuple[Side, Side]]:
    """Yield pairs of sides with the same answers, the one that is trusted first."""
    for side in (side for side in sides if not side.variant.eager):
        if is_captured:
            yield side.eager_twin(), side
        for eager in (other for other in sides if other.variant.eager):
            if _computes(side) == _computes(eager):
                yield eager, side


def _computes(side: Side) -> tuple:
    variant = side.variant
    return (variant.precision, variant.vision, variant.keep, variant.prune_layer,
            variant.ddim_steps)


def judged(expected: torch.Tensor, found: torch.Tensor, is_replay: bool = False) -> dict:
    """Return the differences of samples [B, T, A], or of ids [B, A], and whether they are ok."""
    if expected.dim() == 2 and is_replay:
        same = (expected == found).all(dim=1).float().mean().item()
        return {'same': same, 'limit': _SAME_REPLAYED, 'ok': same >= _SAME_REPLAYED}
    if expected.dim() == 2:
        same = (expected[:, 0] == found[:, 0]).float().mean().item()
        return {'same_first': same, 'limit': _SAME_FIRST, 'ok': same >= _SAME_FIRST}
    off = (found - expected).abs() / expected.std()
    largest, median = off.max().item(), off.median().item()
    return {'largest': largest, 'median': median, 'limit': [_LARGEST, _MEDIAN],
            'ok': largest <= _LARGEST and median <= _MEDIAN}
