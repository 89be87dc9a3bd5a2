# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Limits as the judge reads them: by their definition, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
import math

import numpy as np

from ...control.limits import CommandLimits, JointLimits


@dataclass(frozen=True)
class Group:
    """
    What is limited together: half a twist by its length, joints one by one.

    speeds, accelerations, jerks: one number, or one a joint.  axes: speeds by component, too.
    bounds: low and high [k] of the place, None for none.
    """

    name: str
    part: slice
    speeds: np.ndarray
    accelerations: np.ndarray
    jerks: np.ndarray
    is_length: bool
    axes: np.ndarray | None = None
    bounds: tuple | None = None

    def of(self, vector: np.ndarray) -> np.ndarray:
        """Return the components of this group."""
        return vector[self.part]

    def speed(self, vector: np.ndarray) -> float:
        """Return how many times the speed limit a velocity is."""
        most = self._over(vector, self.speeds)
        if self.axes is None:
            return most
        return max(most, float(np.max(np.abs(self.of(vector)) / self.axes)))

    def acceleration(self, vector: np.ndarray) -> float:
        """Return how long a change of velocity takes at the acceleration limit, s."""
        return self._over(vector, self.accelerations)

    def jerk(self, vector: np.ndarray) -> float:
        """Return a change of velocity over the jerk limit, s2."""
        return self._over(vector, self.jerks)

    def gain_s(self, before: np.ndarray, after: np.ndarray) -> float:
        """Return how long it takes to gain the speed that is gained, s."""
        if self.is_length:
            gain = np.linalg.norm(self.of(after)) - np.linalg.norm(self.of(before))
        else:
            gain = np.abs(self.of(after)) - np.abs(self.of(before))
        return float(np.max(gain / self.accelerations))

    def shortened(self, wanted: np.ndarray, scale: float) -> np.ndarray:
        """Return a wanted velocity as the speed limits leave it."""
        over = self.speed(wanted)
        return wanted * (scale / over) if over > scale else wanted

    def off_line(self, vector: np.ndarray, line: np.ndarray) -> float:
        """Return how far a velocity is beside a line, or beyond its ends; of the speed limit."""
        one, other = self.of(vector), self.of(line)
        length = float(other @ other)
        share = float(np.clip(one @ other / length, 0.0, 1.0)) if length else 0.0
        return float(np.max(np.abs(one - share * other))) / self.top_speed

    def is_out(self, place: np.ndarray) -> bool:
        """Return whether a place is beyond the bounds."""
        return bool((place < self.bounds[0]).any() or (place > self.bounds[1]).any())

    @property
    def is_bounded(self) -> bool:
        """Whether the place is limited, too."""
        return self.bounds is not None

    @cached_property
    def has_acceleration(self) -> bool:
        """Whether any acceleration is limited."""
        return bool(np.isfinite(self.accelerations).any())

    @cached_property
    def has_jerk(self) -> bool:
        """Whether any jerk is limited."""
        return bool(np.isfinite(self.jerks).any())

    @cached_property
    def top_speed(self) -> float:
        """Return the greatest of the speed limits."""
        return float(np.max(self.speeds))

    @cached_property
    def rounding_s(self) -> float:
        """Return the time that a rounding error of the speed takes at the acceleration limit."""
        return float(np.max(1e-14 * self.speeds / self.accelerations))

    @cached_property
    def jerk_rounding(self) -> float:
        """Return the same at the jerk limit, s2; a sum of velocities is off by several."""
        return float(np.max(1e-9 * self.speeds / self.jerks))

    def _over(self, vector: np.ndarray, limits: np.ndarray) -> float:
        mine = vector[self.part].tolist()
        if self.is_length:
            return math.hypot(*mine) / float(limits)
        return max(abs(x) / limit for x, limit in zip(mine, limits.tolist()))


@lru_cache(maxsize=8)
def groups_of(limits: CommandLimits | JointLimits) -> tuple[Group, ...]:
    """Return what limits hold for."""
    if isinstance(limits, JointLimits):
        bounds = np.array(limits.lower) + limits.margin, np.array(limits.upper) - limits.margin
        return (Group('joints', slice(None), *map(np.array, (
            limits.velocity, limits.acceleration, limits.jerk)), False,
            bounds=bounds if np.isfinite(bounds).any() else None),)
    axes = None if limits.axes is None else np.array(limits.axes)
    box = None if limits.workspace_low is None else (
        np.array(limits.workspace_low), np.array(limits.workspace_high))
    return tuple(
        Group(name, part, *(np.array(getattr(limits, name + what)) for what in (
            '', '_acceleration', '_jerk')), True, axes if axes is None else axes[part],
            box if name == 'linear' else None)
        for name, part in (('linear', slice(0, 3)), ('angular', slice(3, 6))))
