# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
CogACT's adaptive ensemble: blend what the last chunks say about the present moment.

Each chunk's row for now is weighted by exp(alpha * cosine similarity to the newest chunk's), so
that plans of another mode do not pull the action to a useless middle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
import math

import numpy as np

from ..errors import ConfigError
from ..observation import ActionChunk, Observation

EPSILON = 1e-7


def blend(rows: np.ndarray, alpha: float = 0.1) -> np.ndarray:
    """Return the action [A] that rows [H, A] for the same moment make, the newest row last."""
    newest = rows[-1]
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(newest)
    weights = np.exp(alpha * (rows @ newest) / (lengths + EPSILON))
    return (weights / weights.sum()) @ rows


class EnsemblePolicy:
    """
    A policy whose answers are one row: what the last `horizon` chunks of another say about now.

    Which row of a chunk is meant for now follows from the stamps of the images; where the
    checkpoint does not say how long a step lasts, each inference counts as one. CogACT takes a
    horizon of 7 for WidowX and 2 for the Google robot. All else is handed on to the policy.
    """

    def __init__(self, policy, horizon: int, alpha: float = 0.1):
        """Start without chunks; raise ConfigError for a horizon below 1."""
        if horizon < 1:
            raise ConfigError(f'ensemble is {horizon} chunks, expected at least 1')
        self._policy, self._alpha, self._horizon = policy, alpha, horizon
        self._chunks: deque = deque(maxlen=horizon)  # (time of row 0, actions)
        self._count = 0

    def __getattr__(self, name: str):
        """Return an attribute of the policy."""
        return getattr(self._policy, name)

    @property
    def memory(self) -> int:
        """Return how many of the last observations it has to be shown to go on where it was."""
        return self._horizon - 1

    def twin(self, selection) -> EnsemblePolicy:
        """Return a policy of the same weights that chooses tokens otherwise and begins anew."""
        return EnsemblePolicy(self._policy.twin(selection), self._horizon, self._alpha)

    def skip(self) -> None:
        """Count an observation that was answered before, and need not be again."""
        self._count += 1
        self._policy.skip()

    def reset(self) -> None:
        """Forget all chunks, and let the policy forget what it has seen."""
        self._chunks.clear()
        self._policy.reset()

    @property
    def selection(self):
        """Return how visual tokens are chosen; it may be set."""
        return self._policy.selection

    @selection.setter
    def selection(self, selection) -> None:
        self._policy.selection = selection

    def infer(self, observation: Observation, *args, **kwargs) -> ActionChunk:
        """Return a chunk of the one blended row; for what is raised see the policy's infer."""
        chunk = self._policy.infer(observation, *args, **kwargs)
        self._count += 1
        now, step = chunk.stamp_ns, chunk.dt * 1e9
        if math.isnan(step):
            now, step = self._count, 1
        if self._chunks and now < self._chunks[-1][0]:  # time has jumped back: another episode
            self._chunks.clear()
        self._chunks.append((now, np.asarray(chunk.actions, np.float64)))
        ages = [(round((now - begun) / step), actions) for begun, actions in self._chunks]
        rows = np.array([actions[age] for age, actions in ages if age < len(actions)])
        return replace(chunk, actions=blend(rows, self._alpha)[None].astype(np.float32))
