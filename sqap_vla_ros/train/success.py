# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Success of a checkpoint on validation seeds while it is trained, to keep the best one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
import time

from ..evaluate.intervals import wilson_interval
from ..evaluate.plan import BASELINE, Job, Row
from ..evaluate.seeds import episode_seeds, VALIDATION_SEEDS
from ..evaluate.table import success_counts
from ..evaluate.workers import run_episodes, Scene
from ..sim.options import SceneOptions

PROCESSES = 2


class SuccessMeter:
    """Rolls a checkpoint out in full precision on the same validation episodes every time."""

    def __init__(self, checkpoint: Path, options: SceneOptions, episodes_per_task: int):
        """Raise ConfigError now, not hours later, if the simulator cannot serve this."""
        seeds = episode_seeds(
            VALIDATION_SEEDS[0], len(options.instructions), episodes_per_task)
        self.jobs = [Job(Row(BASELINE), seed) for seed in seeds]
        self.scene = Scene(str(checkpoint), options)
        self.scene.environment().close()

    def measure(self, stop: list, deadline: float) -> dict | None:
        """Return the success by instruction; None if stop fills up or the deadline passes."""
        results = []
        with closing(run_episodes(self.jobs, self.scene, PROCESSES)) as finished:
            for _, result in finished:
                if stop or time.monotonic() > deadline:
                    return None
                results.append(result)
        options, successes = self.scene.options, sum(result.success for result in results)
        scene = {name: value for name, value in options.values().items()
                 if name != 'instructions'}
        return {'successes': successes, 'episodes': len(results),
                'wilson95': list(wilson_interval(successes, len(results))), 'scene': scene,
                'by_instruction': {text: success_counts(results, text)
                                   for text in options.instructions}}


def last_measured(log: list) -> int | None:
    """Return the last step in a log whose success was measured."""
    return next((row['step'] for row in reversed(log) if 'success' in row), None)


def best_of(log: list) -> dict | None:
    """Return the best success in a log, in the scene of the last one; None where none was."""
    measured = [row['success'] for row in log if 'success' in row]
    alike = [found for found in measured if found.get('scene') == measured[-1].get('scene')]
    return max(reversed(alike), default=None,  # the later of equals
               key=lambda found: found['successes'] / found['episodes'])
