# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Success of a checkpoint on validation seeds while it is trained, to keep the best one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ..evaluate.plan import BASELINE, Job, Row
from ..evaluate.rollouts import wilson_interval
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

    def measure(self, stop: list) -> dict | None:
        """
        Return successes, episodes, wilson95 and by_instruction; None when stop fills up.

        stop: see saving.stop_signals.
        """
        results = []
        with closing(run_episodes(self.jobs, self.scene, PROCESSES)) as finished:
            for _, result in finished:
                if stop:
                    return None
                results.append(result)
        successes = sum(result.success for result in results)
        return {'successes': successes, 'episodes': len(results),
                'wilson95': list(wilson_interval(successes, len(results))),
                'by_instruction': {text: success_counts(results, text)
                                   for text in self.scene.options.instructions}}


def read_best(directory: Path) -> dict | None:
    """Return what the best checkpoint so far achieved, with its step; None without one."""
    from ..model import checkpoint
    if not (directory / 'config.json').is_file():
        return None
    return checkpoint.read_config(directory).training.get('validation')


def is_best(found: dict, best: dict | None) -> bool:
    """Return whether a success is at least as good as the best one: the later of equals wins."""
    return best is None or (
        found['successes'] * best['episodes'] >= best['successes'] * found['episodes'])
