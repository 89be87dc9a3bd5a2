# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Random policies, clocks and arms: what a safety gate is tried with.

A scenario is some hundred control ticks of one motion. Wanted velocities are zero, steady, noisy,
reversed, denormal, at a limit or far beyond it; ticks are punctual, jittery, doubled, late or
backwards; numbers are NaN, infinite or absurd; limits change and someone stops or brakes in
between; poses are exact, late, missing, or pushed by another hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np

from ...control.limits import CommandLimits, JointLimits

PERIODS_NS = (50_000_000, 20_000_000, 10_000_000, 1_000_000)
TICKS = 200
MOODS = ('zero', 'steady', 'noise', 'reversal', 'sine', 'tiny', 'edge', 'beyond')
NONSENSE = (math.nan, math.inf, -math.inf, 1e308, -1e300, 1e6, -1e4)
START_NS = 1_790_000_000_123_456_789


@dataclass(frozen=True)
class Scenario:
    """
    What happens to one gate.

    limits: at the start; frame: of twists.  times_ns: int64 [T]; wanted: float64 [T, n];
    gripper: [T], None where it is left alone.  events: by tick, (name, value) pairs: 'limits',
    'scale', 'brake', 'stop', 'rest', 'resume', 'push'.  targets: offsets [T, n] m and rad of
    absolute targets from where the arm is, None for velocities.  sight: by tick, how old the
    measured place is in ticks, -1 for not known.  place: [3] m or [n] rad at the start.
    turn: the rotation matrix of the end effector's frame at the start.
    """

    limits: CommandLimits | JointLimits
    frame: str
    period_ns: int
    times_ns: np.ndarray
    wanted: np.ndarray
    gripper: list
    events: dict
    targets: np.ndarray | None
    sight: np.ndarray
    place: np.ndarray
    turn: np.ndarray

    @property
    def is_cartesian(self) -> bool:
        """Whether velocities are twists."""
        return isinstance(self.limits, CommandLimits)


def scenario(seed: int, index: int, ticks: int = TICKS) -> Scenario:
    """Return one of endlessly many scenarios, always the same for the same numbers."""
    rng = np.random.default_rng([seed, index])
    period_ns = int(rng.choice(PERIODS_NS))
    count = 0 if rng.random() < 0.6 else int(rng.integers(1, 8))
    way_s = ticks * period_ns * 1e-9
    place = rng.uniform(-1, 1, count or 3)
    limits = _limits(rng, count, way_s, place)
    wanted = _wanted(rng, ticks, limits)
    _spoil(rng, wanted, 0.3)
    bounded = is_bounded(limits)
    return Scenario(
        limits, 'end_effector' if rng.random() < 0.3 else 'base', period_ns,
        _times(rng, ticks, period_ns), wanted, _gripper(rng, ticks),
        _events(rng, ticks, limits, place, way_s, count), _targets(rng, ticks, limits),
        _sight(rng, ticks, bounded, count), _moved_out(rng, place, limits), _rotation(rng))


def _limits(rng, count: int, way_s: float, place):
    """Return limits round a place: of twists for count 0, else of so many joints."""
    common = {'reject_factor': float(rng.uniform(1, 8))}
    if rng.random() < 0.2:
        common |= {'trip_count': int(rng.integers(1, 20)),
                   'trip_window_s': float(rng.uniform(0.02, 0.5) * way_s)}
    return _joint_limits(rng, count, way_s, place, common) if count else _twist_limits(
        rng, way_s, place, common)


def _twist_limits(rng, way_s, place, common):
    linear, angular = _spread(rng, 0.02, 2.0), _spread(rng, 0.1, 10.0)
    limits = CommandLimits(linear, angular, **common)
    if rng.random() < 0.8:
        limits = replace(limits, linear_acceleration=linear * _spread(rng, 1, 50),
                         angular_acceleration=angular * _spread(rng, 1, 50))
    if rng.random() < 0.5:
        limits = replace(
            limits, linear_jerk=_jerk(rng, linear, limits.linear_acceleration),
            angular_jerk=_jerk(rng, angular, limits.angular_acceleration))
    if rng.random() < 0.3:
        axes = rng.uniform(0.1, 1.5, 6) * ([linear] * 3 + [angular] * 3)
        limits = replace(limits, axes=np.where(rng.random(6) < 0.3, math.inf, axes).tolist())
    if rng.random() < 0.4:
        low, high = _box(rng, place, linear * way_s)
        limits = replace(limits, workspace_low=low, workspace_high=high)
    if rng.random() < 0.3:
        limits = replace(limits, first_linear=_spread(rng, 0.01, 0.3),
                         first_angular=_spread(rng, 0.05, 1.0))
    return limits


def _joint_limits(rng, count, way_s, place, common):
    velocity = np.array([_spread(rng, 0.1, 5.0) for _ in range(count)])
    acceleration = velocity * _spread(rng, 1, 50) if rng.random() < 0.8 else None
    jerk = acceleration * _spread(rng, 2, 50) if (
        acceleration is not None and rng.random() < 0.5) else None
    low = high = None
    if rng.random() < 0.5:
        low, high = _box(rng, place, velocity * way_s)
    return JointLimits(
        velocity, acceleration, jerk, low, high, margin=float(rng.choice([0.0, 1e-4])),
        whole=bool(rng.random() < 0.5),
        first=_spread(rng, 0.05, 1.0) if rng.random() < 0.3 else math.inf, **common)


def _jerk(rng, speed: float, acceleration: float) -> float:
    return (acceleration if math.isfinite(acceleration) else 10 * speed) * _spread(rng, 2, 50)


