# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The list of faults: what each is called, and what is to come of it."""
from dataclasses import dataclass, field
from typing import Callable

STOP, STILL, GO_ON, REFUSE, REPORT = 'stop', 'still', 'go on', 'refuse', 'report'
FAULTS = {}


@dataclass(frozen=True)
class Fault:
    """
    One fault.

    run(rig): a generator; up to its yield it brings the fault about, behind it it ends it. It
    may yield the time of the fault (time.monotonic()), and rig.note what else is to be told.
    wanted: STOP, the arm comes to rest; STILL, it never moves; GO_ON; REFUSE, run notes
    refused=True; REPORT, nothing is judged.  watch_s: for how long at most.
    moving: whether the arm is under way before.  simulated: use_sim_time.  recovers: whether
    motion is waited for afterwards.
    """

    name: str
    group: str
    run: Callable
    wanted: str = STOP
    watch_s: float = 3.0
    moving: bool = True
    simulated: bool = False
    recovers: bool = True
    fresh: bool = False
    starts: bool = True
    parameters: dict = field(default_factory=dict)


def fault(name, group, **options):
    """Register a generator function as a fault."""
    def register(run):
        FAULTS[name] = Fault(name, group, run, **options)
        return run
    return register
