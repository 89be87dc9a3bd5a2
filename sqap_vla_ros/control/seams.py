# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From one chunk to the next without a jump.

Two chunks about the same time never say quite the same. `linear` fades from the rest of the old
one to the new one. `ensemble` goes on with the weighted mean of all chunks that still say
something, as ACT does (Zhao et al. 2023, temporal ensembling), where each fades in when it comes
and out before it ends. What is mixed is the rest of each plan, less what was executed:
velocities, or positions where rows have them, and the velocities that lead from one to the next.

A gripper that is either open or closed is a vote: closed or open by the greater weight. One with
an opening in between is mixed like the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np

from .command import Command
from .plan import Plan
from ..errors import ConfigError

BLENDINGS = ('none', 'linear', 'ensemble')
STEP_NS = 10_000_000  # of plan time, in which weights are taken to be constant
DECAY = 0.01  # weights are exp(-DECAY * i), the oldest chunk's i is 0: ACT's
LEAST_WEIGHT = 1e-9  # so that a chunk that is alone is followed while it fades


@dataclass(frozen=True)
class _Part:
    """
    A plan from a place on, which is mixed with others.

    weight: by the nanoseconds of plan time from that place.
    """

    plan: Plan
    place_ns: int
    weight: Callable[[float], float]

    @property
    def rest_ns(self) -> int:
        """Return how much of the plan is left."""
        return self.plan.duration_ns - self.place_ns


@dataclass(frozen=True)
class _Member:
    """A chunk of an ensemble; offset_ns: its place less the plan time executed in all."""

    plan: Plan
    offset_ns: int
    came_ns: float


class Seams:
    """
    Joins the plan of a chunk to what is left of the one in play.

    blending: one of BLENDINGS.  time_ns: of plan time, how long fading takes.  votes: whether the
    gripper is either open or closed.
    """

    def __init__(self, blending: str = 'none', time_ns: int = 200_000_000, votes: bool = False):
        """Begin without a chunk; raise ConfigError for what is no blending."""
        if blending not in BLENDINGS:
            raise ConfigError(f'blending is {blending!r}, expected one of {", ".join(BLENDINGS)}')
        self.blending, self._time_ns, self._votes = blending, time_ns, votes
        self.forget()

    def forget(self) -> None:
        """Forget all chunks: motion begins anew."""
        self._members: tuple[_Member, ...] = ()

    def join(self, old: Plan, old_ns: int, new: Plan, new_ns: int, total_ns: int
             ) -> tuple[Plan, int]:
        """
        Return the plan to play from now on, and the place in it that is now.

        old_ns, new_ns: the places of now in both.  total_ns: plan time executed in all.
        """
        is_over = old_ns >= old.duration_ns or new_ns >= new.duration_ns or not self._time_ns
        if is_over:
            self.forget()
        if self.blending == 'ensemble':
            return self._averaged(new, new_ns, total_ns, is_over)
        if self.blending == 'none' or is_over:
            return new, new_ns
        fade_ns = min(self._time_ns, old.duration_ns - old_ns, new.duration_ns - new_ns)
        parts = (_Part(old, old_ns, lambda t: 1.0 - t / fade_ns),
                 _Part(new, new_ns, lambda t: t / fade_ns))
        return mixed(parts, fade_ns, self._votes), 0

    def _averaged(self, new: Plan, new_ns: int, total_ns: int, is_alone: bool
                  ) -> tuple[Plan, int]:
        """Return the mean of all chunks that say something about the time from now on."""
        live = [member for member in self._members
                if 0 <= total_ns + member.offset_ns < member.plan.duration_ns]
        came_ns = -math.inf if is_alone or not live else total_ns
        self._members = (*live, _Member(new, new_ns - total_ns, came_ns))
        if len(self._members) == 1:
            return new, new_ns
        parts = tuple(self._part(rank, member, total_ns)
                      for rank, member in enumerate(self._members))
        until_ns = min(max(part.rest_ns for part in parts[:-1]), parts[-1].rest_ns)
        return mixed(parts, until_ns, self._votes), 0

    def _part(self, rank: int, member: _Member, total_ns: int) -> _Part:
        """Return a chunk with its weight from now on."""
        place_ns, importance = total_ns + member.offset_ns, math.exp(-DECAY * rank)
        rest_ns, age_ns = member.plan.duration_ns - place_ns, total_ns - member.came_ns
        is_newest = member is self._members[-1]

        def weight(later_ns: float) -> float:
            fades_in = min(1.0, (age_ns + later_ns) / self._time_ns)
            fades_out = 1.0 if is_newest else min(1.0, (rest_ns - later_ns) / self._time_ns)
            return importance * max(0.0, fades_in) * max(0.0, fades_out)
        return _Part(member.plan, place_ns, weight)


