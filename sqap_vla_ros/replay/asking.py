# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One row of a replay: a variant of the policy, under a control, asked about each image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .looking import Look
from .results import DROPPED
from ..control.action_space import TWIST_NAMES
from ..control.command import Measured
from ..errors import ConfigError, ObservationError
from ..evaluate.conventions import middle_state
from ..evaluate.plan import Row
from ..evaluate.rollouts import controlled, told_instruction
from ..geometry.transform_buffer import Pose


@dataclass(frozen=True, eq=False)
class Answered:
    """
    What a row answered to one image; see results.Answers.

    latency_ms: in the order of the row's stages.  problem: why there is no answer; all numbers
    are NaN then.
    """

    actions: np.ndarray
    velocities: np.ndarray
    positions: np.ndarray
    gripper: np.ndarray
    reasons: np.ndarray
    latency_ms: np.ndarray
    problem: str = ''


class Asked:
    """
    A row, and the policy that answers for it.

    rows, stages: of an answer, and the names of its timings.  arm_names: columns of velocities.
    """

    def __init__(self, row: Row, policy, shape: tuple[int, tuple[str, ...]],
                 joint_names: tuple[str, ...], others: tuple[str, ...] = ()):
        """
        Take a policy of one's own.

        shape: (rows, stages) of its answers.  joint_names: the robot's names of the joints that
        the policy tells, in its order; empty for twists and poses.  others: instructions that the
        control other-instruction may take.
        """
        self.row, self.policy, self._others = row, policy, others
        self.rows, self.stages = shape
        self.space = policy.config.action_space
        self.arm_names = TWIST_NAMES if self.space.is_cartesian else joint_names
        self.position_width = 7 if self.space.is_cartesian else len(joint_names)
        self.patches = policy.config.model.num_visual
        self._mean_state = middle_state(policy.statistics)

    def nothing(self, problem: str = '') -> Answered:
        """Return no answer."""
        rows, nan = self.rows, np.nan
        return Answered(
            np.full((rows, len(self.space.names)), nan, np.float32),
            np.full((rows, len(self.arm_names)), nan), np.full((rows, self.position_width), nan),
            np.full(rows, nan), np.zeros(self.patches, np.uint8),
            np.full(len(self.stages), nan), problem)

    def answer(self, look: Look, joints: np.ndarray | None) -> Answered:
        """
        Return the answer to an image that has an observation.

        joints: of the policy's columns at the image's time, None where one is not known.
        """
        try:
            chunk = self.policy.infer(self._shown(look.observation))
            commands = self.space.commands(chunk.actions, self._start(look, joints))
        except (ObservationError, ConfigError) as error:
            return self.nothing(str(error))
        blank, reasons = self.nothing(), np.zeros(self.patches, np.uint8)
        if chunk.selection is not None:
            reasons[:] = DROPPED
            reasons[chunk.selection.kept] = chunk.selection.reason
        return Answered(
            chunk.actions, np.array([command.velocity for command in commands]),
            np.array([none if command.position is None else command.position
                      for command, none in zip(commands, blank.positions)]),
            np.array([np.nan if command.gripper is None else command.gripper
                      for command in commands]), reasons,
            np.array([chunk.timings[stage] for stage in self.stages]))

    def _shown(self, observation):
        true = _plain(observation.instruction)
        others = [text for text in self._others if _plain(text) != true]
        if self.row.control == 'other-instruction' and not others:
            raise ConfigError(f'there is no other instruction than {observation.instruction!r}')
        told = told_instruction(others, observation.instruction, self.row.control, 0)
        return replace(controlled(observation, self.row.control, self._mean_state),
                       instruction=told)

    def _start(self, look: Look, joints: np.ndarray | None) -> Measured:
        """Return where the arm was, as far as that is known."""
        known = np.isfinite(look.pose).all()
        return Measured(Pose(look.pose[:3], look.pose[3:], look.stamp_ns) if known else None,
                        joints)


def _plain(text: str) -> str:
    """Return a text without what makes no other instruction of it."""
    return ' '.join(text.casefold().split())
