# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What is unsafe: said once more, by other means than the gate's.

The judge sees ticks from outside: what went in, what came out, where the arm really was. It takes
differences of what came out, keeps its own books on what has to be latched, and knows the limits
from their definition alone. Each rule yields sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
import math

import numpy as np

from .faults import FaultBook
from .lengths import Group, groups_of
from .playing import Tick
from .scenarios import Scenario
from .tally import MEASURES

SLACK = 1e-9  # of a limit, for rounding
TINY = 1e-12
SILENT_S, SILENT_PERIODS = 0.1, 2.5
OLD_S = 0.5  # an older measurement is none


class Judge:
    """
    Looks at the ticks of one scenario, one after the other.

    shares: what was wanted and told, as shares of the limits, by tally.MEASURES.
    """

    def __init__(self, scenario: Scenario):
        """Know when commands are due, and what the arm does meanwhile."""
        self._scenario, self._book = scenario, FaultBook(scenario)
        self._period_s = scenario.period_ns * 1e-9
        self._silent_s = max(SILENT_S, SILENT_PERIODS * self._period_s)
        self._is_clean, self._known = _is_clean(scenario), (None, ())
        self.shares = {name: [] for name in MEASURES}
        self._stand()

    def unsafe(self, tick: Tick) -> list[str]:
        """Return what is unsafe about a tick; empty if it is safe."""
        dt_s = self._dt_s(tick)
        if 'limits' in tick.events:
            self._is_smooth = False  # until it has stood: jerk gives way to what was lowered
        found = list(self._book.unsafe(tick, self._stands))
        if tick.velocity is None:
            if tick.fault is None:
                found += self._stop_without_fault(tick, dt_s)
            self._stand()
            return found
        found += self._values(tick)
        for group in () if found else self._groups(tick):
            found += self._group(tick, group, dt_s)
        self._note(tick, dt_s)
        return found

    def _groups(self, tick: Tick) -> tuple[Group, ...]:
        """Return what limits hold; looking limits up by their value takes its time."""
        if tick.limits is not self._known[0]:
            self._known = tick.limits, groups_of(tick.limits)
        return self._known[1]

    def _bounded(self, tick: Tick) -> bool:
        return any(group.is_bounded for group in self._groups(tick))

    def _is_lost(self, tick: Tick) -> bool:
        """Return whether there are bounds, and where the arm is was not told."""
        return (tick.seen is None or abs(tick.age_s) > OLD_S) and self._bounded(tick)

    @property
    def _stands(self) -> bool:
        return not self._before.any()

    def _stand(self) -> None:
        count = self._scenario.wanted.shape[1]
        self._before, self._change = np.zeros(count), np.zeros(count)
        self._before_ns, self._is_smooth, self._was_braked = None, True, False

    def _dt_s(self, tick: Tick) -> float:
        """Return the time in which the velocity may have changed."""
        passed_s = None if self._before_ns is None else (tick.now_ns - self._before_ns) * 1e-9
        if passed_s is None or not 0 <= passed_s <= self._silent_s or 'rest' in tick.events:
            self._stand()
            return self._period_s
        return min(passed_s, self._period_s)

    def _note(self, tick: Tick, dt_s: float) -> None:
        """Remember what came out."""
        is_braked = tick.wanted is None or self._is_lost(tick)
        if dt_s > 0:
            self._change = (tick.velocity - self._before) / dt_s
            self._was_braked = is_braked
        self._was_braked |= is_braked  # as long as no time passes
        self._before, self._before_ns = tick.velocity, tick.now_ns

    def _values(self, tick: Tick) -> Iterator[str]:
        if tick.velocity.shape != self._before.shape or not all(
                map(math.isfinite, tick.velocity.tolist())):
            yield f'the velocity is {tick.velocity}'
        if tick.gripper is not None and not 0.0 <= tick.gripper <= 1.0:
            yield f'the gripper is told {tick.gripper}'

    def _stop_without_fault(self, tick: Tick, dt_s: float) -> Iterator[str]:
        """Without a fault the arm ramps down, and there has to be a reason."""
        for group in self._groups(tick):
            stop_s = group.acceleration(self._before)
            if group.is_bounded and group.is_out(tick.place):
                continue  # the bounds go before the acceleration
            if stop_s > dt_s * (1 + SLACK) + TINY:
                yield f'stopped at once without a fault, {stop_s:.3g} s from standing'
        if tick.wanted is not None and not self._is_lost(tick):
            yield 'needless: it stopped, and there is no fault and nothing unknown'

    def _group(self, tick: Tick, group: Group, dt_s: float) -> Iterator[str]:
        """Judge one half of a twist, or all joints."""
        speed, before = group.speed(tick.velocity), group.speed(self._before)
        if speed > 1 + SLACK:
            yield f'{group.name}: {speed:.6g} times the speed limit'
        self._count(tick, group, speed, dt_s)
        is_bounded = self._bounded(tick) and group.is_bounded
        is_slower = before > 1 + SLACK  # the speed limit was lowered
        if not is_slower and (self._is_clean or not is_bounded):
            yield from self._acceleration(tick, group, dt_s)
        elif not is_slower:
            yield from self._no_faster(tick, group, dt_s)
        if tick.wanted is None or self._is_lost(tick):
            yield from self._braking(tick, group, dt_s)
        elif not is_bounded and not is_slower:
            yield from self._way(tick, group, dt_s)
        if is_bounded and not self._is_lost(tick) and tick.seen is not None:
            yield from self._place(tick, group)

    def _count(self, tick: Tick, group: Group, speed: float, dt_s: float) -> None:
        """Note how near to its limits a command is."""
        shares = self.shares
        shares['speed'].append(speed)
        if tick.wanted is not None:
            shares['wanted speed'].append(group.speed(tick.wanted))
        if dt_s > 0 and group.has_acceleration:
            shares['acceleration'].append(group.acceleration(tick.velocity - self._before) / dt_s)
        if dt_s > 0 and group.has_jerk:
            shares['jerk'].append(group.jerk(
                tick.velocity - self._before - dt_s * self._change) / dt_s**2)

    def _acceleration(self, tick: Tick, group: Group, dt_s: float) -> Iterator[str]:
        need_s = group.acceleration(tick.velocity - self._before)
        if need_s > dt_s * (1 + SLACK) + TINY + group.rounding_s:
            yield (f'{group.name}: a change of velocity that takes {need_s:.9g} s at the '
                   f'acceleration limit, in {dt_s:.9g} s')

    def _no_faster(self, tick: Tick, group: Group, dt_s: float) -> Iterator[str]:
        """In doubt about the place the arm may be slowed down at once, never sped up."""
        gain_s = group.gain_s(self._before, tick.velocity)
        if gain_s > dt_s * (1 + SLACK) + TINY + group.rounding_s:
            yield f'{group.name}: faster by what takes {gain_s:.6g} s, in {dt_s:.6g} s'

    def _braking(self, tick: Tick, group: Group, dt_s: float) -> Iterator[str]:
        """Told to brake, or not seen: slower by what the limit allows, along the same line."""
        stop_s, left_s = group.acceleration(self._before), group.acceleration(tick.velocity)
        if left_s > max(0.0, stop_s - dt_s) * (1 + SLACK) + TINY + group.rounding_s:
            yield f'{group.name}: brakes too little, {left_s:.6g} s left of {stop_s:.6g} s'
        if not (self._bounded(tick) and group.is_bounded):
            off = group.off_line(tick.velocity, self._before)
            if off > SLACK:
                yield f'{group.name}: brakes aside by {off:.3g} of the speed limit'

    def _way(self, tick: Tick, group: Group, dt_s: float) -> Iterator[str]:
        """Yield what neither heads straight for the wanted velocity nor keeps the jerk limit."""
        if group.has_jerk:
            if self._is_smooth and not self._was_braked and dt_s > 0:
                yield from self._jerk(tick, group, dt_s)
            return
        wanted = group.shortened(tick.wanted, tick.scale)
        way_s = group.acceleration(wanted - self._before)
        share = 1.0 if way_s <= dt_s else dt_s / way_s
        off = group.speed(self._before + share * (wanted - self._before) - tick.velocity)
        if off > 1e-6:
            yield f'{group.name}: {off:.3g} of the speed limit aside of what was wanted'

    def _jerk(self, tick: Tick, group: Group, dt_s: float) -> Iterator[str]:
        off = tick.velocity - self._before - dt_s * self._change
        need_s2 = group.jerk(off)
        if need_s2 > dt_s * dt_s * (1 + 1e-6) + group.jerk_rounding:
            yield (f'{group.name}: a change of acceleration that takes {need_s2 / dt_s:.6g} s '
                   f'at the jerk limit, in {dt_s:.6g} s')

    def _place(self, tick: Tick, group: Group) -> Iterator[str]:
        """Yield what leads out and, where nothing surprises, what could not be braked before."""
        low, high = group.bounds
        velocity = group.of(tick.velocity)
        if self._scenario.is_cartesian and self._scenario.frame == 'end_effector':
            velocity = tick.turn @ velocity
        room = np.where(velocity > 0, high - tick.place, tick.place - low)
        slack = 2 * abs(tick.age_s) * max(np.abs(velocity).max(), group.top_speed) + SLACK
        out = np.abs(velocity) * self._period_s - np.maximum(room, 0.0)
        if (out > slack).any() and velocity.any():
            yield f'{group.name}: leads {out.max():.3g} out of the bounds'
        if self._is_clean:
            over = 0.5 * np.abs(velocity) * group.acceleration(tick.velocity) - room
            if (over > SLACK).any():
                yield f'{group.name}: cannot brake before the bounds, by {over.max():.3g}'


def _is_clean(scenario: Scenario) -> bool:
    """Return whether nothing surprises: punctual, seen, inside, one set of limits."""
    names = {name for events in scenario.events.values() for name, _ in events}
    gaps = np.diff(scenario.times_ns)
    if names & {'push', 'limits', 'rest'} or scenario.sight.any() or (gaps < 0).any() or (
            gaps > scenario.period_ns).any():
        return False
    inside = [(group.bounds[0] < scenario.place) & (scenario.place < group.bounds[1])
              for group in groups_of(scenario.limits) if group.is_bounded]
    return bool(np.all(inside)) and not (scenario.is_cartesian and scenario.frame != 'base')
