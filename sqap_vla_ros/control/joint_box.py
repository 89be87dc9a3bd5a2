# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Joint velocities that keep the end effector in its workspace.

The gate of twists keeps a box for straight lines. Joints leave those: they speed up and slow down
within limits of their own, and what they do in a period bends. So where a velocity leads is looked
at once more. Joints that could not be braked in time are braked now, within their acceleration;
what still leads out is drawn back along the wall, or shortened, whatever acceleration that takes.
"""

from __future__ import annotations

import numpy as np

from .inverse_kinematics import InverseKinematics

SLACK_M = 1e-3  # by which braking may seem to end outside: places bend, and are looked at again
BENT_M = 1e-4  # behind a wall, so little comes from that: the way leads back inside
INSIDE_M = 1e-9  # that a correction leads further inside than the wall
ROUNDS = 4  # of corrections
HALVINGS = 20


class JointBox:
    """
    The box, seen from where the joints were told to be.

    box: (low, high), [3] m each, in base_frame.  reference: [n].  Behind a wall the end effector
    may go no further out, and the way back is open.  A velocity of nothing always fits.
    """

    def __init__(self, inverse: InverseKinematics, box, reference: np.ndarray, period_s: float):
        """Look from the reference."""
        self._inverse, self._reference, self._period_s = inverse, reference, period_s
        place, (low, high) = inverse.kinematics.forward(reference).translation, box
        self._low = np.where(place > low - BENT_M, low, np.minimum(low, place))
        self._high = np.where(place < high + BENT_M, high, np.maximum(high, place))
        limits = inverse.limits
        margin = 0.5 * limits.margin
        self._lower = np.minimum(np.array(limits.lower) + margin, reference)
        self._upper = np.maximum(np.array(limits.upper) - margin, reference)

    def out_m(self, velocity: np.ndarray, time_s: float) -> np.ndarray:
        """Return how far [3] out of the box velocities [n] lead within a time."""
        joints = self._reference + time_s * velocity
        place = self._inverse.kinematics.forward(joints).translation
        return place - np.clip(place, self._low, self._high)

    def can_brake(self, velocity: np.ndarray) -> bool:
        """Return whether joints that go on for a period can still be braked inside."""
        time_s = self._period_s + 0.5 * stop_s(velocity, self._inverse.limits.acceleration)
        return float(np.abs(self.out_m(velocity, time_s)).max()) <= SLACK_M

    def kept(self, velocity: np.ndarray, other: np.ndarray) -> np.ndarray:
        """
        Return the velocity, or what of it stays inside over the next period.

        other: what is shortened instead, where it can't be drawn back.
        """
        drawn = velocity
        for _ in range(ROUNDS):
            if self._fits(drawn):
                return drawn
            drawn = self._drawn_back(drawn)
        return self._shortened(other)

    def _fits(self, velocity: np.ndarray) -> bool:
        """Return whether velocities stay inside, and within the limits of the joints."""
        ahead = self._reference + self._period_s * velocity
        return not velocity.any() or bool(
            (np.abs(velocity) <= np.array(self._inverse.limits.velocity) * (1 + 1e-9)).all()
            and (ahead >= self._lower).all() and (ahead <= self._upper).all()
            and not self.out_m(velocity, self._period_s).any())

    def _drawn_back(self, velocity: np.ndarray) -> np.ndarray:
        """Return a velocity that ends, nearly, where the wall is."""
        out_m = self.out_m(velocity, self._period_s)
        back = np.zeros(6)
        back[:3] = -(out_m + INSIDE_M * np.sign(out_m)) / self._period_s
        ahead = self._reference + 0.5 * self._period_s * velocity
        return velocity + self._inverse.step(ahead, back, self._period_s).velocity

    def _shortened(self, velocity: np.ndarray) -> np.ndarray:
        """Return the greatest share of a velocity that stays inside."""
        if self._fits(velocity):
            return velocity
        least, most = 0.0, 1.0
        for _ in range(HALVINGS):
            share = 0.5 * (least + most)
            least, most = (share, most) if self._fits(share * velocity) else (least, share)
        return least * velocity


def stop_s(velocity: np.ndarray, acceleration) -> float:
    """Return how long braking takes from velocities [n]."""
    return float(np.max(np.abs(velocity) / np.array(acceleration)))


def slowed(velocity: np.ndarray, acceleration, time_s: float) -> np.ndarray:
    """Return what is left of velocities [n] that are braked for a time."""
    needed_s = stop_s(velocity, acceleration)
    return velocity * (max(0.0, 1.0 - time_s / needed_s) if needed_s else 0.0)
