# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where an arm was told to be at any time, by the positions that were sent and nothing else.

Each position is for the end of a period, so on the way there the arm is told to be in between,
and there once the period is over. How fast it was told to go follows from that.
"""

from __future__ import annotations

from collections.abc import Iterator
import math

import numpy as np

from .playing import quaternion, rotation_matrix
from ...control.command import Command, Measured

RESUMED_WITHIN = 0.01  # rad or m, from the measured joints to where they are told to begin
NOISE = 1e-11  # m or rad, that positions may be off by rounding


class Joints:
    """Positions [n] of joints."""

    def seen(self, measured: Measured, size: int) -> np.ndarray:
        """Return where the arm is."""
        return measured.joints[:size]

    def start(self, sent: Command, seen: np.ndarray, period_s: float) -> np.ndarray:
        """Return where a motion is told to begin: joints may go on from where they were told."""
        start = sent.position - sent.velocity * period_s
        return start if np.abs(start - seen).max() <= RESUMED_WITHIN + NOISE else seen

    def step(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return the step [n] between two positions."""
        return end - start

    def between(self, start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
        """Return what lies between two positions."""
        return start + share * (end - start)

    def nonsense(self, position: np.ndarray) -> Iterator[str]:
        """Yield why a position is none."""
        if not np.isfinite(position).all():
            yield f'the joints are told {position}'


class Poses(Joints):
    """Positions [7] of an end effector, x y z qx qy qz qw; steps [6] in its frame or the base."""

    def __init__(self, frame: str):
        """Tell steps in 'base' or 'end_effector'."""
        self._is_turned = frame == 'end_effector'

    def seen(self, measured: Measured, size: int) -> np.ndarray:
        """Return where the end effector is."""
        return np.concatenate([measured.pose.translation, measured.pose.quaternion])

    def start(self, sent: Command, seen: np.ndarray, period_s: float) -> np.ndarray:
        """Return where a motion begins: where the end effector was seen."""
        return seen

    def step(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return the step [6] between two positions."""
        turn = matrix(start[3:])
        step = end[:3] - start[:3], rotation_vector(matrix(end[3:]) @ turn.T)
        return np.concatenate([turn.T @ part for part in step] if self._is_turned else step)

    def between(self, start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
        """Return what lies between two positions."""
        turn = matrix(start[3:])
        way = rotation_vector(matrix(end[3:]) @ turn.T)
        return np.concatenate([start[:3] + share * (end[:3] - start[:3]),
                               quaternion(rotation_matrix(share * way) @ turn)])

    def nonsense(self, position: np.ndarray) -> Iterator[str]:
        """Yield why a position is none."""
        length = np.linalg.norm(position[3:])
        if not (np.isfinite(position).all() and abs(length - 1) < 1e-9):
            yield f'the pose is told {position}'


class Told:
    """
    The way on which an arm was told to be.

    start, end: of the last step, which takes a period.  velocity: of that step, as sent.velocity
    should be; None before the first.
    """

    def __init__(self, path: Joints, period_ns: int):
        """Know nothing."""
        self.path, self._period_ns = path, period_ns
        self.start = self.end = self.velocity = self._since_ns = None

    @property
    def is_known(self) -> bool:
        """Whether there is a motion."""
        return self._since_ns is not None

    def rest(self) -> None:
        """Begin anew with the next command."""
        self._since_ns = None

    def at(self, now_ns: int) -> np.ndarray:
        """Return where the arm is told to be at a time."""
        share = min(max((now_ns - self._since_ns) / self._period_ns, 0.0), 1.0)
        return self.path.between(self.start, self.end, share)

    def hear(self, sent: Command, now_ns: int, measured: Measured | None) -> Iterator[str]:
        """Take the position of a command; yield where it is not where the velocity leads."""
        period_s = self._period_ns * 1e-9
        self.start = self.at(now_ns) if self.is_known else self.path.start(
            sent, self.path.seen(measured, len(sent.position)), period_s)
        self.end, self._since_ns = sent.position, now_ns
        self.velocity = self.path.step(self.start, self.end) / period_s
        off = np.abs(self.velocity - sent.velocity).max() * period_s
        if off > NOISE + 1e-6 * np.abs(sent.velocity).max() * period_s:
            yield f'the position is {off:.3g} m or rad off the one that the velocity leads to'


def matrix(quaternion: np.ndarray) -> np.ndarray:
    """Return the rotation matrix [3, 3] of a unit quaternion [4], x y z w."""
    x, y, z, w = quaternion.tolist()
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def rotation_vector(turn: np.ndarray) -> np.ndarray:
    """Return the rotation vector [3] of a matrix [3, 3]; a half turn's axis is anyone's guess."""
    axis = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0],
                           turn[1, 0] - turn[0, 1]])
    sine, cosine = math.hypot(*axis), 0.5 * (np.trace(turn) - 1)
    if sine < 1e-300:
        return np.array([0.0 if cosine > 0 else math.pi, 0.0, 0.0])
    return axis * (math.atan2(sine, cosine) / sine)
