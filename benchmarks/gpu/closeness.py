# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How far the golden networks' answers are from the reference backend's in float32, and may be.

Limits are twice what was found on a CPU with the reference backend, where the largest of both
golden cases, with and without pruning, was taken: for float32 by noise of 1e-6 on the input of
each decoder block (float sums in another order give a tenth of that), for bfloat16 by running the
same network in it.  A scale of one projection that is twice what it should be moves its block by
0.17 (q) to 0.89 (gate), a kept token exchanged for another moves a float32 answer by 2e-3 in the
median.  Whole answers of W4A4 tell little: 4-bit activations of a network of 64 channels that
meet a rounding change everything behind them (0.2 in the median).  Its blocks, each on the
reference's input, are what judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Limits:
    """
    What may differ at most, for one precision.

    sample, logits: (largest, median) of a sample in about -1..1 without its gripper, and of
    logits in their standard deviations.  block: of what a decoder block adds, by its norm.  kept:
    visual tokens that are others.
    """

    sample: tuple[float, float]
    logits: tuple[float, float]
    block: float
    kept: int


LIMITS = {
    torch.float32: {
        'fp': Limits((2e-4, 2e-5), (3e-4, 5e-5), 1e-5, 0),
        'w4a16': Limits((2e-4, 2e-5), (3e-4, 5e-5), 1e-5, 0),
        'w8a8': Limits((0.13, 0.02), (0.9, 0.04), 1e-2, 6),
        'w4a4': Limits((0.7, 0.2), (6.0, 0.2), 6e-2, 25)},
    torch.bfloat16: {
        'fp': Limits((0.2, 0.06), (0.9, 0.04), 2e-2, 10),
        'w4a16': Limits((0.08, 0.02), (0.9, 0.03), 2e-2, 10),
        'w8a8': Limits((0.15, 0.03), (1.2, 0.05), 4e-2, 18),
        'w4a4': Limits((1.3, 0.4), (11.0, 0.35), 0.28, 50)}}


def differences(found: dict, expected: dict, gripper: int = -1) -> tuple[float, float]:
    """
    Return the largest and the median difference of an answer; see Limits.

    Answers have `raw`: a sample [1, T, A], or ids [1, A] with `logits`, a list of [1, V], up to
    the first id that differs: what comes behind it answers another question.  Without logits, as
    in a replayed graph, they are how much less the reference likes that id than its own.  gripper:
    a column of a sample that is left out of the largest, since the network answers about 0 or 1
    there and a rounding may tip it.
    """
    if not found['raw'].isfinite().all():
        return float('inf'), float('inf')
    off = (found['raw'] - expected['raw']).abs()[0]
    if off.dim() == 2:
        judged = [column for column in range(off.shape[1]) if column != gripper % off.shape[1]]
        return off[:, judged].max().item(), off.median().item()
    places = off.nonzero().flatten().tolist()
    if not found['logits']:
        error = margin(found, expected, places[0]) if places else 0.0
        return error, 0.0
    count = places[0] + 1 if places else len(off)
    off = torch.cat([(one - other).abs() / other.std() for one, other in zip(
        found['logits'][:count], expected['logits'][:count])])
    return off.max().item(), off.median().item()


def margin(found: dict, expected: dict, place: int) -> float:
    """Return how much less the reference likes an id than its own, in standard deviations."""
    logits = expected['logits'][place][0]
    chosen, other = (int(answer['raw'][0, place]) for answer in (expected, found))
    return ((logits[chosen] - logits[other]) / logits.std()).item()


def verdict(row: dict, dtype: torch.dtype, is_sample: bool) -> dict:
    """
    Return a row with its limits and whether it keeps them.

    row: has the precision, and largest and median of each case, block of each decoder block,
    kept of each case, and problems, of which there must be none.
    """
    limits = LIMITS[dtype][row['precision']]
    largest, median = limits.sample if is_sample else limits.logits
    wanted = {'largest': largest, 'median': median, 'block': limits.block, 'kept': limits.kept}
    over = [name for name, limit in wanted.items()
            if not all(value <= limit for value in row[name])]
    return {**row, 'limits': wanted, 'over': over, 'ok': not over and not row['problems']}
