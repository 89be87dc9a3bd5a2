# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How fast a plan may be played, so that the arm can follow: slower in time, the same way in space.

A rate is plan time over time, 0..1. Three things hold it down: rows that ask for more speed than
the limits, the change of speed from what the arm does now, and what lies ahead. To slow down
from v takes v**2 / (2 a) of way, so the speed is at most sqrt(2 a d) with d the way left to where
it has to be lower: the end of the plan, where the arm rests, or a row that is slower or goes
elsewhere. What no rate can help, a turn at speed, is left to the safety gate.

All is told in seconds: a speed by the time that stopping from it takes, v / a, and a way d as
d / a in s2. So a twist's halves and joints of any unit are compared as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from .limits import CommandLimits, COUNTED, JointLimits
from .plan import Plan

STARVED = 0.5  # of the speed that a row could have, below which what lies ahead holds it down
JITTER_S = 0.04  # of braking: a row that asks for so small a step is not slowed down for
LEAST_PERIODS = 0.5  # of braking, which no way is too short for
# How often a / j braking takes longer to be felt: once, to end a plan, of which the last
# millimetre may be braked harder; six times, on the way back to a plan, not to swing about it.
RAMPS_AHEAD, RAMPS_BACK = 1.0, 6.0
ROUNDING = 1e-9


@dataclass(frozen=True)
class Rate:
    """
    How fast to play.

    way_ns: of the plan, in the next period.  is_starved: whether what lies ahead holds the plan
    down to less than half of the speed that it could have.  leaves: how much of the row's speed
    the speed limits leave, 0..1; 1 up to COUNTED beyond them.
    """

    way_ns: int
    is_starved: bool = False
    leaves: float = 1.0


@dataclass(frozen=True)
class _Row:
    """
    A row of a plan as retiming sees it.

    most: the rate that the speed limits allow.  stops_s: of each group of limits, how long
    stopping takes from the row's speed.  lags_s: how long braking takes to take effect.  ends_s:
    the speed that the arm may have at the row's end, as stops_s.  period_s: of commands.
    """

    most: float
    period_s: float
    stops_s: tuple[float, ...]
    lags_s: tuple[float, ...]
    ends_s: tuple[float, ...]

    def rate(self, way_s: float) -> float:
        """Return the rate at which the arm can still slow down to ends_s within way_s."""
        return min(self.most, *(_braking(*each, way_s, self.period_s) for each in zip(
            self.stops_s, self.lags_s, self.ends_s)))


