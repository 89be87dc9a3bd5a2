# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which seeds of initial states serve what, so that nothing is measured on what chose it.

Results come from TEST_SEEDS, which no training and no choice of a checkpoint ever sees;
training picks its best checkpoint on VALIDATION_SEEDS; demonstrations begin at
FIRST_TRAINING_SEED.
"""

from __future__ import annotations

from ..errors import ConfigError

TEST_SEEDS = range(0, 500)
VALIDATION_SEEDS = range(500, 1000)
FIRST_TRAINING_SEED = 1000


def episode_seeds(first: int, tasks: int, episodes_per_task: int) -> range:
    """
    Return consecutive seeds that give each task its number of episodes.

    Seed s is an episode of task s modulo the number of tasks.  Raises ConfigError for no
    episodes and for seeds that are not all of one kind.
    """
    if episodes_per_task < 1:
        raise ConfigError(f'at least one episode a task is needed, found {episodes_per_task}')
    seeds = range(first, first + tasks * episodes_per_task)
    if not any(seeds[0] in kind and seeds[-1] in kind for kind in (TEST_SEEDS, VALIDATION_SEEDS)):
        raise ConfigError(
            f'seeds {seeds[0]} to {seeds[-1]} are asked for ({tasks} tasks): use only test seeds '
            f'({TEST_SEEDS[0]} to {TEST_SEEDS[-1]}), or only validation seeds '
            f'({VALIDATION_SEEDS[0]} to {VALIDATION_SEEDS[-1]}); fewer episodes a task or '
            'another --seed')
    return seeds
