# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The golden checkpoints from end to end: the device's answers against the reference backend's.

Limits are twice what was found on a CPU with the reference backend, where the largest of both
golden cases, with and without pruning, was taken: for float32 by noise of 1e-6 on the input of
each decoder block (float sums in another order give a tenth of that), for bfloat16 by running the
same network in it.  A kept token exchanged for another moves a float32 answer by 2e-3 in the
median.  Whole answers of W4A4 tell little: 4-bit activations of a network of 64 channels that
meet a rounding change everything behind them (0.2 in the median).  Its blocks are what judges it
(checks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import sys

import numpy as np
from sqap_vla_ros.inference import Runner
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.kernels.cuda.tuning import without_tuning
from sqap_vla_ros.policy import Policy
from sqap_vla_ros.quant import prepare_kernels
import torch

from .checks import run
from .shapes import Plan

TESTS = Path(__file__).resolve().parents[2] / 'test'
_REPLAYS = 3  # the first run compiles, the second captures


@dataclass(frozen=True)
class Limits:
    """
    What may differ at most, for one precision.

    sample, logits: (largest, median) of a sample in about -1..1 without its gripper, and of the
    first token's logits in their standard deviations.  kept: visual tokens that are others.
    """

    sample: tuple[float, float]
    logits: tuple[float, float]
    kept: int


LIMITS = {
    torch.float32: {
        'fp': Limits((2e-4, 2e-5), (3e-4, 5e-5), 0),
        'w4a16': Limits((2e-4, 2e-5), (3e-4, 5e-5), 0),
        'w8a8': Limits((0.13, 0.02), (0.9, 0.04), 6), 'w4a4': Limits((0.7, 0.2), (6.0, 0.2), 25)},
    torch.bfloat16: {
        'fp': Limits((0.2, 0.06), (0.9, 0.04), 10), 'w4a16': Limits((0.08, 0.02), (0.9, 0.03), 10),
        'w8a8': Limits((0.15, 0.03), (1.2, 0.05), 18),
        'w4a4': Limits((1.3, 0.4), (11.0, 0.35), 50)}}


def measure(plan: Plan, device: torch.device, seconds: float, keep) -> dict:
    """Return how far the answers are from the reference's, in float32 and bfloat16; see run."""
    every: dict[str, Callable] = {
        f'{head} {precision}, keep {kept}': partial(
            rows, head, precision, kept, device, plan.golden)
        for head, precisions in plan.precisions.items() for precision in precisions
        for kept in ((plan.keep,) if plan.golden else (None, plan.keep))}
    return run(every, seconds, keep)


def rows(head: str, precision: str, keep: int | None, device: torch.device,
         sizes: dict) -> Iterator[dict]:
    """Yield the comparison of a network, in float32 and on a GPU in bfloat16 too."""
    sys.path.insert(0, str(TESTS))
    import golden_data
    on_gpu, chosen = device.type == 'cuda', golden_data.CASES[:1 if sizes else None]
    options = {'precision': precision, 'keep': keep}
    reference = golden_data.load(head, sizes, prepare=False, **options)
    prepare_kernels(reference.model, backend='reference')
    expected = [answer(reference, head, case) for case in chosen]
    for dtype in (torch.float32, torch.bfloat16) if on_gpu else (torch.float32,):
        with without_tuning():  # sizes that no robot's network has
            if on_gpu:
                policy = golden_data.load(
                    head, sizes, device=str(device), dtype=dtype, **options)
            else:
                policy = golden_data.load(head, sizes, prepare=False, **options)
                prepare_kernels(policy.model, backend='triton')
            replayed = policy.runner
            policy.runner = Runner(policy.model, policy.inputs, device, dtype, capture=False)
            for case, other in zip(chosen, expected):
                found = answer(policy, head, case)
                yield {'dtype': str(dtype)[6:], 'case': case, **verdict(
                    found, other, LIMITS[dtype][precision])}
            if on_gpu:
                yield replays(policy, replayed, head, chosen)


def answer(policy: Policy, head: str, case: int) -> dict[str, np.ndarray]:
    """Return the sample [T, A], or the first token's logits [V], and `kept` of a golden case."""
    policy.reset()
    with StageRecorder(policy) as recorder:
        chunk = policy.infer(*question(head, case))
    found = recorder.stages()
    name = 'logits_last' if head == 'openvla' else 'normalized_actions'
    return {name: found[name], 'kept': (
        np.zeros(0) if chunk.selection is None else chunk.selection.kept)}


def question(head: str, case: int) -> tuple:
    """Return a golden case's observation and noise."""
    import golden_data
    noise = golden_data.expected(f'cogact_case{case}')['noise'] if head == 'cogact' else None
    return golden_data.observation(case), noise


def verdict(found: dict, expected: dict, limits: Limits) -> dict:
    """Return the differences, and whether they are within the limits; NaN is not."""
    if 'logits_last' in found:
        (largest, median), size = limits.logits, expected['logits_last'].std()
        off = np.abs(found['logits_last'] - expected['logits_last']) / size
        judged = off
    else:
        largest, median = limits.sample
        off = np.abs(found['normalized_actions'] - expected['normalized_actions'])
        judged = off[..., :-1]  # a gripper answers about 0 or 1: a rounding may tip it
    others = len(np.setdiff1d(found['kept'], expected['kept']))
    values = {'largest': float(judged.max()), 'median': float(np.median(off)), 'kept': others}
    return {**values, 'limits': [largest, median, limits.kept],
            'ok': bool(values['largest'] <= largest and values['median'] <= median
                       and others <= limits.kept)}


def replays(policy: Policy, replayed: Runner, head: str, chosen) -> dict:
    """Return whether graphs, which see another case in between, answer as kernel by kernel."""
    eager, found = policy.runner, []
    for runner, times in ((eager, 1), (replayed, _REPLAYS)):
        policy.runner = runner
        for _ in range(times):
            answers = []
            for case in chosen:
                policy.reset()
                answers.append(policy.infer(*question(head, case)).actions)
        found.append(np.stack(answers))
    off = float(np.abs(found[1] - found[0]).max())
    problems = replayed.problems or ([] if replayed.captured else ['nothing was captured'])
    policy.runner = eager
    return {'replay': off, 'problems': problems, 'ok': off <= 1e-5 and not problems}
