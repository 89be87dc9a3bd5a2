# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far, and in which way, points lie from where they are projected to."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

SPREAD_PX = 20.0  # points closer together tell nothing of scale and rotation
POINTS = 3
DOMINANT = 2.0  # how much larger one part has to be than the others, to be named


@dataclass(frozen=True)
class Offset:
    """
    Observed less projected, in pixels.

    median_px, p95_px, largest_px: of the lengths.  shift: mean [2] (u right, v down).  scale,
    rotation_rad: of the similarity about the points' centre that takes projected to observed,
    clockwise as seen; None where the points are too few or too close.  spread_px: root mean square
    distance of the points from their centre.  rest_px: root mean square of what the similarity
    leaves.
    """

    count: int
    median_px: float
    p95_px: float
    largest_px: float
    shift: tuple[float, float]
    scale: float | None
    rotation_rad: float | None
    spread_px: float
    rest_px: float

    @property
    def margin_px(self) -> float:
        """Return calibration_error_px: p95 rounded up to a whole pixel, 1 at least."""
        return float(max(1, math.ceil(self.p95_px - 1e-9)))

    @property
    def direction(self) -> str:
        """Return in words where observed points lie of projected ones."""
        u, v = self.shift
        words = [f'{abs(length):.1f} px {names[length > 0]}' for length, names in
                 ((u, ('to the left', 'to the right')), (v, ('up', 'down')))
                 if abs(length) >= 0.05]
        return ' and '.join(words) or 'nowhere'

    def kind(self, focal_px: float) -> str:
        """Return in words what kind of offset it is, and what that suggests."""
        shift = math.hypot(*self.shift)
        degrees = math.degrees(math.atan(shift / focal_px))
        suggests = (f'suggests the principal point, or a camera that is turned by '
                    f'{degrees:.2f} degrees')
        if self.scale is None:
            return f'a shift of {shift:.1f} px, {self.direction}, which {suggests}; one place ' \
                   'cannot tell it from a scale or a rotation'
        parts = {'shift': shift, 'scale': abs(self.scale - 1) * self.spread_px,
                 'rotation': abs(self.rotation_rad) * self.spread_px, 'rest': self.rest_px}
        told = {
            'shift': f'a constant shift of {shift:.1f} px, {self.direction}, which {suggests}',
            'scale': f'a scale of {self.scale:.4f} about the middle of the points, which suggests '
                     'the focal length, the image size, or the distance of the camera',
            'rotation': f'a rotation by {math.degrees(self.rotation_rad):+.2f} degrees '
                        '(clockwise), which suggests a camera that is rolled about its axis',
            'rest': f'none of shift, scale and rotation: they leave {self.rest_px:.1f} px, which '
                    'suggests the distortion, wrong times (is the arm still?), or the board'}
        largest = max(parts, key=parts.get)
        others = [name for name in parts if name != largest
                  and parts[name] * DOMINANT > parts[largest] and parts[name] > 0.5]
        return '; and '.join(told[name] for name in (largest, *others))


def offset_of(observed, projected) -> Offset:
    """Return the Offset of pixels [N, 2]; one that is projected nowhere is infinitely far off."""
    observed, projected = np.asarray(observed, float), np.asarray(projected, float)
    valid = np.isfinite(projected).all(axis=1)
    lengths = np.where(valid, np.linalg.norm(observed - projected, axis=1), math.inf)
    observed, projected = observed[valid], projected[valid]
    difference = observed - projected
    shift = difference.mean(axis=0) if len(difference) else np.full(2, math.nan)
    scale, rotation, spread, rest = _similarity(observed, projected)
    return Offset(len(lengths), _quantile(lengths, 0.5), _quantile(lengths, 0.95),
                  float(lengths.max(initial=0.0)), (float(shift[0]), float(shift[1])),
                  scale, rotation, spread, rest)


def _quantile(lengths, share) -> float:
    """Return a length that is there: of a few, the larger one."""
    return float(np.quantile(lengths, share, method='higher')) if len(lengths) else math.inf


def _similarity(observed, projected):
    """Return (scale, rotation in rad, spread, what is left), the first two None if unknown."""
    if len(observed) < POINTS:
        return None, None, 0.0, 0.0
    first, second = (points - points.mean(axis=0) for points in (projected, observed))
    spread = float(np.sqrt((first ** 2).sum(axis=1).mean()))
    if spread < SPREAD_PX:
        return None, None, spread, 0.0
    before, after = (points[:, 0] + 1j * points[:, 1] for points in (first, second))
    factor = np.vdot(before, after) / np.vdot(before, before)
    rest = float(np.sqrt((np.abs(after - factor * before) ** 2).mean()))
    return float(abs(factor)), float(np.angle(factor)), spread, rest
