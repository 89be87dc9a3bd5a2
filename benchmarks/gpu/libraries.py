# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Our products against those of libraries: the same shapes, in the same run, each one checked."""

from __future__ import annotations

from collections.abc import Callable
import time

import torch

from . import rivals
from .clock import per_call_ms
from .compare import relative_error
from .floors import decoder_block
from .layers import layer_copies, layer_spec
from .models import release
from .shapes import Plan

# ours and the library's, by name; the first that stands in a row with several is measured once
PAIRS = {
    'W8A8 product': (rivals.our_int8, {'torch._int_mm, sums only': rivals.cublas_int8,
                                       'torch._scaled_mm, fp8': rivals.cublas_fp8}),
    'W4A16 layer': (rivals.our_int4, {'tinygemm': rivals.tinygemm,
                                      'gemlite': rivals.gemlite_int4}),
    'W8A8 layer': (rivals.our_int8_layer, {'torchao, eager': rivals.torchao_int8,
                                           'gemlite': rivals.gemlite_int8})}
_ROUNDS = 10


def measure(plan: Plan, device: torch.device, dtype: torch.dtype, seconds: float, keep) -> dict:
    """
    Return microseconds of ours and of each library's, by layer and number of tokens.

    What cannot run, or gives another result than it has to, is named with the reason and not
    timed.  The section has failed if a result of ours is wrong.  keep(content): saves what is
    known so far.
    """
    llm, end, found = next(iter(plan.models.values())).llm, time.perf_counter() + seconds, []
    for rows in plan.rows:
        for index, work in enumerate(decoder_block(llm, rows, 'w8a8')):
            spec = layer_spec(llm, index, 'w8a8')
            problem = rivals.Problem(rows, spec.in_features, spec.out_features,
                                     layer_copies(work.size / 2, device), device, dtype)
            for kind, (ours, others) in PAIRS.items():
                if time.perf_counter() > end:
                    return _section(found, True)
                found += compared(kind, ours, others, problem, {'layer': work.name,
                                                                'tokens': rows})
                keep({'comparisons': found})
            del problem
            release(device)
    return _section(found, False)


def _section(found: list[dict], ended_early: bool) -> dict:
    return {'ok': not any(row['ours'].get('wrong') for row in found), 'comparisons': found,
            'ended_early': ended_early}


def compared(kind: str, ours: Callable, others: dict[str, Callable], problem: rivals.Problem,
             place: dict) -> list[dict]:
    """Return one comparison for each library."""
    mine = timed(ours, problem) if others else {}
    return [{**place, 'kind': kind, 'library': name, 'ours': mine,
             'theirs': timed(make, problem)} for name, make in others.items()]


def timed(make: Callable, problem: rivals.Problem) -> dict:
    """Return {'us', 'error'}, or {'reason'} for a contender that cannot run or is wrong."""
    try:
        contender = make(problem)
        error = relative_error(contender.calls[0]().double(), contender.expected.double())
        if not error <= contender.tolerance:
            return {'reason': f'off by {error:.2g} of the norm, {contender.tolerance} is allowed',
                    'wrong': True}
        rounds = _ROUNDS if problem.device.type == 'cuda' else 1
        us = 1e3 * per_call_ms(contender.calls, problem.device, rounds, 1.0)
    except rivals.Missing as reason:
        return {'reason': str(reason)}
    except Exception as error:  # the top frame of a contender: whatever a library raises
        return {'reason': f'{type(error).__name__}: {error}'.splitlines()[0][:200],
                'wrong': make.__name__.startswith('our_')}
    return {'us': us, 'error': error}
