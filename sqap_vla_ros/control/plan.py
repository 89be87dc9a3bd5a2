# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The way that rows of commands describe, to be read anywhere between them.

A place is integer nanoseconds from the beginning of row 0, were the plan played at full speed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .command import Command
from .row_positions import JointPath, PosePath


@dataclass(frozen=True)
class Plan:
    """
    Rows of commands.

    ends_ns: the place at which each row ends.  dt_ns: how long a row of the chunk lasts.
    start: the position from which row 0 goes, None where rows have no positions.
    path: how positions lie between two others.
    """

    rows: tuple[Command, ...] = ()
    ends_ns: tuple[int, ...] = ()
    dt_ns: int = 1
    start: np.ndarray | None = field(default=None, compare=False)
    path: JointPath | PosePath = JointPath()

    @classmethod
    def even(cls, rows: Sequence[Command], dt_ns: int, start: np.ndarray | None = None,
             path: JointPath | PosePath = JointPath()) -> Plan:
        """Return rows that last dt_ns each."""
        ends_ns = tuple(dt_ns * (index + 1) for index in range(len(rows)))
        return cls(tuple(rows), ends_ns, dt_ns, start, path)

    @property
    def duration_ns(self) -> int:
        """Return how long it takes from the first row to the end of the last."""
        return self.ends_ns[-1] if self.ends_ns else 0

    def index(self, place_ns: int) -> int:
        """Return the row at a place, at its beginning that which begins; the last one at most."""
        return min(bisect_right(self.ends_ns, place_ns), len(self.rows) - 1)

    def begin_ns(self, index: int) -> int:
        """Return the place at which a row begins."""
        return self.ends_ns[index - 1] if index else 0

    def between(self, first_ns: int, last_ns: int, period_ns: int) -> Command:
        """
        Return the command that goes from one place to another within a period.

        The gripper is that of the first place. Where both are one, the arm stands.
        """
        index = self.index(first_ns)
        velocity, gripper = np.zeros(len(self.rows[index].velocity)), self.rows[index].gripper
        while first_ns < last_ns:
            until_ns = min(self.ends_ns[index], last_ns)
            velocity += self.rows[index].velocity * ((until_ns - first_ns) / period_ns)
            first_ns, index = until_ns, index + 1
        return Command(velocity, gripper, self.position(last_ns))

    def position(self, place_ns: int) -> np.ndarray | None:
        """Return where the arm is to be at a place; None where rows have no positions."""
        if self.start is None:
            return None
        index = self.index(place_ns)
        before = self.rows[index - 1].position if index else self.start
        begin_ns = self.begin_ns(index)
        ratio = (place_ns - begin_ns) / (self.ends_ns[index] - begin_ns)
        return self.path.mix(before, self.rows[index].position, min(max(ratio, 0.0), 1.0))

    def reached(self, first_ns: int, way_ns: int, step: np.ndarray, share: float) -> int:
        """
        Return the place to which a share of a step leads.

        step: that from first_ns to way_ns behind it; rows that do not lead along it just pass. A
        share above 1 leads beyond.
        """
        place_ns, left = first_ns, share * float(step @ step)
        last_ns = min(first_ns + round(way_ns * max(share, 1.0)), self.duration_ns)
        while place_ns < last_ns and left > 0:
            index = self.index(place_ns)
            until_ns = min(self.ends_ns[index], last_ns)
            progress = float(self.rows[index].velocity @ step)
            if progress * (until_ns - place_ns) >= left:
                return place_ns + round(left / progress)
            left -= max(progress, 0.0) * (until_ns - place_ns)
            place_ns = until_ns
        return place_ns

    def rest(self, place_ns: int) -> Plan:
        """Return the plan from the beginning of the row at a place on; maybe of no rows."""
        if place_ns >= self.duration_ns:
            return Plan(dt_ns=self.dt_ns, path=self.path)
        index = self.index(place_ns)
        begin_ns = self.begin_ns(index)
        return Plan(self.rows[index:], tuple(end - begin_ns for end in self.ends_ns[index:]),
                    self.dt_ns, self.position(begin_ns), self.path)

    def then(self, other: Plan) -> Plan:
        """Return the plan that goes on with another; with positions where both have them."""
        if not self.rows:
            return other
        ends_ns = tuple(self.duration_ns + end for end in other.ends_ns)
        start = None if other.start is None else self.start
        return Plan(self.rows + other.rows, self.ends_ns + ends_ns, other.dt_ns, start,
                    other.path)
