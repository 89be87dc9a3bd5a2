# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The last check before a command leaves: finite, within limits, no fault pending.

In this order: a fault that is latched lets nothing pass; nonsense (not finite, absurdly fast, a
first target far from the arm) latches one; a speed beyond its limit is shortened, and too many of
those latch a fault; what leads out of the workspace or of the joints' range is cut; acceleration
and jerk are limited. Where two contradict each other the former wins: nothing is ever too fast
or leads out, and the arm is then slowed down harder than its acceleration limit says.

What the gate knows of the arm's motion is what it let pass. So it must be told when the arm was
stopped otherwise (`rest`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .bounds import bounds_of
from .command import Command, Measured
from .first_action import checks_first, holds_all, is_known, why_far
from .limits import CommandLimits, COUNTED, JointLimits
from .shaping import ROUNDING, scaled, Shaper
from ..errors import ConfigError

DEFAULT_PERIOD_NS = 50_000_000
# A receiver that hears nothing for so long stands (MoveIt Servo's incoming_command_timeout), so
# what comes then begins at rest.
SILENCE_NS, SILENT_PERIODS = 100_000_000, 2.5


class SafetyGate:
    """
    Lets commands pass within CommandLimits (twists) or JointLimits (joint velocities).

    fault: why nothing passes until `resume`, None while there is no reason.  hold: why the arm
    is slowed down though there is no fault, such as an unknown pose; None while it is not.
    trips: how many faults there were.  clamped: how many commands were shortened, because they
    were beyond a speed limit or led out of the bounds.
    """

    def __init__(self, limits: CommandLimits | JointLimits, frame: str = 'base'):
        """Stand, without a fault; frame: of twists, 'base' or 'end_effector'."""
        self._frame, self._shapers = frame, ()
        self.fault = self.hold = None
        self.trips = 0
        self.clamped, self._speed_scale = 0, 1.0
        self._shortened_ns = deque()
        self.limits = limits
        self.rest()

    @property
    def limits(self) -> CommandLimits | JointLimits:
        """Return the limits; they may be set at any time, to others of the same size."""
        return self._limits

    @limits.setter
    def limits(self, limits: CommandLimits | JointLimits) -> None:
        if self._shapers and limits == self._limits:
            return
        moving = [shaper.velocity for _, shaper in self._shapers]
        self._limits, self._bounds = limits, bounds_of(limits, self._frame)
        self._shapers = tuple((part, Shaper(dynamics)) for part, dynamics in limits.groups)
        for velocity, (_, shaper) in zip(moving, self._shapers):
            shaper.force(velocity)

    @property
    def speed_scale(self) -> float:
        """
        Return the share 0..1 of the speed limits that is allowed: to run slowly without a fault.

        A lower one is reached within the acceleration limits, and what it shortens is not
        counted.  Raises ConfigError when it is set to something else.
        """
        return self._speed_scale

    @speed_scale.setter
    def speed_scale(self, scale: float) -> None:
        if not 0.0 <= scale <= 1.0:
            raise ConfigError(f'speed_scale is {scale}, expected 0 to 1')
        self._speed_scale = float(scale)

    @property
    def stands(self) -> bool:
        """Whether the last command that passed was zero."""
        return not any(any(shaper.velocity) for _, shaper in self._shapers)

    def latch(self, reason: str) -> None:
        """Stop until resume; the first reason is kept, later ones are its consequences."""
        if self.fault is None:
            self.fault = reason
            self.trips += 1
        self.rest()

    def resume(self) -> str | None:
        """Clear the fault and return what it was."""
        fault, self.fault = self.fault, None
        self._shortened_ns.clear()
        return fault

    def rest(self) -> None:
        """Take the arm to stand: it was told zero at once, or not told anything for long."""
        for _, shaper in self._shapers:
            shaper.rest()
        self._last_ns = None

    def go_on_from(self, velocity: np.ndarray) -> None:
        """Take the arm to move so, which something behind the gate has made of its command."""
        for part, shaper in self._shapers:
            shaper.force(velocity[part].tolist())

    def shortened(self, now_ns: int) -> bool:
        """Count a command that was made slower on the way here; return whether that latches."""
        return self._trips(now_ns)

    def admit_chunk(self, commands: Sequence[Command], measured: Measured | None = None,
                    is_absolute: bool = False) -> bool:
        """
        Check every row before the first is played; latch and return False on a bad one.

        measured: where the arm was at the image's stamp; the first row of an absolute action has
        to be near it.  is_absolute: rows are targets, so that the first one's velocity is only how
        far away that is, and never absurd within first_action_distance and first_action_angle.
        """
        for row, command in enumerate(commands):
            reason = self._nonsense(command)
            if reason is None and not (is_absolute and row == 0 and holds_all(self._limits)):
                reason = self._limits.absurd(command.velocity.tolist())
            if reason is None and row == 0:
                reason = self._why_far(command, measured)
            if reason:
                self.latch(f'row {row} of the action chunk {reason}')
                return False
        return self.fault is None

    def admit(self, command: Command, now_ns: int = 0, period_ns: int = DEFAULT_PERIOD_NS,
              measured: Measured | None = None,
              reference: Measured | None = None) -> Command | None:
        """
        Return the command to send, without position; None where the arm must stop at once.

        now_ns: when it is sent.  period_ns: until the next one.  measured: where the arm is.
        reference: where a positional output has told it to be by now; the bounds hold for both.
        A velocity that leads to command.position is never called absurd: how far away that is
        follows from the limits, too.
        """
        dt_s = self._passed_s(now_ns, period_ns)
        reason = self._nonsense(command)
        if reason is None and command.position is None:
            reason = self._limits.absurd(command.velocity.tolist())
        if reason is None and self.stands:
            reason = self._why_far(command, measured)
        if reason:
            self.latch(f'the command {reason}')
        if self.fault is not None:
            self.rest()
            return None
        self.hold = self._look(measured, reference, now_ns) if self._bounds else None
        if self.hold is not None:
            return self._braked(dt_s, period_ns * 1e-9)
        return self._passed(command, now_ns, dt_s, period_ns * 1e-9)

    def brake(self, now_ns: int, period_ns: int = DEFAULT_PERIOD_NS,
              measured: Measured | None = None,
              reference: Measured | None = None) -> Command | None:
        """
        Return the command that slows down along the line of travel, None once the arm stands.

        As fast as the acceleration limits allow; the jerk limits do not hold.
        """
        dt_s = self._passed_s(now_ns, period_ns)
        if self.fault is not None or self.stands:
            self.rest()
            return None
        self.hold = self._look(measured, reference, now_ns) if self._bounds else None
        return self._braked(dt_s, period_ns * 1e-9)

    def _braked(self, dt_s: float, period_s: float) -> Command | None:
        for part, shaper in self._shapers:
            shaper.brake(dt_s)
            self._keep_in(part, shaper, period_s)
        if self.stands:
            self.rest()
            return None
        return Command(self._velocity())

    def _passed(self, command: Command, now_ns: int, dt_s: float,
                period_s: float) -> Command | None:
        """Return what is left of a command that makes sense."""
        velocity, is_cut = command.velocity.tolist(), False
        for part, shaper in self._shapers:
            is_cut |= self._shape(part, shaper, velocity[part], dt_s, period_s)
        if is_cut and self._trips(now_ns):
            return None
        gripper = command.gripper
        return replace(command, velocity=self._velocity(), position=None,
                       gripper=None if gripper is None else min(max(gripper, 0.0), 1.0))

    def _shape(self, part, shaper: Shaper, asked, dt_s: float, period_s: float) -> bool:
        """Move one group towards what was asked; return whether that was shortened."""
        before, speed = shaper.velocity, shaper.dynamics.speed(asked)
        is_fast = speed > 1.0 + COUNTED
        wanted = scaled(asked, self.speed_scale / speed) if speed > self.speed_scale else asked
        if not self._bounds or part != self._bounds.part:
            shaper.toward(wanted, dt_s)
            return is_fast
        kept = self._eased(wanted, shaper, period_s)
        shaper.toward(kept, dt_s)
        eased = self._eased(shaper.velocity, shaper, period_s)
        if eased is not shaper.velocity:
            self._turn_aside(shaper, before, eased, dt_s)
            self._keep_in(part, shaper, period_s)
        return is_fast or kept is not wanted

    def _eased(self, velocity, shaper: Shaper, period_s: float) -> list[float]:
        """Return what of a velocity can still be braked before the bounds."""
        return self._bounds.cut(velocity, period_s + 0.5 * shaper.stop_time_s(velocity))

    def _turn_aside(self, shaper: Shaper, before, eased, dt_s: float) -> None:
        """Take a velocity that has room; brake where the acceleration limit forbids it."""
        change = [x - y for x, y in zip(eased, before)]
        if shaper.stop_time_s(change) <= dt_s * (1.0 + ROUNDING):
            shaper.force(eased)
        else:
            shaper.force(before)
            shaper.brake(dt_s)

    def _keep_in(self, part, shaper: Shaper, period_s: float) -> None:
        """Cut, at any acceleration, what would lead out of the bounds within a period."""
        if self._bounds and part == self._bounds.part and self.hold is None:
            kept = self._bounds.cut(shaper.velocity, period_s)
            if kept is not shaper.velocity:
                shaper.force(kept)

    def _look(self, measured, reference, now_ns) -> str | None:
        """Tell the bounds where the arm is; return why that is not known."""
        velocity = next(shaper.velocity for part, shaper in self._shapers
                        if part == self._bounds.part)
        return self._bounds.look(measured, reference, velocity, now_ns)

    def _velocity(self) -> np.ndarray:
        return np.array([v for _, shaper in self._shapers for v in shaper.velocity])

    def _passed_s(self, now_ns: int, period_ns: int) -> float:
        """Return the time in which the velocity may change, a period at most, and note now."""
        last_ns, self._last_ns = self._last_ns, now_ns
        if last_ns is None:
            return period_ns * 1e-9
        passed_ns = now_ns - last_ns
        if not 0 <= passed_ns <= max(SILENCE_NS, SILENT_PERIODS * period_ns):
            self.rest()
            self._last_ns, passed_ns = now_ns, period_ns
        return min(passed_ns, period_ns) * 1e-9

    def _trips(self, now_ns: int) -> bool:
        """Count a shortened command; latch and return True if there were too many."""
        self.clamped += 1
        count, window_s = self._limits.trip_count, self._limits.trip_window_s
        times = self._shortened_ns
        times.append(now_ns)
        while times[0] < now_ns - window_s * 1e9 or times[0] > now_ns:
            times.popleft()
        if not 0 < count <= len(times):
            return False
        self.latch(f'{len(times)} commands within {window_s:g} s were shortened, because they '
                   'were beyond a speed limit or led out of the bounds: raise the limit if that '
                   'is safe, or look for a wrong scale or dt (trip_shortened, trip_window)')
        return True

    def _nonsense(self, command: Command) -> str | None:
        """Return why a command is none, None if it is one."""
        if not command.is_finite:
            return (f'is not finite: velocity {command.velocity}, gripper {command.gripper}, '
                    f'position {command.position}')
        if len(command.velocity) != self._limits.size:
            return f'has {len(command.velocity)} velocities, expected {self._limits.size}'
        return None

    def _why_far(self, command: Command, measured: Measured | None) -> str | None:
        """Return why a first target is too far away, or cannot be compared."""
        if command.position is None or not checks_first(self._limits):
            return None
        if not is_known(self._limits, measured):
            return ('tells where the arm is to be, but where it is was not measured: are TF and '
                    'joint_states published?')
        return why_far(self._limits, command.position, measured)