class Retimer:
    """Rates for one plan after another; what lies ahead is worked out once a plan."""

    def __init__(self, period_ns: int):
        """Keep for how long a command holds."""
        self._period_s = period_ns * 1e-9
        self._known, self._rows = None, []

    def rate(self, plan: Plan, place_ns: int, moving: np.ndarray | None,
             limits: CommandLimits | JointLimits, scale: float = 1.0) -> Rate:
        """
        Return the rate for the next period.

        moving: the velocity that the arm was told last, None if it stands.  scale: speed_scale,
        which is the highest rate.
        """
        if self._known is None or self._known[0] is not plan or self._known[1:] != (limits, scale):
            self._known = plan, limits, scale
            self._rows = self._profile(plan, limits.groups, scale)
        first, left_s, way_ns = plan.index(place_ns), self._period_s, 0
        for index in range(first, len(plan.rows)):
            row_ns = plan.ends_ns[index] - max(place_ns, plan.begin_ns(index))
            rate = min(self._rows[index].rate(row_ns * 1e-9),
                       self._reach(plan.rows[index].velocity, moving, limits.groups))
            if rate * left_s * 1e9 <= row_ns:
                way_ns += int(rate * left_s * 1e9)
                break
            way_ns, left_s = way_ns + row_ns, left_s - row_ns * 1e-9 / rate
        row = self._rows[first]
        ahead = row.rate((plan.ends_ns[first] - place_ns) * 1e-9)
        leaves = row.most / max(scale, ROUNDING)
        return Rate(way_ns, ahead < STARVED * row.most,
                    1.0 if leaves > 1.0 - COUNTED else leaves)

    def _profile(self, plan: Plan, groups, scale: float) -> list[_Row]:
        """Return the rows, worked out from the last one on."""
        rows, allowed, later = [], 0.0, None
        for index in reversed(range(len(plan.rows))):
            velocity = plan.rows[index].velocity
            stops_s = tuple(_stop_s(velocity, *group) for group in groups)
            ends_s = (0.0,) * len(groups) if later is None else tuple(
                max(JITTER_S, allowed * stop_s * _same_way(velocity[part], later[part]))
                for (part, _), stop_s in zip(groups, rows[-1].stops_s))
            fastest = max(dynamics.speed(velocity[part].tolist()) for part, dynamics in groups)
            lags_s = tuple(
                self._period_s + RAMPS_AHEAD * _ramp_s(velocity, *group) for group in groups)
            rows.append(_Row(scale * min(1.0, 1.0 / max(fastest, ROUNDING)), self._period_s,
                             stops_s, lags_s, ends_s))
            allowed = rows[-1].rate((plan.ends_ns[index] - plan.begin_ns(index)) * 1e-9)
            later = velocity
        return rows[::-1]

    def _reach(self, row: np.ndarray, moving: np.ndarray | None, groups) -> float:
        """Return the rate of a row up to which a period of speeding up brings the arm."""
        reached = [1.0]
        for part, dynamics in groups:
            stop_s = _stop_s(row, part, dynamics)
            if stop_s:
                carried_s = 0.0 if moving is None else (
                    _stop_s(moving, part, dynamics) * _same_way(moving[part], row[part]))
                ramp_s = 0.5 * _ramp_s(row, part, dynamics)  # which is left of it at the top
                reached.append((carried_s + self._period_s + ramp_s) / stop_s)
        return min(reached)


def _stop_s(velocity: np.ndarray, part, dynamics) -> float:
    """Return how long stopping takes from a row's speed; 0 without a limit."""
    return dynamics.acceleration(velocity[part].tolist())


def _ramp_s(velocity: np.ndarray, part, dynamics) -> float:
    """Return how long the acceleration takes to build up within the jerk limit, a / j."""
    stop_s = _stop_s(velocity, part, dynamics)
    return dynamics.jerk(velocity[part].tolist()) / stop_s if stop_s else 0.0


def _braking(stop_s: float, lag_s: float, end_s: float, way_s: float, period_s: float) -> float:
    """
    Return the rate of a row from which the arm slows down to end_s within way_s of the plan.

    With the lag a speed u takes a way of u (u + lag) / 2, and not u**2 / 2. What can be stopped
    in a part of a period is always allowed, so that the way comes to an end.
    """
    if not stop_s:
        return math.inf
    way = end_s * (end_s + lag_s) + 2.0 * stop_s * way_s
    speed_s = math.sqrt(0.25 * lag_s * lag_s + way) - 0.5 * lag_s
    return max(speed_s, LEAST_PERIODS * period_s) / stop_s


def _same_way(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine between two velocities, 0 where they lead apart."""
    lengths = math.hypot(*first) * math.hypot(*second)
    return max(0.0, float(first @ second) / lengths) if lengths else 0.0


def eased(back: np.ndarray, along: np.ndarray, limits: CommandLimits | JointLimits,
          period_ns: int, scale: float) -> np.ndarray:
    """
    Return what of a velocity that leads back to the plan within a period can be had.

    So much that it can be slowed down again before the plan is reached, and that it fits
    beside `along`, the velocity of the plan, into the speed limits.
    """
    found, period_s = np.array(back), period_ns * 1e-9
    for part, dynamics in limits.groups:
        stop_s = _stop_s(back, part, dynamics)
        lag_s = period_s + RAMPS_BACK * _ramp_s(back, part, dynamics)
        speed = dynamics.speed(back[part].tolist())
        room = max(0.0, scale - dynamics.speed(along[part].tolist()))
        found[part] *= min(1.0, _braking(stop_s, lag_s, 0.0, period_s, period_s),
                           room / speed if speed else 1.0)
    return found
