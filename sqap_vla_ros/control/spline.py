# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Velocities at the points of a trajectory, for controllers that put a cubic between two points.

Without velocities a joint_trajectory_controller goes straight from point to point and changes
its speed at once at each. With them a cubic Hermite spline joins the points: here one that
overshoots no point (Fritsch and Carlson, 1980), so positions within limits stay within limits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STEEPEST = 3.0  # times the mean velocity on either side, up to which nothing overshoots


def point_velocities(start: np.ndarray, times_s: Sequence[float], positions: np.ndarray,
                     most: Sequence[float]) -> np.ndarray:
    """
    Return velocities [M, n] at the points of a trajectory, rad/s or m/s; zero at the last.

    start: [n], where it begins at time 0.  times_s: [M], increasing, above 0.  positions: [M, n]
    rad or m.  most: [n], the velocity limits.  At a point between two others it is that of the
    parabola through the three; zero where the joint turns back or stood before it; a controller
    refuses a trajectory that does not end at rest.
    """
    spans = np.diff(np.concatenate([[0.0], np.asarray(times_s, np.float64)]))[:, None]
    slopes = np.diff(np.vstack([start, positions]), axis=0) / spans
    velocities = np.zeros_like(slopes)
    before, after = slopes[:-1], slopes[1:]
    parabola = (before * spans[1:] + after * spans[:-1]) / (spans[1:] + spans[:-1])
    steepest = STEEPEST * np.minimum(np.abs(before), np.abs(after))
    bound = np.minimum(steepest, np.asarray(most, np.float64))
    velocities[:-1] = np.where(before * after > 0.0, np.clip(parabola, -bound, bound), 0.0)
    return velocities
