# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How the threads of one computation wait for each other.

Torch and the native kernels share one pool, OpenMP's.  Where there are as many threads as cores,
it waits awake for milliseconds before it sleeps: a thread that other processes have taken the
core from is then waited for by one that keeps another core from them.  On a robot's computer,
which does much else, a policy on two threads takes many times as long as on one
(docs/cpu_speed.md has figures).
"""

import os

SPIN = 'GOMP_SPINCOUNT'
VARIABLES = (SPIN, 'OMP_WAIT_POLICY')  # by which a user says it
TURNS = '100'  # one to five microseconds


def wait_briefly() -> None:
    """
    Have OpenMP's threads wait awake for some microseconds only, unless the environment says how.

    It reads this once, when torch is imported: call it before.
    """
    if not any(name in os.environ for name in VARIABLES):
        os.environ[SPIN] = TURNS
