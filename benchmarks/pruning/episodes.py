# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whole episodes in the simulator with any of the candidates, in all or some phases of a task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sqap_vla_ros.evaluate.rollouts import run_episode
from sqap_vla_ros.inference.outputs import ModelOutputs
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.answers import action_errors, executed_rows
from sqap_vla_ros.sim.making import make_environment
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.train.recording import project_points
import torch

from .candidates import CANDIDATES, Moment
from .causes import facts
from .replies import reply
from .states import Look, phase_of, PHASES

ALL = 'all tokens'


@dataclass(frozen=True)
class Try:
    """
    One episode: from the start of a seed, with `keep` tokens chosen by a candidate, or with ALL.

    phases: of the task in which tokens are dropped; all are there in the others.
    """

    checkpoint: str
    seed: int
    candidate: str
    keep: int = 0
    phases: tuple[str, ...] = PHASES

    @property
    def key(self) -> str:
        """Return what names the episode in files."""
        phases = '' if self.phases == PHASES else ' in ' + ', '.join(self.phases)
        return f'{self.seed} {self.candidate}@{self.keep}{phases}'


class ChoosingPolicy:
    """
    A policy in full precision that drops tokens as a candidate does.

    looks: of each look in which it dropped some, its control step, phase, `error` against the
    answer with all tokens, and causes.FACTS.
    """

    def __init__(self, policy, env, tried: Try):
        """Look at an environment, which shows where object, place and gripper truly are."""
        self._policy, self._env, self._try = policy, env, tried
        self._outputs = ModelOutputs(policy.config, policy.statistics)
        self.reset()

    def __getattr__(self, name: str):
        """Return what the policy has."""
        return getattr(self._policy, name)

    def reset(self) -> None:
        """Begin an episode of an environment that stands at its start."""
        self._begun = self._env.task_points()[0]
        self._before, self._kept, self._count, self.looks = (), None, 0, []

    @torch.inference_mode()
    def infer(self, observation):
        """Return a chunk of the policy's, by the tokens that the candidate keeps."""
        look, tried = self._look(observation), self._try
        moment = Moment(look, reply(self._policy, look), self._before)
        self._before, self._count = (Moment(look, moment.reply, ()),), self._count + 1
        answer = moment.reply.whole
        if tried.candidate != ALL and look.phase in tried.phases:
            one = CANDIDATES[tried.candidate]
            kept = one.kept(moment, tried.keep)
            answer = moment.reply.answers(kept, one.treatment,
                                          moment.reply.config.prune_layer + one.later)
            self._note(moment, kept, answer)
        else:
            self._kept = None
        return self._outputs.chunk(self._outputs.actions(answer), observation.stamp_ns,
                                   {'total': 0.0}, None)

    def _look(self, observation) -> Look:
        env, model = self._env, self._policy.config.model
        points = env.task_points()
        pixels = project_points(env, points, self._policy.image_transform)
        side = model.vision.image_size / model.vision.grid[1]
        step = self._count * executed_rows(self._policy.config)
        return Look(self._count, self._try.seed, step, observation.image,
                    observation.instruction, observation.state, (pixels + 0.5) / side - 0.5,
                    phase_of(self._begun, points, env.gripper_open()))

    def _note(self, moment: Moment, kept, answer) -> None:
        whole, executed = moment.reply.whole, moment.reply.executed
        self.looks.append({
            'step': moment.look.step, 'phase': moment.look.phase,
            'facts': facts(moment, kept, self._kept),
            'error': float(action_errors(whole[None], answer[None], executed)[0])})
        self._kept = kept


@lru_cache(maxsize=1)
def _parts(checkpoint: str):
    """Return this process's simulator and policy."""
    torch.set_num_threads(1)
    env = make_environment(SceneOptions())
    return env, load_policy(checkpoint, vision_dtype='float32', keep=None)


def run_try(tried: Try) -> dict:
    """Run one episode; return whether it succeeded, its steps, and ChoosingPolicy.looks."""
    env, policy = _parts(tried.checkpoint)
    driver = ChoosingPolicy(policy, env, tried)
    instruction = env.instructions[tried.seed % len(env.instructions)]
    result = run_episode(env, driver, tried.seed, instruction)
    return {'seed': tried.seed, 'candidate': tried.candidate, 'keep': tried.keep,
            'phases': list(tried.phases), 'instruction': instruction,
            'success': result.success, 'steps': result.steps, 'fault': result.fault,
            'looks': driver.looks}


def mean_of_looks(episodes, steps: dict[int, int], told) -> dict[str, list | float]:
    """
    Return by phase, and under 'all', the mean over episodes of the mean of told(look).

    steps: by seed, how many control steps count of an episode: one that goes wrong is longer, and
    what it sees afterwards is no cause.
    """
    found = {}
    for name in ('all', *PHASES):
        means = []
        for each in episodes:
            values = [told(look) for look in each['looks'] if look['step'] < steps[each['seed']]
                      and name in ('all', look['phase'])]
            if values:
                means.append(_mean(values))
        if means:
            found[name] = _told(_mean(means))
    return found


def _mean(values) -> np.ndarray:
    """Return the mean over the first axis of what is known, NaN where nothing is."""
    values = np.array(values, float)
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=0) / np.where(
        known.any(axis=0), known.sum(axis=0), np.nan)


def _told(mean: np.ndarray):
    """Return plain values, None for what is not known."""
    plain = [None if np.isnan(value) else float(value) for value in np.atleast_1d(mean)]
    return plain if mean.ndim else plain[0]
