# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
CogACT's adaptive ensemble: blend what the last chunks say about the present moment.

Each chunk's row for now is weighted by exp(alpha * cosine similarity to the newest chunk's), so
that plans of another mode do not pull the action to a useless middle.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from ..errors import ConfigError

EPSILON = 1e-7


class AdaptiveEnsemble:
    """Remember the last `horizon` chunks; CogACT takes 7 for WidowX and 2 for the Google robot."""

    def __init__(self, horizon: int, alpha: float = 0.1):
        """Start without chunks; raise ConfigError for a horizon below 1."""
        if horizon < 1:
            raise ConfigError(f'ensemble horizon is {horizon}, expected at least 1')
        self._alpha = alpha
        self._chunks: deque = deque(maxlen=horizon)  # (control step of row 0, chunk), oldest first
        self._now = 0

    def reset(self) -> None:
        """Forget all chunks."""
        self._chunks.clear()
        self._now = 0

    def blend(self, actions: np.ndarray, steps: int = 1) -> np.ndarray:
        """
        Take a new chunk [T, A], un-normalised, and return the action [A] for now.

        steps: control steps since the last chunk; one as old as its own length drops out.
        """
        self._now += steps
        self._chunks.append((self._now, np.asarray(actions, np.float64)))
        rows = np.array([chunk[self._now - start] for start, chunk in self._chunks
                         if self._now - start < len(chunk)])
        newest = rows[-1]
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(newest)
        weights = np.exp(self._alpha * (rows @ newest) / (lengths + EPSILON))
        return (weights / weights.sum()) @ rows
