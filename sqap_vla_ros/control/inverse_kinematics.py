# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Joint velocities that give the end effector a twist: damped least squares, within joint limits.

With W J = U S V' (lengths in units of the arm's reach, angles times ANGLE_WEIGHT), a direction u_i
of the twist is done by s_i / (s_i^2 + d_i^2) v_i. The damping d_i is 0 while s_i is at least
DAMPED_BELOW and rises to half of that as s_i falls to nothing, so what a singularity does not
concern is done exactly (numerical filtering: Maciejewski and Klein, 1988; the rise: Chiaverini,
1997). Where something has to give way, it is rather the hand's turning than its place.

A joint that comes too near to its position limit is held to what can still be braked: nothing at
the limit and behind it, while the way back is free. The others are solved for anew: where the arm
has joints to spare they take over, elsewhere they come as near to the twist as they can.

Then all joints are slowed down by one factor, so that the direction is kept: to the speed limit of
the worst one, and where the hand would go astray, from ASTRAY[0] (as the sine of the angle between
the twist asked for and the one that is possible) on, down to a stand-still at ASTRAY[1]. So an arm
at the end of its reach stops and does not slide along it. Where the motion leads out of a
singularity it goes on all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kinematics import Kinematics
from .limits import JointLimits
from ..errors import ConfigError

ANGLE_WEIGHT, TILT_WEIGHT = 0.1, 0.3  # of a radian, where the reach is 1: to solve, to compare
DAMPED_BELOW = 0.02
ASTRAY = (0.2, 0.5)
NUDGE = 1e-3  # rad or m off an exact singularity, where no direction is better than another
EXACT = 1e-4
PROBE = 0.01  # rad or m ahead, to see whether a singularity is left
LEAST = 1e-9


@dataclass(frozen=True)
class Step:
    """
    Joint velocities, and what they leave of the twist that was asked for.

    velocity: float64 [n], rad/s or m/s.  share: 0..1, the speed that is left of the one asked
    for.  astray: 0..1, the sine of the angle between the two twists.  blocked: joints at their
    position limits, by index.  singular: whether some direction is damped.
    """

    velocity: np.ndarray
    share: float
    astray: float
    blocked: tuple[int, ...]
    singular: bool


