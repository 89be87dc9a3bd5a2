# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy whose normalised actions carry a little noise: how much two equal policies differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..inference.outputs import normalise, unnormalise


class NoisyPolicy:
    """Answers as a policy does, and adds Gaussian noise; all else is the policy's own."""

    def __init__(self, policy, deviation: float, seed: int):
        """deviation: standard deviation in normalised actions (-1 .. 1)."""
        self._policy, self._deviation = policy, deviation
        self._random = np.random.default_rng(seed)

    def __getattr__(self, name: str):
        """Return what the policy has."""
        return getattr(self._policy, name)

    def infer(self, observation):
        """Return the policy's chunk with noise; raises as Policy.infer does."""
        chunk, statistics = self._policy.infer(observation), self._policy.statistics
        noise = self._random.normal(0.0, self._deviation, chunk.actions.shape)
        actions = unnormalise(normalise(chunk.actions, statistics) + noise, statistics)
        return replace(chunk, actions=actions.astype(np.float32))
