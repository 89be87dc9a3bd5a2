# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which part of a chunk is played when, so that what the policy said is what the arm does.

Times are integer nanoseconds: a float of seconds since 1970 no longer tells two control periods'
boundaries apart exactly.

A chunk tells the way from where its image shows the arm. It is known only later, and by then the
arm has gone part of that way, by the chunk before it. **What is skipped is what was executed**
since the image was taken, measured, and never a guess such as latency times rate: an arm that
stood still meanwhile begins with row 0.
"""

from __future__ import annotations

import numpy as np

from .command import Command
from .executed import Executed
from ..errors import ConfigError


class ChunkPlayer:
    """
    Plays the newest chunk by time; says which image to ask about next.

    execute_steps: rows to execute before the next image is asked about. A chunk that has no more
    rows than that is executed whole, for its duration from when it is known, and the next image is
    one taken after that; with `pipelined` one taken when its execution began.
    lockstep: time stands still between an image and its chunk, and only the first execute_steps
    rows are played.
    """

    def __init__(self, execute_steps: int, lockstep: bool = False, pipelined: bool = False):
        """Raise ConfigError when execute_steps is below one."""
        if execute_steps < 1:
            raise ConfigError(f'execute_steps is {execute_steps}, expected at least 1')
        self.execute_steps, self.lockstep, self.pipelined = execute_steps, lockstep, pipelined
        self.executed = Executed()
        self.chunk_rows = None  # of the newest chunk; None before the first
        self._dt_ns = 1
        self._began_ns = self._ends_ns = 0  # when the newest chunk's execution begins and ends
        self.forget()

    def forget(self, now_ns: int | None = None) -> None:
        """
        Drop the chunk and the question: nothing is played until another chunk is loaded.

        now_ns: chunks that answer images taken before this are refused; None for none.
        """
        self.executed.clear()
        self._rows, self._place_ns, self._slice = (), 0, None
        self.stamp_ns = None  # of the image that the chunk in play answers
        self.asked_ns = None  # stamp of the newest image that was asked about
        self.not_before_ns = now_ns

    @property
    def is_engaged(self) -> bool:
        """Whether a chunk is in play or an image has been asked about."""
        return self.stamp_ns is not None or self.asked_ns is not None

    @property
    def duration_ns(self) -> int:
        """Return how long the chunk takes from its first row to the end of its last."""
        return len(self._rows) * self._dt_ns

    def load(self, commands, stamp_ns: int, dt_ns: int, now_ns: int) -> bool:
        """
        Play these commands from now on, less what was executed since stamp_ns.

        Return False, and go on as before, for the answer to an image that was taken before the
        arm was stopped, or before the one that is answered already.
        """
        oldest = max(stamp for stamp in (self.not_before_ns, self.stamp_ns, stamp_ns)
                     if stamp is not None)
        if stamp_ns < oldest:
            return False
        commands = tuple(commands)
        if self.stamp_ns is None:
            self.executed.clear()  # what is told of the pace begins with motion
        self._settle(now_ns)
        self.chunk_rows = len(commands)
        if len(commands) > 1:
            place_ns = self.executed.between(stamp_ns, now_ns)
        elif self.lockstep:  # time stands still until the answer is there
            place_ns = 0
        else:  # whole, behind what is left of the last one
            commands, place_ns = (*self._rest(), *commands), self._place_in_row()
        self._rows, self._dt_ns = commands, dt_ns
        self._place_ns = min(place_ns, self._end_ns())
        self._ends_ns = now_ns + self._end_ns() - self._place_ns
        self._began_ns = max(now_ns, self._ends_ns - self.chunk_rows * dt_ns)
        self.stamp_ns, self._slice = stamp_ns, None
        return True

    def command(self, now_ns: int, period_ns: int = 1) -> Command | None:
        """
        Return the command for the time from now on; None where the chunk has nothing more to say.

        period_ns: how long the robot will hold it. Twists are averaged over the rows that fall
        into that time (what lies behind the last row counts as standing still), so that the way
        is right at any rate; the gripper is that of the row now.
        """
        if self.stamp_ns is None:
            return None
        self._settle(now_ns)
        last_ns = min(self._place_ns + period_ns, self._end_ns())
        if last_ns <= self._place_ns:
            self.executed.at_rate(now_ns, 0, 1)
            self._slice = None
            return None
        self.executed.at_rate(now_ns, last_ns - self._place_ns, period_ns)
        self._slice = (now_ns, self._place_ns)
        self._ends_ns = now_ns + max(period_ns, self._end_ns() - self._place_ns)
        return self._average(self._place_ns, last_ns, period_ns)

    def has_row(self, now_ns: int) -> bool:
        """Return whether there will be something to play at a time, if nothing changes."""
        return self.stamp_ns is not None and self._place_at(now_ns) < self._end_ns()

    def ask(self, stamp_ns: int) -> None:
        """Note that the image stamped so is being asked about."""
        self.asked_ns = stamp_ns

    def wants_image(self, stamp_ns: int) -> bool:
        """Return whether the image stamped so is to be asked about; none is wanted twice."""
        if self.not_before_ns is not None and stamp_ns < self.not_before_ns:
            return False
        if self.asked_ns is None:
            return True
        if self.lockstep:
            return not self.has_row(stamp_ns)
        is_known = self.asked_ns == self.stamp_ns
        if self.chunk_rows is None or self.is_whole:
            return is_known and stamp_ns >= self._due_ns()
        due_ns = self.asked_ns + self.execute_steps * self._dt_ns
        return stamp_ns > self.asked_ns and stamp_ns >= due_ns - self._dt_ns // 4

    @property
    def is_whole(self) -> bool:
        """Whether chunks are executed to their end before the next image is asked about."""
        return self.chunk_rows is not None and self.execute_steps >= self.chunk_rows

    def _due_ns(self) -> int:
        """Return when an image is to be taken, of chunks that are executed whole."""
        return self._began_ns if self.pipelined else self._ends_ns

    def _end_ns(self) -> int:
        """Return the length of what may be played."""
        rows = min(self.execute_steps, len(self._rows)) if self.lockstep else len(self._rows)
        return rows * self._dt_ns

    def _place_at(self, now_ns: int) -> int:
        """Return how far the chunk will have been played at a time."""
        if self._slice is None:
            return self._place_ns
        began_ns, place_ns = self._slice
        return place_ns + self.executed.gained(began_ns, now_ns)

    def _settle(self, now_ns: int) -> None:
        """Move on to now, by what the last command has done since it was given."""
        self._place_ns = min(self._place_at(now_ns), self._end_ns())
        self._slice = self._slice and (now_ns, self._place_ns)
        self.executed.until(now_ns)

    def _rest(self) -> tuple[Command, ...]:
        """Return the rows that have not been played to their end."""
        return self._rows[self._place_ns // self._dt_ns:]

    def _place_in_row(self) -> int:
        return self._place_ns % self._dt_ns if self._rest() else 0

    def _average(self, first_ns: int, last_ns: int, period_ns: int) -> Command:
        """Return the command that does what the rows do between two places of the chunk."""
        rows = range(first_ns // self._dt_ns, -(-last_ns // self._dt_ns))
        velocity = np.zeros(len(self._rows[rows[0]].velocity))
        for row in rows:
            covered_ns = (min((row + 1) * self._dt_ns, last_ns) - max(row * self._dt_ns, first_ns))
            velocity += self._rows[row].velocity * (covered_ns / period_ns)
        return Command(velocity, self._rows[rows[0]].gripper)
