# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where an image shows the frames of the robot, if it does, in words."""

from dataclasses import dataclass

import numpy as np

from ..errors import ObservationError

IS_OPTICAL = ('is {!r} an optical frame (x right, y down, z forward), and does the camera see '
              'the robot?')


@dataclass(frozen=True, eq=False)
class View:
    """
    Frames as one camera sees them.

    points: float64 [M, 3] in the camera frame, m.  pixels: [M, 2], NaN where there is none.
    image_size: (height, width).  camera_frame, parameter: for messages, the latter names frames.
    """

    frames: tuple
    points: np.ndarray
    pixels: np.ndarray
    image_size: tuple[int, int]
    camera_frame: str
    parameter: str = 'end_effector_frames'

    def __str__(self) -> str:
        """Say where each frame is."""
        return f'{", ".join(map(self._where, range(len(self.frames))))}, in {self._size}'

    def off_image(self) -> list[str]:
        """
        Return a warning that names the frames which the image does not show, [] if all.

        A camera frame that is not optical is the common reason.
        """
        height, width = self.image_size
        u, v = self.pixels.T
        shown = (-0.5 <= u) & (u < width - 0.5) & (-0.5 <= v) & (v < height - 0.5)  # not NaN
        hidden = [self._where(index) for index in np.flatnonzero(~shown)]
        return [f'{", ".join(hidden)}, off {self._size}: '
                + IS_OPTICAL.format(self.camera_frame)] if hidden else []

    def check_in_front(self) -> None:
        """Raise ObservationError for frames behind the lens."""
        behind = [self._where(index) for index in np.flatnonzero(self.points[:, 2] <= 0)]
        if behind:
            raise ObservationError(
                f'{", ".join(behind)}, off {self._size}: ' + IS_OPTICAL.format(self.camera_frame)
                + f' Else name other {self.parameter}')

    @property
    def _size(self) -> str:
        return f'the image of {self.image_size[1]} x {self.image_size[0]}'

    def _where(self, index) -> str:
        frame, depth_m, (u, v) = (
            self.frames[index], self.points[index, 2], self.pixels[index])
        if np.isfinite([u, v]).all():
            return f'{frame} projects to pixel ({u:.1f}, {v:.1f})'
        if depth_m <= 0:
            return f'{frame} lies {-depth_m:.3f} m behind the lens'
        return f'{frame} lies beyond the angle up to which the distortion in camera_info holds'
