# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A velocity's way to another one, within a speed, an acceleration and a jerk.

One law for the halves of a twist, limited by their lengths, and for joints, limited one by one:
each limit is a *size*, a function that is 1 at the limit and grows in proportion, so that the
velocities within it are a ball or a box. All joints change along one line, so the direction of
a path is kept.

The velocity v heads for the wanted one along the line between them, with an acceleration a that
can still be taken back to nothing, at the jerk limit, before the line ends: with e the way left
and dt the period, a dt + a**2 / (2 j) <= e. Each state that is left behind has that way out, at
any later period, so a late or an early tick breaks no limit. Where limits contradict each other,
because one was lowered meanwhile, speed goes before acceleration and acceleration before jerk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
import math
from operator import mul

Size = Callable[[Sequence[float]], float]
SHARES = (0.75, 0.5, 0.25)  # of a step that are tried, until one leaves a way out
ROUNDING = 1e-12
STANDING = 1e-9  # of a speed that was braked
ARRIVED = 1e-6  # of the change of velocity that the jerk limit allows in a period


def ball(limit: float) -> Size:
    """Return the size of vectors whose length is limited; the limit may be infinite."""
    return lambda vector: math.hypot(*vector) / limit


def box(limits: Sequence[float]) -> Size:
    """Return the size of vectors each component of which has its own limit, maybe infinite."""
    inverse = [1.0 / limit for limit in limits]
    return lambda vector: max(map(abs, map(mul, vector, inverse)))


def both(one: Size, other: Size) -> Size:
    """Return the size of vectors that two limits hold for."""
    return lambda vector: max(one(vector), other(vector))


def scaled(vector: Sequence[float], factor: float) -> list[float]:
    """Return a vector times a number."""
    return [factor * x for x in vector]


def within(vector: Sequence[float], size: Size) -> list[float]:
    """Return a vector, shortened to a limit where it is beyond it; its direction is kept."""
    over = size(vector)
    return vector if over <= 1.0 else scaled(vector, 1.0 / over)


@dataclass(frozen=True)
class Dynamics:
    """
    The limits of one group of `count` components, in SI units.

    speed, acceleration, jerk: sizes of the velocity and of its changes.
    """

    count: int
    speed: Size
    acceleration: Size
    jerk: Size

    @cached_property
    def has_acceleration(self) -> bool:
        """Whether an acceleration is limited."""
        return self.acceleration([1.0] * self.count) > 0.0

    @cached_property
    def has_jerk(self) -> bool:
        """Whether a jerk is limited."""
        return self.jerk([1.0] * self.count) > 0.0


class Shaper:
    """
    The velocity of one group of components, and how it changes.

    velocity: list of floats, the last one.  acceleration: with which it was reached; kept where
    the jerk is limited.
    """

    def __init__(self, dynamics: Dynamics):
        """Stand."""
        self.dynamics = dynamics
        self.rest()

    def rest(self) -> None:
        """Stand now."""
        self.force([0.0] * self.dynamics.count)

    def force(self, velocity: Sequence[float]) -> None:
        """Go on from another velocity, which something else than smoothness asked for."""
        self.velocity, self.acceleration = velocity, [0.0] * self.dynamics.count

    def stop_time_s(self, velocity: Sequence[float]) -> float:
        """Return how long braking takes from a velocity."""
        return self.dynamics.acceleration(velocity)

    def brake(self, dt_s: float) -> list[float]:
        """
        Slow down as fast as the acceleration limit allows, along the line of travel.

        The jerk limit does not hold: with it the arm would go on to gain speed for a while, and
        go much further than v**2 / (2 a).
        """
        stop_s = self.stop_time_s(self.velocity)
        share = 1.0 - dt_s / stop_s if stop_s else 0.0
        left = scaled(self.velocity, share if share > STANDING else 0.0)
        self.force(within(left, self.dynamics.speed))
        return self.velocity

    def toward(self, wanted: Sequence[float], dt_s: float) -> list[float]:
        """Return the velocity to go with, dt_s after the last one, to reach a wanted one."""
        limits, wanted = self.dynamics, within(wanted, self.dynamics.speed)
        if not limits.has_acceleration and not limits.has_jerk:
            self.velocity = wanted
        elif dt_s > 0.0:
            way = [w - v for w, v in zip(wanted, self.velocity)]
            (self._with_jerk if limits.has_jerk else self._without_jerk)(wanted, way, dt_s)
        if limits.speed(self.velocity) > 1.0 + ROUNDING:  # that limit was lowered
            self.force(within(self.velocity, limits.speed))
        return self.velocity

    def _without_jerk(self, wanted, way, dt_s: float) -> None:
        over = self.dynamics.acceleration(way) / dt_s
        self.velocity = wanted if over <= 1.0 else [
            v + w / over for v, w in zip(self.velocity, way)]

    def _with_jerk(self, wanted, way, dt_s: float) -> None:
        """Change the acceleration as far as jerk, acceleration and a way out allow."""
        size, last = self.dynamics, self.acceleration
        rate = 2.0 / (dt_s + math.sqrt(dt_s * dt_s + 2.0 * size.jerk(way)))
        asked = within(scaled(way, rate), size.acceleration)
        change = [x - y for x, y in zip(asked, last)]
        over = size.jerk(change) / dt_s
        bold = asked if over <= 1.0 else [x + y / over for x, y in zip(last, change)]
        self.acceleration = self._with_way_out(within(bold, size.acceleration), dt_s)
        if self.acceleration is asked and max(size.jerk(way), size.acceleration(way)) <= (
                ARRIVED * dt_s * min(dt_s, 1.0)):
            self.velocity = wanted  # bit for bit
        else:
            self.velocity = [v + dt_s * a for v, a in zip(self.velocity, self.acceleration)]

    def _with_way_out(self, bold, dt_s: float) -> list[float]:
        """Return an acceleration that can be taken back before the speed limit is reached."""
        if self._has_way_out(bold, dt_s):
            return bold
        last, fading_s = self.acceleration, self.dynamics.jerk(self.acceleration)
        mild = within(scaled(last, max(0.0, 1.0 - dt_s / fading_s) if fading_s else 0.0),
                      self.dynamics.acceleration)
        tried = ([m + share * (b - m) for m, b in zip(mild, bold)] for share in SHARES)
        return next((each for each in tried if self._has_way_out(each, dt_s)), mild)

    def _has_way_out(self, acceleration, dt_s: float) -> bool:
        out_s = dt_s + 0.5 * self.dynamics.jerk(acceleration)
        end = [v + out_s * a for v, a in zip(self.velocity, acceleration)]
        return self.dynamics.speed(end) <= 1.0 + ROUNDING
