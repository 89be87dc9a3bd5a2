# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What is unsafe of what a commander sends: by velocities, and by positions where they are sent.

Where joints move a hand, the hand's limits are its speed and its box; how its speed changes
follows from the joints, whose own limits hold for that.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .commander_draws import Rig
from .lengths import Group, groups_of
from .tally import MEASURES
from .told import NOISE, Poses
from ...control.command import Command, Measured

SLACK, SILENT_S, SILENT_PERIODS = 1e-6, 0.1, 2.5
ARC = 0.01  # of a speed: a hand moves on arcs within a period, and is asked for straight lines
STOPS = {'stop', 'rest'}


class CommandJudge:
    """
    Looks at one command after the other.

    limits: of what actions are about, those in force.  shares: what was told, as shares of the
    limits, by tally.MEASURES.
    """

    def __init__(self, rig: Rig):
        """Know what is sent, to which arm."""
        self._rig, self._told, self._arm = rig, rig.told, rig.arm
        self.limits, self._period_s = rig.what.limits, rig.what.period_ns * 1e-9
        self._before = np.zeros(rig.chain.size if rig.chain else rig.what.wanted.shape[1])
        self._before_ns, self._is_stopped = None, False
        self.shares = {name: [] for name in MEASURES}

    def unsafe(self, names: set[str], sent: Command | None, now_ns: int,
               measured: Measured | None) -> Iterator[str]:
        """Yield what is unsafe about what was sent; names: of what happened before it."""
        if names & {'stop', 'resume'}:  # of both in one tick stop is the later
            self._is_stopped = 'stop' in names
        dt_s = self._dt_s(names, now_ns)
        if sent is None:
            yield from self._stop(names, dt_s)
            self._note(None, now_ns)
            return
        problems = list(self._values(sent))
        yield from problems
        if problems:
            self._note(None, now_ns)
            return
        if self._told is not None:
            yield from self._told.hear(sent, now_ns, measured)
        velocity = sent.velocity if self._told is None else self._told.velocity
        yield from self._moves(names, velocity, dt_s, now_ns, measured)
        self._note(velocity, now_ns)

    def _note(self, velocity: np.ndarray | None, now_ns: int) -> None:
        """Remember with which velocity the arm goes on."""
        if velocity is None and self._told is not None:
            self._told.rest()
        self._before = np.zeros_like(self._before) if velocity is None else velocity
        self._before_ns = None if velocity is None else now_ns

    def _dt_s(self, names: set[str], now_ns: int) -> float:
        """Return the time in which the velocity may have changed."""
        passed_s = None if self._before_ns is None else (now_ns - self._before_ns) * 1e-9
        silent_s = max(SILENT_S, SILENT_PERIODS * self._period_s)
        if names & STOPS and self._told is not None:
            self._told.rest()
        if passed_s is None or not 0 <= passed_s <= silent_s or names & STOPS:
            self._before = np.zeros_like(self._before)
            return self._period_s
        return min(passed_s, self._period_s)

    def _values(self, sent: Command) -> Iterator[str]:
        if self._rig.control.gate.fault:
            yield 'a command in spite of a fault'
        if self._is_stopped:
            yield 'a command after stop, before resume'
        if sent.velocity.shape != self._before.shape or not np.isfinite(sent.velocity).all():
            yield f'the velocity is {sent.velocity}'
        if sent.gripper is not None and not 0.0 <= sent.gripper <= 1.0:
            yield f'the gripper is told {sent.gripper}'
        if (sent.position is None) != (self._told is None):
            yield f'the position is {sent.position}'
        elif self._told is not None:
            yield from self._told.path.nonsense(sent.position)

    @property
    def _groups(self) -> tuple[Group, ...]:
        """Return what limits hold for velocities as they are sent."""
        return groups_of(self._rig.drive.limits if self._rig.chain else self.limits)

    def _moves(self, names, velocity, dt_s: float, now_ns: int, measured) -> Iterator[str]:
        """Yield what is unsafe about a velocity, and about the place that it leads to."""
        for group in self._groups:
            yield from self._speed(group, velocity)
            if not self._is_at_wall(group):
                yield from self._change(group, velocity, dt_s)
            if group.is_bounded and self._told is not None:
                yield from self._told_out(group, self._told.start, self._told.end)
            if group.is_bounded and not self._rig.chain:
                yield from self._leads_out(group, velocity, measured, now_ns)
        if self._rig.chain:
            yield from self._hand()

    def _is_at_wall(self, joints: Group) -> bool:
        """
        Return whether the hand could not be braked before a wall of its box.

        There the place goes before the acceleration of the joints (docs/safety.md).
        """
        box = next((group for group in groups_of(self.limits) if group.is_bounded), None)
        if not self._rig.chain or box is None:
            return False
        start, end = (self._rig.chain.hand(joints)[:3]
                      for joints in (self._told.start, self._told.end))
        stop_s = self._period_s + joints.acceleration(self._before)
        reach = np.linalg.norm(end - start) / self._period_s * stop_s
        return any(box.is_out(start + reach * way) for way in (*np.eye(3), *-np.eye(3)))

    def _hand(self) -> Iterator[str]:
        """Yield what is unsafe about where the hand is told to be."""
        start, end = (self._rig.chain.hand(joints)
                      for joints in (self._told.start, self._told.end))
        twist = Poses(self._rig.space.frame).step(start, end) / self._period_s
        for group in groups_of(self.limits):
            if group.name == 'linear' or not self._rig.turns_as_it_comes:
                yield from self._speed(group, twist, ARC)
            if group.is_bounded:
                yield from self._told_out(group, start[:3], end[:3])

    def _stop(self, names: set[str], dt_s: float) -> Iterator[str]:
        if self._rig.control.gate.fault is not None or names & STOPS:
            return
        for group in self._groups:
            stop_s = group.acceleration(self._before)
            if group.is_bounded and not self._rig.chain and group.is_out(self._arm.place):
                continue  # the bounds go before the acceleration
            if stop_s > dt_s * (1 + SLACK) + SLACK * self._period_s:
                yield f'{group.name}: stopped at once without a fault, {stop_s:.3g} s early'

    def _speed(self, group: Group, velocity, slack: float = SLACK) -> Iterator[str]:
        speed = group.speed(velocity)
        self.shares['speed'].append(speed)
        if speed > 1 + slack + group.speed(self._noise(velocity)):
            yield f'{group.name}: {speed:.6g} times the speed limit'

    def _change(self, group: Group, velocity: np.ndarray, dt_s: float) -> Iterator[str]:
        before = group.speed(self._before)
        noise_s = group.rounding_s + 2 * group.acceleration(self._noise(velocity))
        if group.is_bounded or before > 1 + SLACK:
            change_s = group.gain_s(self._before, velocity)
        else:
            change_s = group.acceleration(velocity - self._before)
            if dt_s > 0 and group.has_acceleration:
                self.shares['acceleration'].append(change_s / dt_s)
        if before <= 1 + SLACK and change_s > dt_s * (1 + SLACK) + noise_s:
            yield f'{group.name}: a change that takes {change_s:.6g} s, in {dt_s:.6g} s'

    def _noise(self, velocity: np.ndarray) -> np.ndarray:
        """Return what a velocity may be off by rounding, where it is a difference of places."""
        return np.full(len(velocity), 0.0 if self._told is None else NOISE / self._period_s)

    def _told_out(self, group: Group, start: np.ndarray, end: np.ndarray) -> Iterator[str]:
        """Yield where the arm is told to be further out of the bounds than it was told before."""
        low, high = group.bounds
        was, is_out = (np.maximum(np.maximum(low - place, place - high), 0.0)
                       for place in (start[:len(low)], end[:len(low)]))
        if (is_out > was + SLACK).any():
            yield f'{group.name}: told to be {(is_out - was).max():.3g} out of the bounds'

    def _leads_out(self, group: Group, velocity, measured, now_ns: int) -> Iterator[str]:
        """Yield what leads out, where the arm was seen just now."""
        what = self._rig.what
        if measured is None or (measured.pose and measured.pose.stamp_ns != now_ns):
            return
        low, high = group.bounds
        velocity = group.of(velocity)
        if what.is_cartesian and what.frame == 'end_effector':
            velocity = self._arm.turn @ velocity
        room = np.where(velocity > 0, high - self._arm.place, self._arm.place - low)
        out = np.abs(velocity) * self._period_s - np.maximum(room, 0.0)
        if (out > SLACK).any() and velocity.any():
            yield f'{group.name}: leads {out.max():.3g} out of the bounds'