def mixed(parts: tuple[_Part, ...], until_ns: int, votes: bool) -> Plan:
    """
    Return the weighted mean of parts up to a time, and the last part alone from then on.

    Its place 0 is where all of them begin.
    """
    newest = parts[-1]
    has_positions = all(part.plan.start is not None for part in parts)
    start = position = _position(parts, 0) if has_positions else None
    rows, ends_ns, begin_ns = [], _ends(parts, until_ns), 0
    for end_ns in ends_ns:
        row = _row(parts if end_ns <= until_ns else parts[-1:], begin_ns, end_ns, votes)
        if position is not None and end_ns <= until_ns:
            there = _position(parts, end_ns)
            velocity = newest.plan.path.step(position, there) * (1e9 / (end_ns - begin_ns))
            row, position = Command(velocity, row.gripper, there), there
        rows.append(row)
        begin_ns = end_ns
    return Plan(tuple(rows), tuple(ends_ns), newest.plan.dt_ns, start, newest.plan.path)


def _ends(parts, until_ns: int) -> list[int]:
    """Return where rows of the mix end, so that no part's row ends between."""
    newest, ends = parts[-1], {*range(STEP_NS, until_ns, STEP_NS), until_ns}
    for part in parts:
        ends.update(end - part.place_ns for end in part.plan.ends_ns
                    if 0 < end - part.place_ns <= until_ns)
    ends.update(end - newest.place_ns for end in newest.plan.ends_ns
                if end - newest.place_ns > until_ns)
    return sorted(ends)


def _weighed(parts, time_ns: float, end_ns: int) -> list[tuple[_Part, float]]:
    """Return the parts that say something until end_ns, with weights that make 1 together."""
    live = [(part, max(part.weight(time_ns), LEAST_WEIGHT)) for part in parts
            if end_ns <= part.rest_ns]
    total = sum(weight for _, weight in live)
    return [(part, weight / total) for part, weight in live]


def _row(parts, begin_ns: int, end_ns: int, votes: bool) -> Command:
    """Return the mean of what the parts' rows say between two times."""
    if len(parts) == 1:
        part = parts[0]
        return part.plan.rows[part.plan.index(part.place_ns + begin_ns)]
    velocity, opening, gripper = 0.0, 0.0, None
    for part, weight in _weighed(parts, (begin_ns + end_ns) / 2, end_ns):
        row = part.plan.rows[part.plan.index(part.place_ns + begin_ns)]
        velocity, gripper = velocity + weight * row.velocity, row.gripper
        opening += weight * (gripper or 0.0)
    if gripper is not None:
        gripper = float(opening > 0.5) if votes else opening
    return Command(np.asarray(velocity), gripper)


def _position(parts, time_ns: int) -> np.ndarray:
    """Return the mean of where the parts say the arm is to be at a time."""
    mean, sum_of_weights = None, 0.0
    for part, weight in _weighed(parts, time_ns, time_ns):
        there = part.plan.position(part.place_ns + time_ns)
        sum_of_weights += weight
        mean = there if mean is None else part.plan.path.mix(
            mean, there, weight / sum_of_weights)
    return mean
