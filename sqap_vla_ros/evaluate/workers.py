# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes in several processes, each with a simulator of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from .converted import path_of
from .noise import NoisyPolicy
from .plan import Job
from .rollouts import EpisodeResult, MAX_STEPS, run_episode
from ..errors import ConfigError
from ..options import PolicyOptions
from ..sim.options import SceneOptions
from ..support.checkpoint_files import fingerprint
from ..support.processes import run_jobs
from ..support.requirements import require


@dataclass(frozen=True)
class Scene:
    """
    Where and with what episodes are run.

    checkpoint: its directory.  options: of the simulator, with the instructions.  policy: what
    all rows have in common.  fingerprint: of the checkpoint's files when the evaluation began,
    empty for no check.  quantized: directory of 4-bit weights of the checkpoint, None to quantize
    when loading.
    """

    checkpoint: str
    options: SceneOptions
    max_steps: int = MAX_STEPS
    policy: PolicyOptions = PolicyOptions()
    fingerprint: tuple = ()
    quantized: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Return the checkpoints whose files are read."""
        return self.checkpoint, *([self.quantized] if self.quantized else [])

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
        path = path_of(row, self.scene.checkpoint, self.scene.quantized)
        if self._loaded != (path, row.precision):
            begun = self.scene.fingerprint
            if begun and fingerprint(*self.scene.files) != begun:
                raise ConfigError(f'{" or ".join(self.scene.files)} has changed since the '
                                  'evaluation began: evaluate a copy of what is still being '
                                  'trained')
            self._policy = load_policy(path, common, precision=row.precision)
            self._policy.warm_up()
            self._loaded = path, row.precision
        self._policy.selection = row.selection(common, job.seed)
        noise = row.facts.noise
        return NoisyPolicy(self._policy, noise, job.seed) if noise else self._policy


@lru_cache(maxsize=1)
def _worker(scene: Scene) -> _Worker:
    """Return this process's simulator, made for its first episode."""
    import torch
    torch.set_num_threads(1)
    return _Worker(scene)


def _run(scene: Scene, job: Job) -> EpisodeResult:
    return _worker(scene).run(job)
