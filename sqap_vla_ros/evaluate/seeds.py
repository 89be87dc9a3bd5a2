# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which seeds of initial states serve what, so that nothing is measured on what chose it.

Results come from TEST_SEEDS, and where these are too few from MORE_TEST_SEEDS, which no training
and no choice of a checkpoint ever sees; training picks its best checkpoint on VALIDATION_SEEDS,
and so does who chooses between variants; demonstrations are of TRAINING_SEEDS.
"""

from __future__ import annotations

from ..errors import ConfigError

TEST_SEEDS = range(0, 500)
VALIDATION_SEEDS = range(500, 1000)
TRAINING_SEEDS = range(1000, 100_000)
MORE_TEST_SEEDS = range(100_000, 110_000)
KINDS = {'test seeds': TEST_SEEDS, 'validation seeds': VALIDATION_SEEDS,
         'further test seeds': MORE_TEST_SEEDS}  # that are evaluated


def kinds_text() -> str:
    """Return the ranges of seeds in words."""
    return ', '.join(f'{name} {kind[0]} to {kind[-1]}' for name, kind in KINDS.items())


def episode_seeds(first: int, tasks: int, episodes_per_task: int) -> range:
    """
    Return consecutive seeds that give each task its number of episodes.

    Seed s is an episode of task s modulo the number of tasks.  Raises ConfigError for no
    episodes and for seeds that are not all of one kind.
    """
    if episodes_per_task < 1:
        raise ConfigError(f'at least one episode a task is needed, found {episodes_per_task}')
    seeds = range(first, first + tasks * episodes_per_task)
    if not any(seeds[0] in kind and seeds[-1] in kind for kind in KINDS.values()):
        raise ConfigError(
            f'seeds {seeds[0]} to {seeds[-1]} are asked for ({tasks} tasks), and all must be of '
            f'one kind ({kinds_text()}): fewer episodes a task or another --seed')
    return seeds
