# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Who acts while demonstrations are recorded: the disturbed expert alone, or a policy in turn.

Where a policy acts it comes into the states that its own mistakes lead to, and what the expert
would do there is what it lacks (DAgger: Ross, Gordon and Bagnell, "A Reduction of Imitation
Learning and Structured Prediction to No-Regret Online Learning", AISTATS 2011).  The expert's
turns show the way on from there.
"""

from __future__ import annotations

import numpy as np

from .perturbation import Perturbation
from .recording import EXPERT, POLICY
from ..errors import ConfigError
from ..evaluate.rollouts import Drive
from ..sim.units import SPEEDS

STRETCH_STEPS = (20, 60)  # fewest, most control steps of a turn: 1 to 3 s
STUCK_STEPS, STUCK_M = 20, 0.01  # a hand that stays as near as this for so long is stuck


class ExpertAlone:
    """The expert acts, disturbed."""

    def __init__(self, perturbation: Perturbation):
        """Disturb it so."""
        self._perturbation = perturbation

    def act(self, step: int, twist, gripper) -> tuple:
        """Return (twist, gripper) to execute in place of the expert's, and who acts: EXPERT."""
        return (*self._perturbation.apply(twist, gripper), EXPERT)


class Turns:
    """
    A policy, driving as in evaluation, and the disturbed expert act in turn for an episode.

    The policy's chunks are executed as far as it executes them, whatever a turn's length; where
    it is stopped (a fault), the expert acts until the turn is over. One whose hand stays where it
    is, is stuck: it would show the same state until the episode ends, so that the next turn is
    the expert's, unless the expert has no share.
    """

    def __init__(self, env, policy, perturbation: Perturbation, rng: np.random.Generator,
                 expert_share: float):
        """Begin an episode of an environment; expert_share: of turns, 0..1."""
        policy.reset()
        self._env, self._policy, self._rng = env, policy, rng
        self._expert, self._share = ExpertAlone(perturbation), expert_share
        self._drive: Drive | None = None
        self._left, self._still, self._place = 0, 0, None

    def act(self, step: int, twist, gripper) -> tuple:
        """Return (twist, gripper) to execute in place of the expert's, and who acts."""
        is_stuck = self._is_stuck()
        if self._left == 0 or is_stuck:
            self._begin_turn(is_stuck)
        self._left -= 1
        if self._drive is not None:
            command = self._drive.command(step, self._env.instruction)
            if not self._drive.fault:
                return (*command, POLICY)
            self._drive = None
        self._env.command_scale = SPEEDS
        return self._expert.act(step, twist, gripper)

    def _is_stuck(self) -> bool:
        """Look where the hand is; return whether a policy has left it there for too long."""
        place = self._env.end_effector_pose()[:3, 3]
        if (self._place is None or self._drive is None
                or np.linalg.norm(place - self._place) > STUCK_M):
            self._place, self._still = place, 0
        self._still += 1
        return self._still > STUCK_STEPS and self._share > 0

    def _begin_turn(self, is_stuck: bool) -> None:
        """Draw whose turn it is, the expert's where a policy is stuck, and for how long."""
        self._left = int(self._rng.integers(*STRETCH_STEPS, endpoint=True))
        if self._rng.random() < self._share or is_stuck:
            self._drive = None
        elif self._drive is None:
            self._drive = Drive(self._env, self._policy)


def check_instructions(config, instructions) -> None:
    """Raise ConfigError for instructions that a policy of this CheckpointConfig does not know."""
    unknown = [text for text in instructions if config.instructions
               and text not in config.instructions]
    if unknown:
        raise ConfigError(f'the checkpoint of --policy knows {list(config.instructions)}, not '
                          f'{unknown}: give --instructions that it knows')
