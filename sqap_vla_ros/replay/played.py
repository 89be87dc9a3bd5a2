# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm would have been told: answers, driven as vla_node drives them, in recorded time.

A node asks about some of the images only, is answered after a while, and says a command in each
control period. Here the same Commander is driven by the recording's own times, so the same
answers give the same commands whatever machine they are played on. The recorded arm does not
follow: that is a dry run, and where it was measured is as of the newest image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics.held import POSE_COLUMNS
from .metrics.times import episode_slices, shares_clock
from .play_options import PlayOptions
from .play_run import NONE
from .play_times import Lockstep, RealTime


@dataclass(frozen=True, eq=False)
class Played:
    """
    What one row of the table would have had the arm told, K commands and Q questions.

    title: of the Answers.  frame: of twists.  period_s: from one command to the next; the first
    one of an answer comes between.  names: of the columns D of velocities, m/s and rad/s, of
    joints where the output tells joints; zeros where the arm is told to stand.  positions: float64
    [K, n], where it is told to be at the command's end; None for outputs of velocities, NaN while
    it stands.  position_names: of its columns, x y z qx qy qz qw or joints.
    gripper: float64 [K], 0 closed .. 1 open, NaN to leave it.  times_ns: int64 [K], by the
    recorder's clock, in order; stamps_ns: the same by the node's clock, that of the stamps.
    answers: int32 [K], the image whose answer is carried out, -1 while the arm stands.
    asked: int32 [Q], images that were asked about; known_ns: int64 [Q], when their answer was
    there, by the recorder's clock, -1 where it never came; used: bool [Q], whether it was played;
    late: bool [Q], whether the arm stood, or crawled, waiting for it.
    faults: (when by the recorder's clock, why) the arm was stopped until an operator has looked;
    nothing moves from then to the end of the episode.
    """

    title: str
    frame: str
    period_s: float
    names: tuple[str, ...]
    velocities: np.ndarray
    positions: np.ndarray | None
    position_names: tuple[str, ...]
    gripper: np.ndarray
    times_ns: np.ndarray
    stamps_ns: np.ndarray
    answers: np.ndarray
    asked: np.ndarray
    known_ns: np.ndarray
    used: np.ndarray
    late: np.ndarray
    faults: tuple[tuple[int, str], ...] = ()


def play(images, answers, space, options: PlayOptions) -> Played:
    """
    Return what Answers would have had the arm told.

    space: the ActionSpace that they are in, with execute_steps settled.  Images are asked about
    out of those that were looked at: of a replay with a stride, a node asks at other times.
    """
    told = _Told()
    kind = Lockstep if options.lockstep else RealTime
    shared = shares_clock(images)
    for part in episode_slices(images):
        run = kind(images, answers, space, options, part, bool(shared[part.start]), told)
        run.play()
        told.place(run)
    return told.played(answers, options.period_ns(space) * 1e-9)


class _Told:
    """Collects what is told."""

    def __init__(self):
        self.commands, self.questions, self.faults = [], [], []
        self.joints = self.names = ()
        self._begun = 0, 0, 0
        self._times_ns, self._known_ns, self._faults = [], [], []

    def place(self, run) -> None:
        """Note when all of a run was, by the recorder's clock."""
        commands, questions, faults = self._begun
        self._times_ns.append(run.recorded_ns([each[0] for each in self.commands[commands:]]))
        self._known_ns.append(run.recorded_ns([
            question.known_ns for question in self.questions[questions:]]))
        times_ns = run.recorded_ns([time_ns for time_ns, _ in self.faults[faults:]])
        self._faults += [(int(time_ns), text) for time_ns, (_, text) in zip(
            times_ns, self.faults[faults:])]
        self._begun = len(self.commands), len(self.questions), len(self.faults)
        self.joints, self.names = run.commanded_joints, run.commanded_names

    def played(self, answers, period_s: float) -> Played:
        """Return all of it."""
        names = self.names or answers.names
        stamps_ns, velocities, positions, gripper, index = (
            zip(*self.commands) if self.commands else ((),) * 5)
        known = next((each for each in positions if each is not None), None)
        if known is not None:
            nothing = np.full(len(known), np.nan)
            positions = np.array([nothing if each is None else each for each in positions])
        asked = self.questions
        return Played(
            answers.title, answers.frame, period_s, names,
            np.array(velocities, np.float64).reshape(-1, len(names)),
            None if known is None else positions, self.joints or POSE_COLUMNS,
            np.array(gripper, np.float64),
            _joined(self._times_ns), np.array(stamps_ns, np.int64), np.array(index, np.int32),
            np.array([each.image for each in asked], np.int32),
            np.where([each.known_ns >= 0 for each in asked], _joined(self._known_ns), NONE)
            if asked else np.zeros(0, np.int64),
            np.array([each.used for each in asked], bool),
            np.array([each.late for each in asked], bool), tuple(self._faults))


def _joined(parts) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])
