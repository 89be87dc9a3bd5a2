# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which row of a chunk is played when.

Times are integer nanoseconds, because a float of seconds since 1970 no longer tells two control
periods' boundaries apart exactly.
"""

from __future__ import annotations

from .command import Command
from ..errors import ConfigError


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
