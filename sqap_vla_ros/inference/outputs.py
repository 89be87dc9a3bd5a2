# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From what a network's head gives to actions with names and units."""

from __future__ import annotations

import numpy as np

from ..control.action_space import DELTA_NAMES
from ..errors import ObservationError
from ..formats.checkpoint import CheckpointConfig
from ..observation import ActionChunk
from ..support.stopwatch import Stopwatch


def unnormalise(normalised: np.ndarray, stats: dict) -> np.ndarray:
    """
    Map [-1, 1] to low..high where the mask says so, and leave the rest as it is.

    epsilon, if stats has it, is added to the range, as OpenVLA-OFT does.
    """
    low, high, mask = (stats[name] for name in ('low', 'high', 'mask'))
    span = high - low + stats.get('epsilon', 0.0)
    return np.where(mask, 0.5 * (normalised + 1) * span + low, normalised)


def normalise(actions: np.ndarray, stats: dict) -> np.ndarray:
    """Map what unnormalise gave back to [-1, 1], float64; a value without a range is 0."""
    low, high, mask = (np.asarray(stats[name]) for name in ('low', 'high', 'mask'))
    span = (high - low + stats.get('epsilon', 0.0)).astype(np.float64)
    scaled = 2 * (actions - low) / np.where(span > 0, span, np.inf) - (span > 0)
    return np.where(mask, scaled, actions)


class ModelOutputs:
    """Actions of one checkpoint."""

    def __init__(self, config: CheckpointConfig, stats: dict):
        """Keep the parts; stats: see norm_stats.statistics."""
        self._config, self._stats = config, stats

    def actions(self, normalised: np.ndarray) -> np.ndarray:
        """
        Return float32 [T, A] in the checkpoint's units of [T, A] in -1..1.

        Raises ObservationError for actions that are not finite: they must never reach a robot.
        """
        actions = unnormalise(normalised, self._stats).astype(np.float32)
        if not np.isfinite(actions).all():
            raise ObservationError(
                'the policy answered with non-finite actions: check the checkpoint and precision')
        return actions

    def chunk(self, actions: np.ndarray, stamp_ns: int, timings: dict, selection) -> ActionChunk:
        """Name the columns; without a declared action space a step has no known duration."""
        config = self._config
        if config.declares_actions:
            space = config.action_space
            return ActionChunk(actions, space.dt, space.names, stamp_ns, timings, selection)
        width = actions.shape[1]
        names = (*DELTA_NAMES, 'gripper') if width == 7 else tuple(f'a{i}' for i in range(width))
        return ActionChunk(actions, float('nan'), names, stamp_ns, timings, selection)


def timings_round(clock: Stopwatch, stages: dict[str, float]) -> dict[str, float]:
    """Return a runner's times with those round it: they end where the policy's clock does."""
    laps, stages = clock.timings(), {name: ms for name, ms in stages.items() if name != 'total'}
    stages['preprocess'] += laps['inputs']
    stages[next(reversed(stages))] += laps['total'] - sum(stages.values())
    return {**stages, 'total': laps['total']}
