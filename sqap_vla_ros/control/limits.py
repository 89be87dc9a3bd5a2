# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the safety gate lets through, in numbers: for a twist and for joints.

Both kinds have what the gate asks for: `size`, how many numbers a velocity has; `groups`, which
of them are limited together and how; `absurd`, why a command is nonsense and not just fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
import math
from numbers import Real

import numpy as np

from .shaping import ball, both, box, Dynamics, Size
from ..errors import ConfigError
from ..support.validation import is_count

FREE = math.inf
# A limit below these counts as these where nonsense is to be told from speed: a careful limit
# for first runs does not make the policy's words absurd.
# A speed counts as shortened from this share beyond its limit on: a row at it in float32 may
# be beyond by 1e-7, and rotated or summed by a little more.
COUNTED = 1e-4
LEAST_ABSURD = {'m/s': 0.4, 'rad/s': 2.4}


@dataclass(frozen=True)
class CommandLimits:
    """
    What the gate lets through of twists.

    linear: m/s and angular: rad/s, the greatest length of each half of a twist.
    reject_factor: a command beyond this many times a limit is a fault, not a big step; limits
    below LEAST_ABSURD count as that here.
    linear_acceleration, linear_jerk: m/s2, m/s3, and angular_ alike, rad/s2, rad/s3: the
    greatest length of the change; infinite for none.
    axes: [6] m/s and rad/s, of each component on top of that, in the twist's frame.
    workspace_low, workspace_high: [3] m, of the end effector's origin in base_frame; infinite
    where a side is open.
    first_linear: m, first_angular: rad; the first target of an absolute action may be this far
    from the measured pose.
    trip_count: so many shortened commands within trip_window_s are a fault; 0 for none.
    Lists are kept as tuples of floats. Raises ConfigError.
    """

    linear: float
    angular: float
    reject_factor: float = 5.0
    linear_acceleration: float = FREE
    angular_acceleration: float = FREE
    linear_jerk: float = FREE
    angular_jerk: float = FREE
    axes: Sequence[float] | None = None
    workspace_low: Sequence[float] | None = None
    workspace_high: Sequence[float] | None = None
    first_linear: float = FREE
    first_angular: float = FREE
    trip_count: int = 0
    trip_window_s: float = 10.0

    size = 6

    def __post_init__(self):
        """Raise ConfigError for numbers that limit nothing or everything."""
        _check_positive(self, 'linear', 'angular', 'trip_window_s', may_be_free=False)
        _check_positive(self, 'linear_acceleration', 'angular_acceleration', 'linear_jerk',
                        'angular_jerk', 'first_linear', 'first_angular')
        _check_common(self)
        for name, count in (('axes', 6), ('workspace_low', 3), ('workspace_high', 3)):
            _keep_numbers(self, name, count)
        if self.axes is not None and min(self.axes) <= 0:
            raise ConfigError(f'axes (max_axis_speeds) are {list(self.axes)}, expected six speeds '
                              'above 0')
        self._check_workspace()

    @property
    def has_workspace(self) -> bool:
        """Whether the end effector has to stay in a box."""
        return self.workspace_low is not None

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return low and high [3] of the workspace, None without one."""
        return (np.array(self.workspace_low), np.array(self.workspace_high)) \
            if self.has_workspace else None

    @cached_property
    def groups(self) -> tuple[tuple[slice, Dynamics], ...]:
        """Return the halves of a twist, with their limits."""
        return tuple(
            (part, Dynamics(
                3, speed if self.axes is None else both(speed, box(self.axes[part])),
                ball(getattr(self, f'{name}_acceleration')), ball(getattr(self, f'{name}_jerk'))))
            for name, part in (('linear', slice(0, 3)), ('angular', slice(3, 6)))
            for speed in [ball(getattr(self, name))])

    def absurd(self, velocity: Sequence[float]) -> str | None:
        """Return why a twist [6] is nonsense, None if it is not."""
        for name, part, unit in (('linear', velocity[:3], 'm/s'),
                                 ('angular', velocity[3:], 'rad/s')):
            limit = getattr(self, name)
            most, length = _most(limit, unit, self.reject_factor), math.hypot(*part)
            if length > most:
                return (f'has a {name} speed of {length:.3g} {unit}, more than the {most:.3g} '
                        f'{unit} that reject_factor {self.reject_factor:g} makes of the limit of '
                        f'{limit:g} {unit}: is a scale wrong, or dt?')
        return None

    def _check_workspace(self) -> None:
        low, high = self.workspace_low, self.workspace_high
        if (low is None) != (high is None):
            raise ConfigError('workspace_low and workspace_high go together: set both, or none; '
                              f'found {low} and {high}')
        if low is not None and not all(a < b for a, b in zip(low, high)):
            raise ConfigError(f'workspace_low is {list(low)} and workspace_high {list(high)}: '
                              'expected each number of the first below that of the second [m]')


@dataclass(frozen=True)
class JointLimits:
    """
    What the gate lets through of joint velocities.

    velocity: [n] rad/s, m/s where a joint slides; acceleration, jerk: [n], infinite or None
    for none.  lower, upper: [n] positions, infinite or None for none, from each of which `margin`
    is kept.
    whole: a joint at its position limit stops all, as it must where they follow a straight line
    in space; otherwise it stops alone.
    first: how far the first target of an absolute action may be from the measured joints.
    names: of the joints, for messages.  For reject_factor and trip_ see CommandLimits.
    Lists are kept as tuples of floats. Raises ConfigError.
    """

    velocity: Sequence[float]
    acceleration: Sequence[float] | None = None
    jerk: Sequence[float] | None = None
    lower: Sequence[float] | None = None
    upper: Sequence[float] | None = None
    margin: float = 0.0
    whole: bool = False
    reject_factor: float = 5.0
    first: float = FREE
    trip_count: int = 0
    trip_window_s: float = 10.0
    names: Sequence[str] = ()

    box = None

    def __post_init__(self):
        """Raise ConfigError for numbers that limit nothing or everything."""
        count = len(self.velocity)
        for name, free in (('velocity', None), ('acceleration', FREE), ('jerk', FREE),
                           ('lower', -FREE), ('upper', FREE)):
            if getattr(self, name) is None and free is not None:
                object.__setattr__(self, name, (free,) * count)
            _keep_numbers(self, name, count, may_be_free=name != 'velocity')
        _check_positive(self, 'first')
        _check_positive(self, 'trip_window_s', may_be_free=False)
        _check_common(self)
        self._check_signs(count)
        object.__setattr__(self, 'names', tuple(self.names) or tuple(
            f'joint {index + 1}' for index in range(count)))

    @property
    def size(self) -> int:
        """Return the number of joints."""
        return len(self.velocity)

    @cached_property
    def groups(self) -> tuple[tuple[slice, Dynamics], ...]:
        """Return all joints as one group: a step is shortened as a whole."""
        return ((slice(0, self.size), Dynamics(
            self.size, box(self.velocity), box(self.acceleration), box(self.jerk))),)

    @cached_property
    def _absurdity(self) -> Size:
        return box([_most(limit, 'rad/s', self.reject_factor) for limit in self.velocity])

    @property
    def has_range(self) -> bool:
        """Whether any joint has a position limit."""
        return any(map(math.isfinite, (*self.lower, *self.upper)))

    def absurd(self, velocity: Sequence[float]) -> str | None:
        """Return why joint velocities [n] are nonsense, None if they are not."""
        if self._absurdity(velocity) <= 1.0:
            return None
        for name, speed, limit in zip(self.names, velocity, self.velocity):
            most = _most(limit, 'rad/s', self.reject_factor)
            if abs(speed) > most:
                return (f'moves {name} at {speed:.3g} rad/s, more than the {most:.3g} rad/s that '
                        f'reject_factor {self.reject_factor:g} makes of its limit of {limit:g} '
                        'rad/s: is a scale wrong, or dt?')
        return None

    def _check_signs(self, count: int) -> None:
        if not count:
            raise ConfigError('velocity limits are empty, expected one a joint')
        for name in ('velocity', 'acceleration', 'jerk'):
            if min(getattr(self, name)) <= 0:
                raise ConfigError(f'{name} limits of the joints are {list(getattr(self, name))}, '
                                  'expected numbers above 0')
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise ConfigError(f'margin to the joint limits is {self.margin}, expected 0 or more')
        for index, (low, high) in enumerate(zip(self.lower, self.upper)):
            if not low + self.margin < high - self.margin:
                raise ConfigError(f'joint {index + 1} may move from {low:g} to {high:g}, which '
                                  f'leaves nothing with a margin of {self.margin:g} at both ends')
        if self.names and len(self.names) != count:
            raise ConfigError(f'{len(self.names)} names for {count} joints: {list(self.names)}')


def _most(limit: float, unit: str, factor: float) -> float:
    """Return the speed beyond which a command is nonsense."""
    return factor * max(limit, LEAST_ABSURD[unit])


def _check_common(limits) -> None:
    if not (_is_real(limits.reject_factor) and 1 <= limits.reject_factor < FREE):
        raise ConfigError(f'reject_factor is {limits.reject_factor}, expected a number >= 1')
    if not is_count(limits.trip_count) or limits.trip_count < 0:
        raise ConfigError(f'trip_count is {limits.trip_count!r}, expected a whole number, 0 for '
                          'never')


def _check_positive(limits, *names: str, may_be_free: bool = True) -> None:
    for name in names:
        value = getattr(limits, name)
        if not (_is_real(value) and 0 < value and (may_be_free or value < FREE)):
            raise ConfigError(f'{name} limit is {value!r}, expected a number above 0'
                              + (', infinite for none' if may_be_free else ''))


def _keep_numbers(limits, name: str, count: int, may_be_free: bool = True) -> None:
    """Make a tuple of floats of a list; None stays None."""
    value = getattr(limits, name)
    if value is None:
        return
    numbers = list(value)
    if len(numbers) != count or not all(
            _is_real(x) and (may_be_free or math.isfinite(x)) for x in numbers):
        raise ConfigError(f'{name} is {numbers}, expected {count} numbers')
    object.__setattr__(limits, name, tuple(map(float, numbers)))


def _is_real(value) -> bool:
    """Whether a value is a number, maybe infinite; NaN, True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and value == value
