# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All variants of one network in turn: times, ratios, memory, and what they reach."""

from __future__ import annotations

from collections.abc import Sequence
import time

import numpy as np
from sqap_vla_ros.bench.timing import in_turn, paired_ratio
from sqap_vla_ros.inference.device import free_memory
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.support.timing import percentiles
import torch

from .floors import stages
from .shapes import BASELINE, Plan, SQAP, Variant
from .sides import allocated_gib, ready_model, ROWS, Side, STAGES

COMPARED = ('vision', 'backbone', 'head', 'total')
_MAKING = 0.6  # of a section's time; sides that are not made by then are left out


def make_sides(variants: Sequence[Variant], config: VLAConfig, device: torch.device,
               dtype: torch.dtype, seconds: float) -> tuple[list[Side], dict, dict]:
    """
    Return sides that are warm, their memory in GiB, and why others are left out.

    seconds: after which no further one begins.  Variants with the same weights share them.  The
    baseline and SQAP are made first, for cards that do not hold all.  Memory is that of the
    weights, and `running`, the most that one inference takes above all that is allocated.
    """
    models, weights, sides, memory, left_out = {}, {}, [], {}, {}
    end = time.perf_counter() + seconds
    for variant in sorted(variants, key=lambda variant: variant.name not in (BASELINE, SQAP)):
        if time.perf_counter() > end:
            left_out[variant.name] = 'no time was left to make it'
            continue
        print(f'   {variant.name}, {end - time.perf_counter():.0f} s left', flush=True)
        key = variant.model_key if device.type == 'cuda' else variant.name
        try:
            if key not in models:
                before = allocated_gib(device)
                models[key] = ready_model(config, variant, device, dtype)
                weights[key] = allocated_gib(device) - before
            before = allocated_gib(device)
            side = Side(variant, models[key], config, device, dtype)
        except torch.cuda.OutOfMemoryError as error:
            left_out[variant.name] = str(error).splitlines()[0]
            free_memory()
            continue
        if device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(device)
            side.infer()
        sides.append(side)
        memory[variant.name] = {'weights': weights[key],
                                'running': allocated_gib(device, peak=True) - before}
    return sorted(sides, key=lambda side: variants.index(side.variant)), memory, left_out


def measure(plan: Plan, network: str, device: torch.device, dtype: torch.dtype, seconds: float,
            keep) -> dict:
    """Return the section of one network; keep(content) saves what is known so far."""
    end, config = time.perf_counter() + seconds, plan.models[network]
    sides, memory, left_out = make_sides(
        plan.variants_of(network), config, device, dtype, _MAKING * seconds)
    keep({'memory_gib': memory, 'left_out': left_out})
    laps = in_turn(sides, plan.rounds, end - time.perf_counter(), Side.laps)
    times = {name: {row: np.array([lap[row] for lap in found]) for row in ROWS}
             for name, found in laps.items()}
    problems = {side.name: side.problems for side in sides if side.problems}
    return {
        'rounds': len(next(iter(times.values()))['total']), 'not_captured': problems,
        'ok': not problems,
        'ms': {side: {row: percentiles(rows[row]) for row in ROWS}
               for side, rows in times.items()},
        'ratio': {base: ratios(times, base) for base in ('eager bf16', BASELINE)
                  if base in times},
        'reached': {side.name: reached(config, side.variant, times[side.name])
                    for side in sides}}


def ratios(times: dict, base: str) -> dict:
    """Return how many times faster than `base` every other side is, by row of COMPARED."""
    return {side: {row: paired_ratio(times[base][row], rows[row]) for row in COMPARED}
            for side, rows in times.items() if side != base}


def reached(config: VLAConfig, variant: Variant, times: dict[str, np.ndarray]) -> dict:
    """Return operations (TOP) and bytes (GB) a second of each stage that has work to do."""
    works, found = stages(config, variant), {}
    for stage in STAGES:
        if works.get(stage):
            seconds = float(np.median(times[stage])) / 1e3
            found[stage] = {'top_s': sum(work.ops for work in works[stage]) / seconds / 1e12,
                            'gb_s': sum(work.size for work in works[stage]) / seconds / 1e9}
    return found
