# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Many scenarios, one after the other or in several processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from .commander_trial import try_commander
from .judge import Judge
from .playing import Play
from .scenarios import scenario, TICKS
from .tally import Tally
from ...control.safety_gate import SafetyGate

BATCH = 20  # scenarios a task


def try_gate(seed: int, index: int) -> Tally:
    """Return what one scenario comes to with a SafetyGate of its own."""
    what, tally = scenario(seed, index), Tally()
    judge = Judge(what)
    passed = moving = faults = 0
    with np.errstate(over='ignore', invalid='ignore', under='ignore'):
        for number, tick in enumerate(Play(what, SafetyGate(what.limits, what.frame)).ticks()):
            tally.note(f'scenario {index}, tick {number}', judge.unsafe(tick))
            passed += tick.velocity is not None
            moving += tick.velocity is not None and any(tick.velocity.tolist())
            faults += tick.fault is not None
    tally.counts.update({'inputs': TICKS, 'commands': passed, 'moving': moving, 'faults': faults})
    tally.counts['twists' if what.is_cartesian else 'joints'] += TICKS
    tally.add_shares(judge.shares)
    return tally


def try_many(trial: Callable[[int, int], Tally], seed: int, scenarios: int, processes: int = 1,
             progress: Callable[[int], None] = lambda done: None) -> Tally:
    """
    Return what so many scenarios come to.

    trial: try_gate or another function of (seed, index).  progress: told how many scenarios were
    done since it was told last.
    """
    total = Tally()
    batches = [range(first, min(first + BATCH, scenarios))
               for first in range(0, scenarios, BATCH)]
    work = partial(_batch, trial, seed)
    if processes == 1:
        for batch in batches:
            total.add(work(batch))
            progress(len(batch))
        return total
    with ProcessPoolExecutor(processes, mp_context=get_context('spawn')) as pool:
        for batch, tally in zip(batches, pool.map(work, batches)):
            total.add(tally)
            progress(len(batch))
    return total


def _batch(trial, seed: int, indices: range) -> Tally:
    total = Tally()
    for index in indices:
        total.add(trial(seed, index))
    return total


# name: (trial, inputs that it takes, of all inputs that were asked for)
TRIALS = {'gate': (try_gate, TICKS, 1.0), 'commander': (try_commander, TICKS, 0.2)}
