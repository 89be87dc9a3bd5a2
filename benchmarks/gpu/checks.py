# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Every kernel against the package's plain functions, on the device, before anything is timed.

Each of the modules check_*.py has cases: a name, and a function that yields comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
import time

import torch

from . import (
    check_blocks, check_layers, check_parts, check_products, check_selection, check_splits)
from .compare import row
from .shapes import Plan


def cases(plan: Plan, device: torch.device, dtype: torch.dtype) -> dict[str, Callable]:
    """
    Return all comparisons by name; those of the split products come last.

    dtype: of whole layers.  What compiles most stands in the middle, for precompile's shares.
    """
    config = next(iter(plan.models.values()))
    rows = max(plan.rows)
    return {
        **check_selection.cases(config.vision.grid, plan.keep, device),
        **check_parts.cases(config, rows, device),
        **check_products.cases(config, rows, device),
        **check_blocks.cases(config, rows, device),
        **check_layers.cases(config, plan.rows, plan.ragged, device, dtype),
        **split_cases(plan, device)}


def split_cases(plan: Plan, device: torch.device) -> dict[str, Callable]:
    """Return the comparisons of all configurations of int_gemm."""
    config = next(iter(plan.models.values()))
    return check_splits.cases(config, [count for count in plan.rows if count > 8], device)


def run(name: str, case: Callable) -> list[dict]:
    """Return a case's comparisons; one that raises is wrong, and the others go on."""
    try:
        return list(case())
    except Exception as error:  # the top frame of a case: whatever a kernel or a compiler raises
        return [row(f'{name}: {type(error).__name__}: {error}'.splitlines()[0], float('inf'), 0.0,
                    'nothing may be raised')]


def measure(plan: Plan, device: torch.device, dtype: torch.dtype, seconds: float, keep) -> dict:
    """
    Return every comparison with its error and tolerance, and whether all are within.

    keep(content): saves what is known so far.  What is left when the time is over is named, and
    the section has failed.
    """
    every, end, rows = cases(plan, device, dtype), time.perf_counter() + seconds, []
    names = list(every)
    for place, name in enumerate(names):
        if time.perf_counter() > end:
            names = names[place:]
            break
        found = run(name, every[name])
        rows += found
        for wrong in (one for one in found if not one['ok']):
            print(f'WRONG: {wrong}', flush=True)
            keep({'ok': False, 'checks': rows})
    else:
        names = []
    print(f'   {sum(one["ok"] for one in rows)} of {len(rows)} are right, {len(names)} cases '
          'not run', flush=True)
    return {'ok': not names and all(one['ok'] for one in rows), 'checks': rows, 'not_run': names}
