# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From what a network's head gives to actions with names and units."""

from __future__ import annotations

import numpy as np

from ..control.action_space import DELTA_NAMES
from ..control.blending import AdaptiveEnsemble
from ..errors import ObservationError
from ..formats.checkpoint import CheckpointConfig
from ..observation import ActionChunk


def unnormalise(normalised: np.ndarray, stats: dict) -> np.ndarray:
    """Map [-1, 1] to q01..q99 where the mask says so, and leave the rest as it is."""
    low, high, mask = (stats[name] for name in ('low', 'high', 'mask'))
    return np.where(mask, 0.5 * (normalised + 1) * (high - low) + low, normalised)


class ModelOutputs:
    """Actions of one checkpoint; remembers what its ensemble blends."""

    def __init__(self, config: CheckpointConfig, stats: dict):
        """Keep the parts; stats: see checkpoint.statistics."""
        self._config, self._stats = config, stats
        self._ensemble = AdaptiveEnsemble(config.ensemble) if config.ensemble else None
        self._last_stamp = None

    def reset(self) -> None:
        """Forget everything about earlier actions (start of an episode)."""
        self._last_stamp = None
        if self._ensemble is not None:
            self._ensemble.reset()

    def actions(self, normalised: np.ndarray, stamp_ns: int) -> np.ndarray:
        """
        Return float32 [T, A], or [1, A] of an ensemble, in the checkpoint's units.

        normalised: [T, A] in -1..1.  stamp_ns: of the image.  Raises ObservationError for
        actions that are not finite: they must never reach a robot.
        """
        actions = unnormalise(normalised, self._stats)
        if not np.isfinite(actions.astype(np.float32)).all():
            raise ObservationError(
                'the policy answered with non-finite actions: check the checkpoint and precision')
        return self._blended(actions, stamp_ns).astype(np.float32)

    def _blended(self, actions, stamp_ns: int) -> np.ndarray:
        """Return the actions, or the one action [1, A] that the ensemble makes of all chunks."""
        if self._ensemble is None:
            return actions
        last, self._last_stamp = self._last_stamp, stamp_ns
        steps = 1
        if last is not None and self._config.declares_actions:
            steps = round((stamp_ns - last) * 1e-9 / self._config.action_space.dt)
        if steps < 0:  # time has jumped back: those plans are of another episode
            self._ensemble.reset()
        return self._ensemble.blend(actions, max(steps, 0))[None]

    def chunk(self, actions: np.ndarray, stamp_ns: int, timings: dict, selection) -> ActionChunk:
        """Name the columns; without a declared action space a step has no known duration."""
        config = self._config
        if config.declares_actions:
            space = config.action_space
            return ActionChunk(actions, space.dt, space.names, stamp_ns, timings, selection)
        width = actions.shape[1]
        names = (*DELTA_NAMES, 'gripper') if width == 7 else tuple(f'a{i}' for i in range(width))
        return ActionChunk(actions, float('nan'), names, stamp_ns, timings, selection)
