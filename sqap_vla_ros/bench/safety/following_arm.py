# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Arms that go where they are told to be, later: by poses, by joints, and joints with a hand."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
import math

import numpy as np

from .playing import Arm, quaternion, rotation_matrix
from .told import matrix, Poses, Told
from ...control.command import Measured
from ...geometry.transform_buffer import Pose

HAS_PINOCCHIO = find_spec('pinocchio') is not None
BASE, HAND = 'base_link', 'hand'
# (where a joint is on the one before [m], its axis, its range [rad]); the last is the hand
SIX = (((0, 0, 0.3), (0, 0, 1), 2.8), ((0, 0, 0), (0, 1, 0), 1.9), ((0, 0, 0.4), (0, 1, 0), 2.6),
       ((0, 0, 0.35), (0, 0, 1), 2.8), ((0, 0, 0), (0, 1, 0), 2.0), ((0, 0, 0), (0, 0, 1), 2.8),
       ((0, 0, 0.12), None, 0))
SEVEN = (((0, 0, 0.33), (0, 0, 1), 2.9), ((0, 0, 0), (0, 1, 0), 1.8), ((0, 0, 0), (0, 0, 1), 2.9),
         ((0, 0, 0.32), (0, 1, 0), 2.8), ((0, 0, 0), (0, 0, 1), 2.9),
         ((0, 0, 0.38), (0, 1, 0), 1.9), ((0, 0, 0), (0, 0, 1), 2.9), ((0, 0, 0.2), None, 0))


@dataclass(frozen=True)
class Chain:
    """An arm of rotating joints; endless: which of them have no range [n]."""

    parts: tuple
    endless: tuple

    @property
    def size(self) -> int:
        """Return the number of joints."""
        return len(self.parts) - 1

    def hand(self, joints: np.ndarray) -> np.ndarray:
        """Return the hand's position [7] in the base, by multiplying matrices."""
        place, turn = np.zeros(3), np.eye(3)
        for (xyz, axis, _), angle in zip(self.parts, [*joints.tolist(), 0.0]):
            place = place + turn @ np.array(xyz)
            turn = turn if axis is None else turn @ rotation_matrix(angle * np.array(axis))
        return np.concatenate([place, quaternion(turn)])

    def urdf(self, speed: float) -> str:
        """Return the URDF of it, from BASE to HAND; speed: of each joint, rad/s."""
        links = [BASE, *(f'link_{index}' for index in range(self.size)), HAND]
        joints = [_joint(index, links, part, index < self.size and self.endless[index], speed)
                  for index, part in enumerate(self.parts)]
        return '<robot name="arm">' + ''.join(
            f'<link name="{link}"/>' for link in links) + ''.join(joints) + '</robot>'


class Follower(Arm):
    """Goes where it was told to be, as a first-order lag does; stands where it is when stopped."""

    def __init__(self, start: np.ndarray, told: Told, period_ns: int, lag_s: float,
                 chain: Chain | None = None):
        """Stand at a position; chain: that of joints which move a hand."""
        is_cartesian = isinstance(told.path, Poses) or chain is not None
        self.position, self._told, self._lag_s, self._chain = start, told, lag_s, chain
        super().__init__(None, None, period_ns, False, is_cartesian)
        self._look()

    def move(self, now_ns: int) -> None:
        """Go on to now."""
        if self.velocity is not None and self._told.is_known:
            passed_s = max(now_ns - self.last_ns, 0) * 1e-9
            share = 1.0 - math.exp(-passed_s / self._lag_s) if self._lag_s else 1.0
            self.position = self._told.path.between(self.position, self._told.at(now_ns), share)
        self.last_ns = now_ns
        self._look()
        self.past.append(self._now())

    def push(self, step: np.ndarray) -> None:
        """Be moved by another hand."""
        size = 3 if isinstance(self._told.path, Poses) else len(self.position)
        self.position = self.position.copy()
        self.position[:size] += np.resize(step, size)
        self._look()
        self.past[-1] = self._now()

    def measured(self, seen) -> Measured | None:
        """Return what the commander is told."""
        if seen is None:
            return None
        time_ns, place, turn, position = seen
        pose = Pose(place.copy(), quaternion(turn), time_ns) if self.is_cartesian else None
        joints = None if isinstance(self._told.path, Poses) else position.copy()
        return Measured(pose, joints)

    def _now(self) -> tuple:
        return self.last_ns, self.place, self.turn, self.position

    def _look(self) -> None:
        """Work out place and turn."""
        hand = self.position if self._chain is None else self._chain.hand(self.position)
        self.place = hand[:3] if self.is_cartesian else hand
        self.turn = matrix(hand[3:]) if self.is_cartesian else np.eye(3)


def _joint(index: int, links: list[str], part: tuple, is_endless: bool, speed: float) -> str:
    xyz, axis, most = part
    kind = 'fixed' if axis is None else 'continuous' if is_endless else 'revolute'
    ends = '' if is_endless else f'lower="{-most}" upper="{most}" '
    more = '' if axis is None else (
        f'<axis xyz="{axis[0]} {axis[1]} {axis[2]}"/>'
        f'<limit {ends}velocity="{speed}" effort="9"/>')
    return (f'<joint name="joint_{index}" type="{kind}"><parent link="{links[index]}"/>'
            f'<child link="{links[index + 1]}"/><origin xyz="{xyz[0]} {xyz[1]} {xyz[2]}"/>{more}'
            '</joint>')
