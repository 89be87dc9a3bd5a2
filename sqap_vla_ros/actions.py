# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From a chunk of actions to one safe command: units, playing by time, and the safety gate.

Everything here is pure: no ROS, no clock of its own. Times are integer nanoseconds, because a
float of seconds since 1970 no longer tells two control periods' boundaries apart exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np

from .errors import ConfigError

TWIST_NAMES = ('vx', 'vy', 'vz', 'wx', 'wy', 'wz')
DELTA_NAMES = ('dx', 'dy', 'dz', 'rx', 'ry', 'rz')
NAMES_BY_KIND = {'twist': TWIST_NAMES, 'delta': DELTA_NAMES}
FRAMES = ('base', 'end_effector')


@dataclass(frozen=True)
class Command:
    """
    One command to the arm.

    twist: float64 [6], linear m/s then angular rad/s, in the action space's frame.
    gripper: 0 closed .. 1 open, or None to leave the gripper as it is.
    """

    twist: np.ndarray
    gripper: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether no number in it is NaN or infinite."""
        gripper = 0.0 if self.gripper is None else self.gripper
        return bool(np.isfinite(self.twist).all() and np.isfinite(gripper))


STOP = Command(np.zeros(6))


@dataclass(frozen=True)
class ActionSpace:
    """
    What the columns of an action mean.

    kind: 'twist' (m/s, rad/s) or 'delta' (m and rad, as a rotation vector, for each step).
    names: one a column; NAMES_BY_KIND[kind] in any order, and 'gripper' if there is one.
    dt: seconds between two rows.  frame: 'base' or 'end_effector', in which they are expressed.
    execute_steps: rows to play before the next image is asked about.
    gripper_open, gripper_closed: the checkpoint's values for an open and a closed gripper.
    Raises ConfigError.
    """

    kind: str = 'twist'
    names: tuple[str, ...] = TWIST_NAMES + ('gripper',)
    dt: float = 0.05
    frame: str = 'base'
    execute_steps: int = 4
    gripper_open: float = 1.0
    gripper_closed: float = 0.0

    def __post_init__(self):
        """Raise ConfigError for anything that could not be turned into a twist."""
        if self.kind not in NAMES_BY_KIND:
            raise ConfigError(f'action space: kind is {self.kind!r}, expected one of '
                              f'{sorted(NAMES_BY_KIND)}')
        missing = [name for name in NAMES_BY_KIND[self.kind] if name not in self.names]
        unknown = set(self.names) - set(NAMES_BY_KIND[self.kind]) - {'gripper'}
        if missing or unknown or len(set(self.names)) != len(self.names):
            raise ConfigError(
                f'action space {self.kind!r}: names are {list(self.names)}, expected each of '
                f'{list(NAMES_BY_KIND[self.kind])} once, and gripper if there is one')
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise ConfigError(f'action space: dt is {self.dt}, expected seconds > 0')
        if self.frame not in FRAMES:
            raise ConfigError(f'action space: frame is {self.frame!r}, expected one of {FRAMES}')
        if self.execute_steps < 1:
            raise ConfigError(
                f'action space: execute_steps is {self.execute_steps}, expected at least 1')
        if self.gripper_open == self.gripper_closed:
            raise ConfigError('action space: gripper_open and gripper_closed are both '
                              f'{self.gripper_open}')

    @classmethod
    def from_config(cls, config) -> ActionSpace:
        """Build it from a checkpoint's `action_space` mapping; unknown keys raise ConfigError."""
        unknown = set(config) - set(cls.__dataclass_fields__)
        missing = {'kind', 'names', 'dt'} - set(config)
        if unknown or missing:
            raise ConfigError(f'action space: missing keys {sorted(missing)}, '
                              f'unknown keys {sorted(unknown)}')
        return cls(**{**config, 'names': tuple(config['names'])})

    def commands(self, actions: np.ndarray) -> tuple[Command, ...]:
        """
        Convert actions [T, A] in the checkpoint's units to T commands in SI units.

        Raises ConfigError when A is not the number of names. Non-finite values pass through:
        the SafetyGate is what stops on them.
        """
        actions = np.asarray(actions, dtype=np.float64)
        if actions.ndim != 2 or actions.shape[1] != len(self.names):
            raise ConfigError(f'actions have shape {actions.shape}, expected '
                              f'[T, {len(self.names)}] for {list(self.names)}')
        columns = [self.names.index(name) for name in NAMES_BY_KIND[self.kind]]
        twists = actions[:, columns] / (self.dt if self.kind == 'delta' else 1.0)
        if 'gripper' not in self.names:
            return tuple(Command(twist) for twist in twists)
        span = self.gripper_open - self.gripper_closed
        opening = (actions[:, self.names.index('gripper')] - self.gripper_closed) / span
        return tuple(Command(twist, float(g)) for twist, g in zip(twists, opening))


