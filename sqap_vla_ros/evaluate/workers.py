# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes in several processes, each with a simulator of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from .checkpoint_files import fingerprint
from .plan import Job
from .rollouts import EpisodeResult, MAX_STEPS, run_episode
from ..errors import ConfigError
from ..options import PolicyOptions
from ..sim.options import SceneOptions
from ..support.processes import run_jobs
from ..support.requirements import require


@dataclass(frozen=True)
class Scene:
    """
    Where and with what episodes are run.

    checkpoint: its directory.  options: of the simulator, with the instructions.  policy: what
    all rows have in common.  fingerprint: of the checkpoint's files when the evaluation began,
    empty for no check.
    """

    checkpoint: str
    options: SceneOptions
    max_steps: int = MAX_STEPS
    policy: PolicyOptions = PolicyOptions()
    fingerprint: tuple = ()

    def environment(self):
        """Return a new LiberoEnv; raise ConfigError where it cannot be made."""
        require_simulator()
        from ..sim.making import make_environment
        return make_environment(self.options)


def require_simulator() -> None:
    """Raise ConfigError where the LIBERO benchmark is not installed."""
    require(ConfigError, 'libero', 'mujoco')


def run_episodes(jobs, scene: Scene, processes: int) -> Iterator[tuple[Job, EpisodeResult]]:
    """Yield every job with its result, in the order in which they end; see processes.py."""
    return run_jobs(partial(_run, scene), jobs, processes)


class _Worker:
    """One process's simulator, and the policy in use."""

    def __init__(self, scene: Scene):
        self.scene, self.environment = scene, scene.environment()
        self._loaded = self._policy = None

    def run(self, job: Job) -> EpisodeResult:
        """Run one episode; its seed decides start, instruction and random draws."""
        instructions = self.environment.instructions
        return run_episode(
            self.environment, self.policy(job), job.seed,
            instructions[job.seed % len(instructions)], job.row.control, self.scene.max_steps,
            self.scene.options.start(job.seed, len(instructions)))

    def policy(self, job: Job):
        """Return the job's policy; jobs come row by row, so that one precision is kept."""
        from ..policy import load_policy
        row, common = job.row, self.scene.policy
        if self._loaded != row.precision:
            begun = self.scene.fingerprint
            if begun and fingerprint(self.scene.checkpoint) != begun:
                raise ConfigError(f'{self.scene.checkpoint} has changed since the evaluation '
                                  'began: evaluate a copy of what is still being trained')
            self._policy = load_policy(self.scene.checkpoint, common, precision=row.precision)
            self._policy.warm_up()
            self._loaded = row.precision
        self._policy.selection = row.selection(common, job.seed)
        return self._policy


@lru_cache(maxsize=1)
def _worker(scene: Scene) -> _Worker:
    """Return this process's simulator, made for its first episode."""
    import torch
    torch.set_num_threads(1)
    return _Worker(scene)


def _run(scene: Scene, job: Job) -> EpisodeResult:
    return _worker(scene).run(job)
