# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The pure half of an output: where the arm is told to be, and how fast it has to go to get there.

A drive stands on both sides of the safety gate: `toward` turns what the plan says into a
velocity from where the arm was told to be (the reference), the gate limits that velocity, and
`advance` moves the reference by what was admitted. So a target never runs ahead of the limits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .command import Command, Measured
from .row_positions import moved, pose_of, position_of, step_between
from ..errors import ObservationError
from ..geometry.transform_buffer import Pose


class Drive:
    """
    What every drive has; this one is for outputs that tell a velocity and nothing else.

    needs: what has to be measured, out of 'pose' and 'joints'.  joint_names: of those, in order.
    share: how much of the admitted way the last advance went, less than 1 where the output has
    limits of its own, and note: why, in words.  is_held: whether that was next to nothing, and not
    for want of speed; the plan goes on without it.  fault: why the arm has to stop until someone
    has looked, lost: why it has to be slowed down; rest() forgets both.  box: low and high [3] m,
    in which the end effector has to stay, and speeds: the groups of its CommandLimits, both set
    before each command.  All calls of one motion are
    begin, then toward, advance and watch in turns, then maybe brake, then rest.  Its state is
    replaced, never changed in place, so that copy.copy makes an independent drive.
    """

    needs: frozenset[str] = frozenset()
    joint_names: tuple[str, ...] = ()
    share: float = 1.0
    note: str = ''
    fault: str | None = None
    lost: str | None = None
    is_held: bool = False
    box: tuple[np.ndarray, np.ndarray] | None = None
    speeds: tuple = ()

    def use(self, settings) -> None:
        """Take changed JointSettings, at any time."""

    def begin(self, measured: Measured | None) -> None:
        """Start from where the arm is; raise ObservationError where what it needs is missing."""

    def toward(self, said: Command, now_ns: int, period_ns: int) -> Command:
        """
        Return the velocity that reaches said.position from the reference within a period.

        That is `said` itself where it tells no position, or the output takes none.
        """
        return said

    def advance(self, admitted: Command, now_ns: int, period_ns: int) -> Command:
        """Return what to send: the admitted velocity, and the position that it leads to."""
        return replace(admitted, position=None)

    def watch(self, measured: Measured | None, now_ns: int) -> None:
        """Set fault where the measured arm does not go where it was told to."""

    def brake(self, now_ns: int, period_ns: int) -> Command | None:
        """Return what slows down the rest, once the gate lets the end effector stand; or None."""
        return None

    def reference(self, now_ns: int) -> Measured | None:
        """Return where the arm has been told to be by now; None where no position is told."""
        return None

    def hand_at(self, joints: np.ndarray) -> Pose | None:
        """Return where joints [n] have the end effector; None where no URDF tells."""
        return None

    def rest(self) -> None:
        """Take the arm to stand; motion begins again with `begin`."""


class TwistDrive(Drive):
    """For `delta_twist_cmds`: a twist in the action space's frame goes out as it was admitted."""


class PoseDrive(Drive):
    """
    For `target_pose`: the reference is a pose of the end effector in base_frame.

    frame: 'base' or 'end_effector', in which velocities are expressed.
    """

    needs = frozenset({'pose'})

    def __init__(self, frame: str = 'base'):
        """Stand."""
        self._frame = frame
        self.rest()

    def begin(self, measured: Measured | None) -> None:
        """Start from the measured pose; raise ObservationError without one."""
        if measured is None or measured.pose is None:
            raise ObservationError('the pose of the end effector is not known, which the output '
                                   'pose begins from: is its TF published?')
        self._reference, self._velocity, self._since_ns = measured.pose, np.zeros(6), None

    def toward(self, said: Command, now_ns: int, period_ns: int) -> Command:
        """Return the twist that reaches said.position from the reference within a period."""
        if said.position is None:
            return said
        step = step_between(self._at(now_ns), pose_of(said.position), self._frame)
        return replace(said, velocity=step * (1e9 / period_ns))

    def advance(self, admitted: Command, now_ns: int, period_ns: int) -> Command:
        """Move the reference to now, and return the pose one period ahead of it."""
        self._reference = self._at(now_ns)
        self._velocity, self._since_ns, self._period_ns = admitted.velocity, now_ns, period_ns
        return replace(admitted, position=position_of(self._at(now_ns + period_ns)))

    def reference(self, now_ns: int) -> Measured | None:
        """Return the reference at a time; None before motion begins."""
        return None if self._reference is None else Measured(self._at(now_ns))

    def rest(self) -> None:
        """Forget the reference."""
        self._reference, self._velocity, self._since_ns, self._period_ns = None, None, None, 1

    def _at(self, now_ns: int) -> Pose:
        """Return the reference at a time, moved at most a period since the last command."""
        if self._since_ns is None:
            return self._reference
        passed_s = min(max(now_ns - self._since_ns, 0), self._period_ns) * 1e-9
        return moved(self._reference, self._velocity * passed_s, self._frame)
