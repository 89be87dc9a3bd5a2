# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The judge's own book of what has to be latched, and what must not be."""

from __future__ import annotations

from collections.abc import Iterator
import math

import numpy as np

from .lengths import groups_of
from .playing import Tick
from .scenarios import Scenario
from ...control.limits import JointLimits, LEAST_ABSURD

CLOSE = 1e-9  # how near to a threshold either answer is right


class FaultBook:
    """What is latched, by the ticks from outside."""

    def __init__(self, scenario: Scenario):
        """Begin without a fault."""
        self._scenario = scenario
        self._is_latched, self._is_sure = False, True
        self._shortened_ns, self._may_have_cut = [], False
        self._goes_back = bool((np.diff(scenario.times_ns) < 0).any())

    def unsafe(self, tick: Tick, stands: bool) -> Iterator[str]:
        """
        Yield what passed although it had to be latched, and what was latched without a reason.

        stands: whether the arm stood before this tick.
        """
        for name in tick.events:
            if name == 'stop':
                self._is_latched = True
            if name == 'resume':
                self._is_latched, self._shortened_ns, self._may_have_cut = False, [], False
        reason = None if tick.wanted is None or self._is_latched else self._reason(tick, stands)
        if reason == 'unsure':
            self._is_latched = tick.fault is not None
        elif reason:
            self._is_latched = True
        if self._is_latched and (tick.velocity is not None or tick.fault is None):
            yield f'passed in spite of a fault ({reason or "latched before"})'
        if not self._is_latched and tick.fault is not None:
            yield f'needless: it latched {tick.fault!r}'

    def _reason(self, tick: Tick, stands: bool) -> str | None:
        """Return why this tick has to be latched; 'unsure' where both answers are right."""
        told = [*tick.wanted.tolist(), tick.gripper_in or 0.0,
                *(() if tick.target is None else tick.target.tolist())]
        if not all(map(math.isfinite, told)):
            return 'not finite'
        if tick.target is None:
            over = _absurdity(tick)
            if abs(over - 1) < CLOSE:
                return 'unsure'
            if over > 1:
                return 'absurdly fast'
        elif stands:
            reason = _far(tick)
            if reason:
                return reason
        return self._trip(tick)

    def _trip(self, tick: Tick) -> str | None:
        """Count what is beyond a speed limit; what leads out of bounds is the gate's to count."""
        count = tick.limits.trip_count
        groups = groups_of(tick.limits)
        is_bounded = any(group.is_bounded for group in groups)
        over = max(group.speed(tick.wanted) for group in groups)
        if over > 1 + CLOSE and not (is_bounded and tick.seen is None):
            self._shortened_ns.append(tick.now_ns)
        self._may_have_cut |= is_bounded  # as long as those count
        if not count:
            return None
        if self._goes_back or self._may_have_cut or abs(over - 1) < CLOSE:
            return 'unsure'
        since_ns = tick.now_ns - tick.limits.trip_window_s * 1e9
        recent = [at for at in self._shortened_ns if at >= since_ns]
        return 'tripped' if over > 1 and len(recent) >= count else None


def _absurdity(tick: Tick) -> float:
    """Return how many times the greatest speed that makes sense was wanted."""
    limits = tick.limits
    wanted, turn = tick.wanted.tolist(), LEAST_ABSURD['rad/s']
    if isinstance(limits, JointLimits):
        speeds = [abs(speed) / max(limit, turn) for speed, limit in zip(wanted, limits.velocity)]
    else:
        speeds = [math.hypot(*wanted[:3]) / max(limits.linear, LEAST_ABSURD['m/s']),
                  math.hypot(*wanted[3:]) / max(limits.angular, turn)]
    return max(speeds) / limits.reject_factor


def _far(tick: Tick) -> str | None:
    """Return why a first target is too far, 'unsure' near the threshold."""
    limits = tick.limits
    is_joints = isinstance(limits, JointLimits)
    limit = [limits.first] if is_joints else [limits.first_linear, limits.first_angular]
    if np.isinf(limit).all():
        return None
    if tick.seen is None:
        return 'not seen'
    place, turn = tick.seen
    off = [np.max(np.abs(tick.target - place))] if is_joints else [
        np.linalg.norm(tick.target[:3] - place), _angle(tick.target[3:], turn)]
    over = float(np.max(np.array(off) / limit))
    if abs(over - 1) < 1e-6:
        return 'unsure'
    return 'far away' if over > 1 else None


def _angle(quaternion: np.ndarray, turn: np.ndarray) -> float:
    """Return the angle between an orientation (x, y, z, w) and a rotation matrix."""
    vector, real = quaternion[:3], quaternion[3]
    cross = np.cross(np.eye(3), vector)  # rows: the axes times the vector
    matrix = np.eye(3) + 2 * real * -cross.T + 2 * (np.outer(vector, vector)
                                                    - (vector @ vector) * np.eye(3))
    relative = matrix @ turn.T
    sine = 0.5 * np.linalg.norm([relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0],
                                 relative[1, 0] - relative[0, 1]])
    return math.atan2(sine, 0.5 * (np.trace(relative) - 1))