class ChunkPlayer:
    """
    Say which row of the newest chunk belongs to a moment.

    Row i is meant for stamp + i * dt. In lockstep a tick plays the row that stands exactly on
    it, and only the first `execute_steps` rows. In real time the row in force is played, to the
    chunk's end, so that latency skips rows instead of delaying them; past the end there is none.
    """

    def __init__(self, execute_steps: int, lockstep: bool):
        """Raise ConfigError when execute_steps is below one."""
        if execute_steps < 1:
            raise ConfigError(f'execute_steps is {execute_steps}, expected at least 1')
        self.execute_steps = execute_steps
        self.lockstep = lockstep
        self.clear()

    def clear(self):
        """Forget the chunk: there is nothing to play until the next load."""
        self._commands = ()
        self.stamp_ns = None
        self._dt_ns = 1

    def load(self, commands, stamp_ns: int, dt: float):
        """Play these from now on; a chunk older than the one in play is ignored."""
        if self.stamp_ns is None or stamp_ns >= self.stamp_ns:
            self._commands = tuple(commands)
            self.stamp_ns = stamp_ns
            self._dt_ns = round(dt * 1e9)

    @property
    def duration_ns(self) -> int:
        """Return the length of the chunk, all of its rows."""
        return len(self._commands) * self._dt_ns

    def row_at(self, time_ns: int) -> int | None:
        """Return the row for this time, None where the chunk says nothing about it."""
        if self.stamp_ns is None:
            return None
        age = time_ns - self.stamp_ns
        if self.lockstep:
            row = round(age / self._dt_ns)
            on_tick = abs(age - row * self._dt_ns) * 4 <= self._dt_ns
            return row if on_tick and 0 <= row < self._playable() else None
        row = age // self._dt_ns
        if row == -1:  # a camera clock ahead by less than a period
            row = 0
        return row if 0 <= row < len(self._commands) else None

    def command_at(self, time_ns: int) -> Command | None:
        """Return the command for this time, None where the arm must stop."""
        row = self.row_at(time_ns)
        return None if row is None else self._commands[row]

    def wants_image(self, stamp_ns: int, newest_asked_ns: int | None, dt: float) -> bool:
        """
        Return whether the image stamped so is to be inferred on.

        newest_asked_ns: stamp of the newest image that inference was started on. The next one
        is due when execute_steps rows after it have passed; the same image is never due twice.
        """
        if newest_asked_ns is None:
            return True
        due_ns = newest_asked_ns + round(self.execute_steps * dt * 1e9)
        tolerance_ns = round(dt * 1e9) // 4
        return stamp_ns >= due_ns - tolerance_ns

    def _playable(self) -> int:
        return min(self.execute_steps, len(self._commands))


@dataclass(frozen=True)
class CommandLimits:
    """
    What the gate lets through.

    linear: m/s and angular: rad/s, the greatest length of each half of a twist.
    reject_factor: a command beyond this many times a limit is a fault, not a big step.
    Raises ConfigError.
    """

    linear: float
    angular: float
    reject_factor: float = 5.0

    def __post_init__(self):
        """Raise ConfigError unless limits are positive and reject_factor is at least one."""
        for name in ('linear', 'angular'):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f'{name} speed limit is {getattr(self, name)}, expected > 0')
        if not (np.isfinite(self.reject_factor) and self.reject_factor >= 1):
            raise ConfigError(f'reject_factor is {self.reject_factor}, expected >= 1')


class SafetyGate:
    """
    The last check before a command leaves: finite, within limits, and no fault pending.

    Over a limit: the linear or angular half is scaled down to it, keeping its direction, and
    counted. Non-finite, or over reject_factor times a limit: latched fault; nothing passes
    until `resume`, because a policy that says such things can't be trusted with the next step.
    """

    def __init__(self, limits: CommandLimits):
        """Start without a fault."""
        self.limits = limits
        self.fault = None
        self.clamped = 0

    def latch(self, reason: str):
        """Stop until resume; the first reason is kept, later ones are its consequences."""
        if self.fault is None:
            self.fault = reason

    def resume(self) -> str | None:
        """Clear the fault and return what it was."""
        fault, self.fault = self.fault, None
        return fault

    def admit_chunk(self, commands) -> bool:
        """Check every row before the first is played; latch and return False on a bad one."""
        for row, command in enumerate(commands):
            reason = self._reason_to_reject(command)
            if reason:
                self.latch(f'row {row} of the action chunk {reason}')
                return False
        return self.fault is None

    def admit(self, command: Command) -> Command | None:
        """Return the command, scaled into the limits, or None when the arm must stop."""
        reason = self._reason_to_reject(command)
        if reason:
            self.latch(f'the command {reason}')
        if self.fault is not None:
            return None
        linear = _shortened(command.twist[:3], self.limits.linear)
        angular = _shortened(command.twist[3:], self.limits.angular)
        twist = np.concatenate([linear, angular])
        self.clamped += int(not np.array_equal(twist, command.twist))
        gripper = command.gripper
        return replace(command, twist=twist,
                       gripper=None if gripper is None else min(max(gripper, 0.0), 1.0))

    def _reason_to_reject(self, command: Command) -> str | None:
        if not command.is_finite:
            return f'is not finite: twist {command.twist}, gripper {command.gripper}'
        for name, part, unit in (('linear', command.twist[:3], 'm/s'),
                                 ('angular', command.twist[3:], 'rad/s')):
            limit = getattr(self.limits, name) * self.limits.reject_factor
            length = math.hypot(*part)
            if length > limit:
                return (f'has a {name} speed of {length:.3g} {unit}, more than '
                        f'{self.limits.reject_factor:g} times the limit of '
                        f'{getattr(self.limits, name):g} {unit}')
        return None


def _shortened(vector: np.ndarray, limit: float) -> np.ndarray:
    length = math.hypot(*vector)
    return vector if length <= limit else vector * (limit / length)