class InverseKinematics:
    """
    Turns twists of an arm's end effector into joint velocities.

    position_only: the twist's angular half is not asked for, as of an arm of 3 to 5 joints.
    limits: of velocity, acceleration (to brake before a position limit), lower, upper, margin.
    """

    def __init__(self, kinematics: Kinematics, limits: JointLimits, position_only: bool = False):
        """Raise ConfigError for an arm with too few joints, or limits of another number."""
        self.kinematics, self.limits, self.rows = kinematics, limits, 3 if position_only else 6
        _check_count(kinematics, limits, self.rows)
        self._weights = np.repeat([1.0 / kinematics.reach, ANGLE_WEIGHT], 3)[:self.rows]
        self._compared = np.repeat([1.0, TILT_WEIGHT / ANGLE_WEIGHT], 3)[:self.rows]
        self._speed = np.array(limits.velocity)
        self._acceleration = np.array(limits.acceleration)
        self._low = np.array(limits.lower) + limits.margin
        self._high = np.array(limits.upper) - limits.margin
        is_bounded = np.isfinite(self._low) & np.isfinite(self._high)
        ends = np.where(is_bounded, [self._low, self._high], 0.0)
        self._middle = 0.5 * ends.sum(axis=0)

    def step(self, joints: np.ndarray, twist: np.ndarray, period_s: float,
             frame: str = 'base') -> Step:
        """
        Return the joint velocities for a twist [6] over the next period, from joints [n].

        frame: see Kinematics.jacobian.  They are those of the middle of the way, so that a
        straight line stays one.
        """
        room = self._room(joints, period_s)
        first = self._solved(joints, twist, frame, room)
        return self._solved(joints + 0.5 * period_s * first.velocity, twist, frame, room)

    def _room(self, joints: np.ndarray, period_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the velocities [n], at most 0 and at least 0, from which joints can be braked."""
        ends = []
        for way in (joints - self._low, self._high - joints):
            is_free, way = np.isinf(way), np.where(np.isinf(way), 0.0, np.maximum(way, 0.0))
            # v T + v^2 / (2 a) = way, written so that an infinite a gives v = way / T
            slowed = np.sqrt(period_s ** 2 + 2.0 * way / self._acceleration)
            ends.append(np.where(is_free, np.inf, 2.0 * way / (period_s + slowed)))
        return -ends[0], ends[1]

    def _solved(self, joints, twist, frame, room) -> Step:
        """Return the step with the Jacobian of one place."""
        jacobian, parts = self._decomposed(joints, frame)
        wanted = self._weights * twist[:self.rows]
        velocity, blocked = self._nearest(jacobian, parts, wanted, room)
        astray = _astray(self._compared * wanted, self._compared * (jacobian @ velocity))
        share, singular = self._paced(velocity), bool(parts[1][-1] < DAMPED_BELOW)
        leaves = singular and not blocked.any() and self._leaves(joints, velocity, frame, parts[1])
        if not leaves:
            share *= min(1.0, max(0.0, (ASTRAY[1] - astray) / (ASTRAY[1] - ASTRAY[0])))
        return Step(share * velocity, share, astray, tuple(np.flatnonzero(blocked).tolist()),
                    singular)

    def _decomposed(self, joints, frame):
        """Return a Jacobian and its singular value decomposition, beside an exact singularity."""
        jacobian = self._jacobian(joints, frame)
        parts = np.linalg.svd(jacobian, full_matrices=False)
        if parts[1][-1] < EXACT:
            jacobian = self._jacobian(joints + self._nudge(joints), frame)
            parts = np.linalg.svd(jacobian, full_matrices=False)
        return jacobian, parts

    def _nearest(self, jacobian, parts, wanted, room) -> tuple[np.ndarray, np.ndarray]:
        """Return velocities [n] that come near to a twist, and which joints are held [n]."""
        velocity, blocked = _damped(parts, wanted), np.zeros(jacobian.shape[1], bool)
        while not blocked.all():
            shared = self._paced(velocity) * velocity
            kept = np.clip(shared, *room)
            beyond = ~blocked & (kept != shared)
            if not beyond.any():
                break
            velocity[beyond] = kept[beyond]
            blocked |= beyond
            rest = wanted - jacobian[:, blocked] @ velocity[blocked]
            parts = np.linalg.svd(jacobian[:, ~blocked], full_matrices=False)
            velocity[~blocked] = _damped(parts, rest)
        return velocity, blocked

    def _paced(self, velocity: np.ndarray) -> float:
        """Return the share of velocities [n] that the speed limit of the worst joint leaves."""
        return 1.0 / max(1.0, float(np.max(np.abs(velocity) / self._speed)))

    def _leaves(self, joints, velocity, frame, values) -> bool:
        """Return whether velocities lead away from where directions are damped."""
        largest = np.max(np.abs(velocity))
        if largest < LEAST:
            return False
        ahead = self._jacobian(joints + velocity * (PROBE / largest), frame)
        return _dexterity(np.linalg.svd(ahead, compute_uv=False)) > _dexterity(values)

    def _nudge(self, joints: np.ndarray) -> np.ndarray:
        """Return an offset [n] towards the middle of each joint's range."""
        return np.where(joints > self._middle, -NUDGE, NUDGE)

    def _jacobian(self, joints: np.ndarray, frame: str) -> np.ndarray:
        return self._weights[:, None] * self.kinematics.jacobian(joints, frame)[:self.rows]


def _check_count(kinematics: Kinematics, limits: JointLimits, rows: int) -> None:
    count, names = len(kinematics.names), ', '.join(kinematics.names)
    if limits.size != count:
        raise ConfigError(f'there are limits of {limits.size} joints for the {count} of the arm: '
                          f'{names}')
    if count < rows:
        raise ConfigError(
            f'the arm has {count} joints ({names}), but {rows} numbers of a twist are to be '
            'followed: ' + ('expected at least 3 joints' if rows == 3 else 'set position_only for '
                            'an arm of 3 to 5 joints, whose hand then turns as it comes'))


def _damped(parts, twist: np.ndarray) -> np.ndarray:
    """Return the joint velocities [n] nearest to a twist [m], damped where it is singular."""
    left, values, right = parts
    damping = 0.25 * np.maximum(0.0, DAMPED_BELOW ** 2 - values ** 2)
    return right.T @ (values / np.maximum(values ** 2 + damping, LEAST ** 2) * (left.T @ twist))


def _dexterity(values: np.ndarray) -> float:
    """Return a number that falls as directions become singular."""
    return float(np.sum(np.log(np.clip(values, EXACT, DAMPED_BELOW))))


def _astray(asked: np.ndarray, given: np.ndarray) -> float:
    """Return the sine of the angle between two twists; 1 beyond a right angle, 0 for none."""
    lengths = float(np.linalg.norm(asked) * np.linalg.norm(given))
    if lengths < LEAST ** 2:
        return 0.0
    cosine = float(asked @ given) / lengths
    return 1.0 if cosine <= 0.0 else float(np.sqrt(max(0.0, 1.0 - cosine ** 2)))
