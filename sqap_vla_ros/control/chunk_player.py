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

from copy import copy

from .command import Command
from .executed import Executed
from .plan import Plan
from .seams import Seams
from ..errors import ConfigError


class ChunkPlayer:
    """
    Plays the newest chunk by time; says which image to ask about next.

    execute_steps: rows to execute before the next image is asked about. A chunk that has no more
    rows than that is executed whole, for its duration from when it is known, and the next image is
    one taken after that; with `pipelined` one taken when its execution began.
    lockstep: time stands still between an image and its chunk, and only the first execute_steps
    rows are played.
    seams: how a chunk of many rows takes over from the one before; at once unless told.
    """

    def __init__(self, execute_steps: int, lockstep: bool = False, pipelined: bool = False,
                 seams: Seams | None = None):
        """Raise ConfigError when execute_steps is below one."""
        if execute_steps < 1:
            raise ConfigError(f'execute_steps is {execute_steps}, expected at least 1')
        self.execute_steps, self.lockstep, self.pipelined = execute_steps, lockstep, pipelined
        self.executed, self._seams = Executed(), seams or Seams()
        self.chunk_rows = None  # of the newest chunk; None before the first
        self._began_ns = self._ends_ns = 0  # when the newest chunk's execution begins and ends
        self.forget()

    def forget(self, now_ns: int | None = None) -> None:
        """
        Drop the chunk and the question: nothing is played until another chunk is loaded.

        now_ns: chunks that answer images taken before this are refused; None for none.
        """
        self.executed.clear()
        self._seams.forget()
        self.plan, self._place_ns, self._slice, self._newest_ns = Plan(), 0, None, 0
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
        return self.plan.duration_ns

    @property
    def is_dry(self) -> bool:
        """Whether there was a chunk and nothing is left of it."""
        return self.stamp_ns is not None and self._place_ns >= self._end_ns()

    def load(self, plan: Plan, stamp_ns: int, now_ns: int, behind_ns: int = 0) -> bool:
        """
        Play the plan of a chunk from now on, less what was executed since stamp_ns.

        behind_ns: the image shows the arm where it was told to be so long before: what was told
        in between counts as executed, too.

        Return False, and go on as before, for the answer to an image that was taken before the
        arm was stopped, or before the one that is answered already.
        """
        oldest = max(stamp for stamp in (self.not_before_ns, self.stamp_ns, stamp_ns)
                     if stamp is not None)
        if stamp_ns < oldest:
            return False
        if self.stamp_ns is None:
            self.executed.clear()  # what is told of the pace begins with motion
        self.settle(now_ns)
        self.chunk_rows, self._newest_ns = len(plan.rows), 0
        if self.chunk_rows > 1:
            place_ns = self.executed.between(stamp_ns - behind_ns, now_ns)
            if not self.lockstep:
                plan, place_ns = self._seams.join(self.plan, self._place_ns, plan, place_ns,
                                                  self.executed.total_ns)
        elif self.lockstep:  # time stands still until the answer is there
            place_ns = 0
        else:  # whole, behind what is left of the last one
            rest, place_ns = self.plan.rest(self._place_ns), self._place_in_row()
            plan, self._newest_ns = rest.then(plan), rest.duration_ns
        self.plan, self._place_ns = plan, min(place_ns, self._length_ns(plan))
        self.stamp_ns, self._slice = stamp_ns, None
        self._began_ns = self._ends_ns = now_ns
        self._foresee(now_ns, 1, 1)
        return True

    def command(self, now_ns: int, period_ns: int = 1, way_ns: int | None = None
                ) -> Command | None:
        """
        Return the command for the time from now on; None where the chunk has nothing more to say.

        period_ns: how long the robot will hold it. Velocities are averaged over the rows that
        fall into that time (what lies behind the last row counts as standing still), so that the
        way is right at any rate; the gripper is that of the row now.
        way_ns: how much of the plan to play in that time, all of it unless told.
        """
        if self.stamp_ns is None:
            return None
        self.settle(now_ns)
        left_ns = self._end_ns() - self._place_ns
        if left_ns <= 0:
            self._go(now_ns, 0, 1)
            self._slice = None
            return None
        way_ns = min(period_ns if way_ns is None else way_ns, left_ns)
        self._go(now_ns, way_ns, period_ns)
        return self.plan.between(self._place_ns, self._place_ns + way_ns, period_ns)

    def carried(self, now_ns: int, said: Command, share: float) -> None:
        """Note that of the way that a command said only this share is gone."""
        way_ns, period_ns = self._way
        place_ns = self.plan.reached(self._place_ns, way_ns, said.velocity * period_ns, share)
        self._go(now_ns, place_ns - self._place_ns, period_ns)

    def place_ns(self, now_ns: int) -> int | None:
        """Return how far the plan has been played by now; None where there is none."""
        self.settle(now_ns)
        return None if self.stamp_ns is None or self.is_dry else self._place_ns

    def twin(self) -> ChunkPlayer:
        """Return a player that goes on alike, and leaves this one as it is."""
        twin = copy(self)
        twin.executed, twin._seams = self.executed.twin(), copy(self._seams)
        return twin

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
        due_ns = self.asked_ns + self.execute_steps * self.plan.dt_ns
        return stamp_ns > self.asked_ns and stamp_ns >= due_ns - self.plan.dt_ns // 4

    @property
    def is_whole(self) -> bool:
        """Whether chunks are executed to their end before the next image is asked about."""
        return self.chunk_rows is not None and self.execute_steps >= self.chunk_rows

    def _due_ns(self) -> int:
        """Return when an image is to be taken, of chunks that are executed whole."""
        return self._began_ns if self.pipelined else self._ends_ns

    def _end_ns(self) -> int:
        """Return the length of what may be played."""
        return self._length_ns(self.plan)

    def _length_ns(self, plan: Plan) -> int:
        return min(self.execute_steps * plan.dt_ns, plan.duration_ns) if self.lockstep \
            else plan.duration_ns

    def _place_at(self, now_ns: int) -> int:
        """Return how far the chunk will have been played at a time."""
        if self._slice is None:
            return self._place_ns
        began_ns, place_ns = self._slice
        return place_ns + self.executed.gained(began_ns, now_ns)

    def settle(self, now_ns: int) -> None:
        """Move on to now, by what the last command has done since it was given."""
        self._place_ns = min(self._place_at(now_ns), self._end_ns())
        self._slice = self._slice and (now_ns, self._place_ns)
        self.executed.until(now_ns)

    def _go(self, now_ns: int, way_ns: int, period_ns: int) -> None:
        """Go way_ns of the plan in every period from now on."""
        self.executed.at_rate(now_ns, way_ns, period_ns)
        self._slice, self._way = (now_ns, self._place_ns), (way_ns, period_ns)
        self._foresee(now_ns, way_ns, period_ns)

    def _foresee(self, now_ns: int, way_ns: int, period_ns: int) -> None:
        """Say when the newest chunk begins and ends, if it goes on like this."""
        def reached_ns(place_ns):
            left_ns = (place_ns - self._place_ns) * period_ns // max(way_ns, 1)
            return now_ns + max(left_ns, period_ns)
        if self._place_ns < self._newest_ns:
            self._began_ns = reached_ns(self._newest_ns)
        if self._place_ns < self._end_ns():
            self._ends_ns = reached_ns(self._end_ns())

    def _place_in_row(self) -> int:
        """Return how far the row in play has been played."""
        if self._place_ns >= self._end_ns():
            return 0
        return self._place_ns - self.plan.begin_ns(self.plan.index(self._place_ns))