def _box(rng, place, way):
    """Return corners round a place, near enough to be run into; some sides are open."""
    way = np.broadcast_to(way, place.shape)
    low = place - rng.uniform(0.02, 1.0, place.shape) * way - 1e-3
    high = place + rng.uniform(0.02, 1.0, place.shape) * way + 1e-3
    return (np.where(rng.random(place.shape) < 0.2, -math.inf, low).tolist(),
            np.where(rng.random(place.shape) < 0.2, math.inf, high).tolist())


def is_bounded(limits: CommandLimits | JointLimits) -> bool:
    """Return whether the place of the arm is limited."""
    return limits.has_workspace if isinstance(limits, CommandLimits) else limits.has_range


def _wanted(rng, ticks: int, limits) -> np.ndarray:
    """Return velocities [T, n], a mood at a time."""
    scale = np.array([limits.linear] * 3 + [limits.angular] * 3 if isinstance(
        limits, CommandLimits) else limits.velocity)
    wanted, tick = np.zeros((ticks, len(scale))), 0
    while tick < ticks:
        length = int(rng.integers(1, 60))
        wanted[tick:tick + length] = _mood(
            rng, str(rng.choice(MOODS)), len(wanted[tick:tick + length]), len(scale)) * scale
        tick += length
    return wanted


def _mood(rng, mood: str, length: int, count: int) -> np.ndarray:
    """Return velocities [length, n] in units of the limits."""
    steady, time = rng.normal(size=count), np.arange(length)[:, None]
    steady /= np.linalg.norm(steady)
    wave = {'zero': 0.0, 'tiny': 5e-324 * 10.0 ** rng.integers(0, 300),
            'steady': rng.uniform(0, 1), 'edge': 1.0, 'beyond': rng.uniform(1, 1.8),
            'reversal': 1.0 - 2.0 * (time // rng.integers(1, 8) % 2),
            'sine': np.sin(time * rng.uniform(0.01, 1.0))}
    if mood == 'noise':
        return rng.normal(size=(length, count)) * rng.uniform(0.1, 0.8)
    return np.broadcast_to(wave[mood] * steady, (length, count))


def _spoil(rng, wanted: np.ndarray, share: float) -> None:
    """Put nonsense into a few places of some scenarios."""
    if rng.random() < share:
        for _ in range(rng.integers(1, 4)):
            tick, column = (int(rng.integers(size)) for size in wanted.shape)
            wanted[tick, column] = rng.choice(NONSENSE)


def _gripper(rng, ticks: int) -> list:
    if rng.random() < 0.3:
        return [None] * ticks
    values = rng.uniform(-0.5, 1.5, ticks)
    if rng.random() < 0.05:
        values[rng.integers(ticks)] = rng.choice([math.nan, math.inf])
    return values.tolist()


def _times(rng, ticks: int, period_ns: int) -> np.ndarray:
    """Return when each command is asked for."""
    style, gaps = rng.random(), np.full(ticks, 1.0)
    if style > 0.4:
        gaps = rng.uniform(0.5, 1.5, ticks)
    if style > 0.7:
        odd = rng.random(ticks) < 0.2
        gaps = np.where(odd, rng.choice([0.0, 0.01, 1.3, 2.4, 4.0, 30.0, -10.0], ticks), gaps)
        gaps = np.where(rng.random(ticks) < 0.02, 1 / period_ns, gaps)
    return START_NS + np.cumsum(np.rint(gaps * period_ns).astype(np.int64))


def _events(rng, ticks, limits, place, way_s, count) -> dict:
    """Return what happens at ticks: resumes after nonsense, and now and then all else."""
    events = {int(tick): [('resume', None)] for tick in rng.integers(0, ticks, 4)}
    if rng.random() < 0.5:
        for name in rng.choice(['limits', 'scale', 'brake', 'stop', 'rest', 'push'], 3):
            tick = int(rng.integers(ticks))
            value = {'limits': lambda: _limits(rng, count, way_s, place),
                     'scale': lambda: float(rng.choice([0.0, 1.0, rng.random()])),
                     'push': lambda: rng.normal(size=place.shape) * 0.05}.get(name)
            events.setdefault(tick, []).append((str(name), value and value()))
            if name == 'brake':
                for later in range(tick, min(ticks, tick + int(rng.integers(1, 40)))):
                    events.setdefault(later, []).append(('brake', None))
    return events


def _targets(rng, ticks: int, limits) -> np.ndarray | None:
    """Return offsets of absolute targets, where these are checked and sometimes else."""
    if rng.random() > 0.3:
        return None
    count = 6 if isinstance(limits, CommandLimits) else limits.size
    return rng.normal(size=(ticks, count)) * _spread(rng, 1e-3, 0.5)


def _sight(rng, ticks: int, is_bounded: bool, count: int) -> np.ndarray:
    """Return how many ticks old each measurement is; -1 where there is none."""
    sight, style = np.zeros(ticks, np.int64), rng.random()
    if style > 0.5 and not count:
        sight += rng.integers(0, 3)
    if style > 0.8 or not is_bounded and style > 0.4:
        sight[rng.random(ticks) < rng.choice([0.05, 1.0])] = -1
    return sight


def _moved_out(rng, place, limits) -> np.ndarray:
    """Return the place, of some scenarios beyond a bound."""
    if not is_bounded(limits) or rng.random() < 0.85:
        return place
    return place + rng.normal(size=place.shape) * 0.3


def _rotation(rng) -> np.ndarray:
    """Return a random rotation matrix."""
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def _spread(rng, low: float, high: float) -> float:
    """Return a number of any magnitude between two."""
    return float(low * (high / low) ** rng.random())
