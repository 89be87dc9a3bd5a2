# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From what the user knows, a point or a board, to where points of the base frame are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .boards import Board
from .trials import Evidence
from ..errors import ConfigError, ObservationError
from ..geometry.poses import pose_matrix, transform_points

CLICK_NOISE_PX = 4.0  # at 640 pixels across
STILL_M = 0.005


@dataclass(frozen=True)
class Point:
    """A frame's origin is seen at pixel (u, v) of the published image."""

    frame: str
    u: float
    v: float


def point_from_text(text: str, default_frame: str) -> Point:
    """Return the point of 'u,v' or 'FRAME=u,v'; raise ConfigError."""
    frame, _, numbers = text.rpartition('=')
    try:
        u, v = (float(number) for number in numbers.replace(',', ' ').split())
    except ValueError:
        raise ConfigError(f'--point is {text!r}, expected u,v or FRAME=u,v in pixels, such as '
                          f'412,230 or {default_frame}=412,230') from None
    if not np.isfinite([u, v]).all():
        raise ConfigError(f'--point is {text!r}, expected finite pixels')
    return Point(frame or default_frame, u, v)


def evidence_of_points(samples, points) -> tuple[list[Evidence], float]:
    """
    Return the evidence of points on all samples, and how exactly they are known, px.

    Raises ObservationError for a point off the image, or of a frame that moved meanwhile.
    """
    for point in points:
        _check_on_image(point, samples[-1])
        _check_still(point, samples)
    names = tuple(point.frame for point in points)
    pixels = np.array([[point.u, point.v] for point in points])
    evidence = [Evidence(sample, np.array([sample.frames[name][:3, 3] for name in names]), pixels,
                         names) for sample in samples]
    return evidence, CLICK_NOISE_PX * max(1.0, max(samples[-1].size) / 640)


def _check_on_image(point, sample):
    width, height = sample.size
    if not (-0.5 <= point.u < width - 0.5 and -0.5 <= point.v < height - 0.5):
        raise ObservationError(
            f'--point ({point.u:g}, {point.v:g}) is off the image of {width} x {height}: u is '
            f'the column, 0 to {width - 1} from the left, v the row, 0 to {height - 1} from the '
            'top')


def _check_still(point, samples):
    places = np.array([sample.frames[point.frame][:3, 3] for sample in samples])
    moved_m = float(np.linalg.norm(places - places[0], axis=1).max())
    if moved_m > STILL_M:
        raise ObservationError(
            f'{point.frame} moved by {1e3 * moved_m:.0f} mm while it was looked at, but --point '
            'is of one moment: keep the arm still, or take --samples 1')


def evidence_of_board(samples, board: Board, frame: str, pose_in_frame=None):
    """
    Return (evidence, its noise in px) of a board that is fixed to a TF frame.

    pose_in_frame: [4, 4] of the board in it, None if they are one.  Samples that do not show the
    board are left out; raises ObservationError, with why, if none does.
    """
    evidence, why = [], ''
    for sample in samples:
        try:
            points, pixels = board.found(sample.image)
        except ObservationError as error:
            why = str(error)
            continue
        pose = sample.frames[frame] @ (np.eye(4) if pose_in_frame is None else pose_in_frame)
        evidence.append(Evidence(sample, transform_points(pose, points), pixels,
                                 tuple(f'corner {number}' for number in range(len(points)))))
    if not evidence:
        raise ObservationError(why + f' (in none of {len(samples)} images)')
    return evidence, board.noise_px


def pose_from_numbers(numbers) -> np.ndarray:
    """Return [4, 4] of x y z [m] and qx qy qz qw; raise ConfigError."""
    try:
        return pose_matrix(numbers[:3], numbers[3:])
    except ObservationError as error:
        raise ConfigError(f'--board-pose: {error}; expected x y z in metres and qx qy qz qw '
                          'of length 1') from error
