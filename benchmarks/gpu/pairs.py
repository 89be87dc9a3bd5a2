# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All variants of one network in turn: times, ratios, memory, and how far from the floor."""

from __future__ import annotations

from collections.abc import Sequence
import time

import numpy as np
from sqap_vla_ros.bench.timing import paired_ratio, percentiles
from sqap_vla_ros.model.vla import VLAConfig
import torch

from .agreement import agreement
from .engine import ROWS, Side, STAGES
from .floors import Card, stages, Work
from .models import Memory, ready_model, release
from .shapes import BASELINE, Plan, SQAP, Variant

COMPARED = ('vision', 'backbone', 'head', 'total')
_FEWEST = 5
_MAKING = 0.6  # of a section's time; sides that are not made by then are left out


def in_turn(sides: Sequence[Side], rounds: int, seconds: float) -> dict[str, dict]:
    """
    Return milliseconds {side: {row: [rounds]}}.

    Every round runs each side once, beginning with another one each time.  It ends after `rounds`
    rounds, or after `seconds` with at least five (or `rounds`).
    """
    laps: dict[str, list] = {side.name: [] for side in sides}
    end = time.perf_counter() + seconds
    for done in range(rounds):
        if done >= _FEWEST and time.perf_counter() > end:
            break
        first = done % len(sides)
        for side in (*sides[first:], *sides[:first]):
            laps[side.name].append(side.laps())
    return {name: {row: np.array([lap[row] for lap in found]) for row in ROWS}
            for name, found in laps.items()}


def make_sides(variants: Sequence[Variant], config: VLAConfig, device: torch.device,
               dtype: torch.dtype, note, seconds: float = float('inf')) -> tuple[
                   list[Side], dict, dict]:
    """
    Return sides that are warm, their memory in GiB, and why others are left out.

    note(name): called as each one begins.  seconds: after which no further one begins.  Variants
    with the same weights share them.  The baseline and SQAP are made first, for cards that do not
    hold all.

    Memory: `peak` is the weights and the most that capturing and replaying one side takes besides
    (see Memory.gib).  A first run, kernel by kernel, tunes; what it takes, such as 256 MiB that
    Triton clears between two launches, has been given back.  `while_quantized` is the most while
    the weights were made.
    """
    models, weights, sides, memory, left_out = {}, {}, [], {}, {}
    end = time.perf_counter() + seconds
    for variant in sorted(variants, key=lambda variant: variant.name not in (BASELINE, SQAP)):
        if time.perf_counter() > end:
            left_out[variant.name] = 'no time was left to make it'
            continue
        note(variant.name)
        key = variant.model_key if device.type == 'cuda' else variant.name
        try:
            if key not in models:
                before = Memory(device)
                models[key] = ready_model(config, variant, device, dtype)
                weights[key] = before.gib()
            running = Memory(device)
            side = Side(variant, models[key], config, device, dtype)
            side.tune()
            running.forget_peak()
            side.warm_up()
        except torch.cuda.OutOfMemoryError as error:
            left_out[variant.name] = str(error).splitlines()[0]
            release(device)
            continue
        own, extra = weights[key], running.gib()
        sides.append(side)
        memory[variant.name] = {
            'weights': own['allocated'], 'peak': own['allocated'] + extra['peak'],
            'reserved': own['allocated'] + extra['reserved'], 'while_quantized': own['peak']}
    sides.sort(key=lambda side: variants.index(side.variant))
    return sides, memory, left_out


def measure(config: VLAConfig, variants: Sequence[Variant], plan: Plan, card: Card,
            device: torch.device, dtype: torch.dtype, seconds: float, keep) -> dict:
    """
    Return the section of one network.

    card: the ceilings measured in this run.  keep(content): saves what is known so far.
    """
    end = time.perf_counter() + seconds
    content: dict = {'tokens': _tokens(config), 'keep': plan.keep}

    def note(name):
        print(f'   {name}, {end - time.perf_counter():.0f} s left', flush=True)
    sides, memory, left_out = make_sides(variants, config, device, dtype, note,
                                         _MAKING * seconds)
    keep({**content, 'memory_gib': memory, 'left_out': left_out})
    times = in_turn(sides, plan.rounds, end - time.perf_counter())
    problems = {side.name: side.problems for side in sides if side.problems}
    keep({
        'rounds': len(next(iter(times.values()))['total']),
        'ms': {side: {row: percentiles(rows[row]) for row in ROWS}
               for side, rows in times.items()},
        'ratio': {base: ratios(times, base) for base in (variants[0].name, BASELINE)
                  if base in times},
        'floor': {side.name: distances(stages(config, side.variant), times[side.name], card)
                  for side in sides},
        'agreement': {}, 'not_captured': problems})  # whatever comes of the rest
    agreed = agreement(sides, device)
    return {'agreement': agreed,
            'ok': not problems and all(one['ok'] for one in agreed.values())}


def _tokens(config: VLAConfig) -> dict:
    return {'visual': config.num_visual, 'text': config.text_length}


def ratios(times: dict, base: str) -> dict:
    """Return how many times faster than `base` every other side is, by row of COMPARED."""
    return {side: {row: paired_ratio(times[base][row], rows[row]) for row in COMPARED}
            for side, rows in times.items() if side != base}


def distances(works: dict[str, list[Work]], times: dict[str, np.ndarray], card: Card) -> dict:
    """
    Return floor_ms, operations and bytes a second, and the part of the floor that is reached.

    By stage that has a floor, the backbone and the total.
    """
    works = {**works, 'vision': works['vision'] + works['projector']}
    parts = {stage: works[stage] for stage in STAGES if works.get(stage)}
    parts['backbone'] = parts['prefill_1'] + parts['prefill_2']
    parts['total'] = [work for stage in STAGES for work in works.get(stage, ())]
    found = {}
    for name, part in parts.items():
        seconds = float(np.median(times[name])) / 1e3
        floor = sum(work.seconds(card) for work in part)
        found[name] = {
            'floor_ms': 1e3 * floor, 'reached': floor / seconds,
            'tops': sum(work.ops for work in part) / seconds / 1e12,
            'gb_s': sum(work.size for work in part) / seconds / 1e9}
    return found
