# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How far a variant's actions are from full precision's on the same observations.

    error = action_errors(answers(exact, samples), answers(policy, samples), rows).mean()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .sample import Sample, Samples
from ..formats.checkpoint import CheckpointConfig
from ..inference.outputs import normalise


def answers(policy, samples: Sequence[Sample],
            advance: Callable[[], None] = lambda: None) -> np.ndarray:
    """
    Return what a policy answers to each sample, float64 [n, T, A] in the network's units, -1..1.

    policy: see load_policy; each sample is its first observation, so that a head that samples
    begins with the same noise for every variant.  advance() is called behind each.
    Raises ObservationError as Policy.infer does.
    """
    found = []
    for sample in samples:
        policy.reset()
        chunk = policy.infer(sample.observation(policy.cameras))
        found.append(normalise(chunk.actions, policy.statistics))
        advance()
    return np.stack(found)


def recorded_actions(samples: Samples, stats: dict) -> np.ndarray | None:
    """Return what was recorded, as `answers` has it; None unless all samples tell."""
    found = [sample.action for sample in samples.samples]
    if not found or any(action is None for action in found):
        return None
    return np.stack([normalise(action, stats) for action in found])


def action_errors(exact: np.ndarray, other: np.ndarray, rows: int) -> np.ndarray:
    """Return the mean absolute difference of the first rows of each chunk [n, T, A], [n]."""
    return np.abs(other - exact)[:, :rows].mean(axis=(1, 2))


def executed_rows(config: CheckpointConfig) -> int:
    """Return how many rows of a chunk a robot executes, all where nobody declared it."""
    steps = config.action_space.execute_steps if config.declares_actions else None
    return steps or config.model.head.chunk_length
