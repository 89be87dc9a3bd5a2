# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the arm may be: a box for the end effector, ranges for joints; and how fast it may near them.

With d the room up to a bound, T the period and t the time that braking takes, a velocity v
towards the bound needs v (T + t / 2): what is gone until the next command, and the way of braking.
What has no such room is cut to what has. Behind a bound there is no room, and every motion that
leads back is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .command import Measured
from .limits import CommandLimits, JointLimits
from ..geometry.quaternions import conjugate, rotated

MAX_AGE_S = 0.5  # of a measured pose; an older one tells too little of where the arm is now
ROUNDING = 1e-12


class _Bounds:
    """
    What both have: room on both sides of each component, and what fits into it.

    part: which components of a velocity are meant.  whole: whether all of them are shortened
    where one has no room.
    """

    whole = False

    def __init__(self, low: Sequence[float], high: Sequence[float]):
        self._low, self._high = low, high
        self._down, self._up = [0.0] * len(low), [0.0] * len(high)

    def cut(self, velocity: Sequence[float], reach_s: float) -> list[float]:
        """Return what of a velocity has room for reach_s seconds of it."""
        if all(-down <= reach_s * v <= up
               for v, down, up in zip(velocity, self._down, self._up)):
            return velocity
        shares = [self._share(*each, reach_s) for each in zip(velocity, self._down, self._up)]
        if min(shares) == 1.0:
            return velocity
        if self.whole:
            shares = [min(shares)] * len(shares)
        return [share * v for share, v in zip(shares, velocity)]

    def _measure(self, places: Sequence[Sequence[float]]) -> None:
        """Take the smallest room that any of these places has."""
        columns = list(zip(*places))
        self._down = [min(column) - low for column, low in zip(columns, self._low)]
        self._up = [high - max(column) for column, high in zip(columns, self._high)]

    @staticmethod
    def _share(velocity: float, down: float, up: float, reach_s: float) -> float:
        need, room = abs(velocity) * reach_s, up if velocity > 0.0 else down
        if velocity == 0.0 or need <= room * (1.0 + ROUNDING):
            return 1.0
        return max(0.0, room) / need if need > 0.0 else 0.0  # a product may be too small


class Workspace(_Bounds):
    """
    The box for the origin of the end effector, in base_frame.

    Velocities are the linear half of a twist in `frame`, 'base' or 'end_effector'.
    """

    part = slice(0, 3)

    def __init__(self, limits: CommandLimits, frame: str):
        """Take the box; no place is known."""
        super().__init__(limits.workspace_low, limits.workspace_high)
        self._is_turned, self._turn = frame == 'end_effector', None

    def look(self, measured: Measured | None, reference: Measured | None,
             velocity: Sequence[float], now_ns: int) -> str | None:
        """
        Take where the arm is; return why that is not known, None if it is.

        reference: where a positional output has told it to be.  velocity: with which it has
        moved since the pose was measured.
        """
        pose = measured and measured.pose
        if pose is None:
            return ('the pose of the end effector is not known, so whether it stays in the '
                    'workspace is not known either: is its TF published?')
        age_s = (now_ns - pose.stamp_ns) * 1e-9 if pose.stamp_ns else 0.0
        if abs(age_s) > MAX_AGE_S:
            return (f'the pose of the end effector is {age_s:.3g} s old, so whether it stays in '
                    f'the workspace is not known: expected at most {MAX_AGE_S:g} s')
        told = reference and reference.pose  # a twist of the hand is of the hand that was told
        self._turn = (told or pose).quaternion if self._is_turned else None
        place = pose.translation.tolist()
        gone = [max(0.0, age_s) * v for v in self._to_base(velocity)]
        places = [place, [x + step for x, step in zip(place, gone)]]
        if told is not None:
            places.append(told.translation.tolist())
        self._measure(places)
        return None

    def cut(self, velocity: Sequence[float], reach_s: float) -> list[float]:
        """Return what of a velocity [3] leads nowhere out of the box, component by component."""
        if self._turn is None:
            return super().cut(velocity, reach_s)
        there = self._to_base(velocity)
        kept = super().cut(there, reach_s)
        if kept is there:
            return velocity
        return rotated(conjugate(self._turn), np.array(kept)).tolist()

    def _to_base(self, velocity) -> list[float]:
        if self._turn is None:
            return list(velocity)
        return rotated(self._turn, np.array(velocity)).tolist()


class JointRange(_Bounds):
    """The ranges of the joints, less the margin; velocities are theirs."""

    def __init__(self, limits: JointLimits):
        """Take the ranges; no place is known."""
        super().__init__([low + limits.margin for low in limits.lower],
                         [high - limits.margin for high in limits.upper])
        self.part, self.whole = slice(0, limits.size), limits.whole

    def look(self, measured: Measured | None, reference: Measured | None,
             velocity: Sequence[float], now_ns: int) -> str | None:
        """Take where the joints are; return why that is not known, None if it is."""
        joints = measured and measured.joints
        if joints is None:
            return ('the positions of the joints are not known, so whether they stay within '
                    'their limits is not known either: are joint_states published?')
        if len(joints) != len(self._low) or not np.isfinite(joints).all():
            return (f'the positions of the joints are {joints}, expected {len(self._low)} '
                    'finite numbers')
        places = [joints.tolist()]
        if reference is not None and reference.joints is not None:
            places.append(reference.joints.tolist())
        self._measure(places)
        return None


def bounds_of(limits, frame: str) -> Workspace | JointRange | None:
    """Return what CommandLimits or JointLimits bound, None if nothing."""
    if isinstance(limits, CommandLimits):
        return Workspace(limits, frame) if limits.has_workspace else None
    return JointRange(limits) if limits.has_range else None
