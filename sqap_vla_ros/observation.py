# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What goes into a policy and what comes out of it.

These plain records are the seam between robots (ROS, simulator, bags) and networks: both sides
import this module and neither imports the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .errors import ObservationError

PRESERVED, PROTECTED, SAMPLED, FILLED = range(4)
REASONS = ('preserved', 'protected', 'sampled', 'filled')
STATE_NAMES = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'gripper')


@dataclass(frozen=True)
class ProtectedPoints:
    """
    Image points whose surrounding patches pruning must keep.

    pixels: float64 [M, 2] (u, v) in image pixels, integers are pixel centres.
    radii_px: float64 [M], extra radius from known uncertainty, in image pixels; at most a
    quarter of the image's shorter side (geometry/uncertainty.py).
    names: one TF frame name a point.
    """

    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    radii_px: np.ndarray = field(default_factory=lambda: np.zeros(0))
    names: tuple[str, ...] = ()

    def __post_init__(self):
        """Raise ObservationError unless pixels, radii and names agree in number."""
        count = len(self.names)
        if np.shape(self.pixels) != (count, 2) or np.shape(self.radii_px) != (count,):
            raise ObservationError(
                f'protected points: {count} names need pixels [{count}, 2] and radii [{count}], '
                f'found {np.shape(self.pixels)} and {np.shape(self.radii_px)}')


@dataclass(frozen=True)
class CameraView:
    """
    What one camera shows.

    image: uint8 [H, W, 3] RGB.  stamp_ns: when it was taken, integer nanoseconds.  protected:
    see ProtectedPoints.  frame_id: TF frame of the camera's optical centre, '' where unknown.
    """

    image: np.ndarray
    stamp_ns: int
    protected: ProtectedPoints = field(default_factory=ProtectedPoints)
    frame_id: str = ''


@dataclass(frozen=True)
class Observation:
    """
    One synchronised look at the robot.

    image: uint8 [H, W, 3] RGB.  stamp_ns: when the image was taken, integer
    nanoseconds.
    instruction: what to do, in words.  protected: see ProtectedPoints.
    state: float [S] proprioception in the order of the policy's state_names, not normalised, such
    as `end_effector_state` builds it; or None.
    camera: the name of the camera that image and protected are of, '' for one without.
    views: what further cameras showed then, by name; their images were not taken later.
    """

    image: np.ndarray
    stamp_ns: int
    instruction: str
    protected: ProtectedPoints = field(default_factory=ProtectedPoints)
    state: np.ndarray | None = None
    camera: str = ''
    views: Mapping[str, CameraView] = field(default_factory=dict)

    def views_of(self, names: Sequence[str]) -> list[CameraView]:
        """
        Return what several cameras show, each of which has to be there by its name.

        Raises ObservationError, with the cameras that there are, unless all are.
        """
        there = {self.camera, *self.views}
        if missing := [name for name in names if name not in there]:
            raise ObservationError(
                f'the policy takes the images of {len(names)} cameras, {", ".join(names)}, and '
                f'{", ".join(missing)} {"is" if len(missing) == 1 else "are"} missing: the '
                f'observation has those of {_listed(there)}: give each one, by its name')
        return [self.view(name) for name in names]

    def view(self, name: str = '') -> CameraView:
        """
        Return what a camera shows; '' for the one that image and protected are of.

        An image of a camera without a name may be of any.  Raises ObservationError, with the
        cameras that there are, for another one.
        """
        if name in self.views:
            return self.views[name]
        if name and self.camera and name != self.camera:
            raise ObservationError(
                f'the observation has no image of the camera {name!r}, but of '
                f'{", ".join((self.camera, *self.views))}: give it one, or name them otherwise')
        return CameraView(self.image, self.stamp_ns, self.protected)


def _listed(cameras) -> str:
    """Return names of cameras, '' for one that has none."""
    return ', '.join(name or 'a camera without a name' for name in sorted(cameras))


@dataclass(frozen=True, eq=False)
class TokenSelection:
    """
    The tokens that are kept.

    grid: (rows, cols) of the patches of one image, numbered row by row; kept: int64 [K], sorted,
    without doubles; reason: uint8 [K], one of PRESERVED, PROTECTED, SAMPLED, FILLED.
    images: how many there are; the patches of each are numbered behind those of the one before.
    """

    grid: tuple[int, int]
    kept: np.ndarray
    reason: np.ndarray
    images: int = 1

    @property
    def total(self) -> int:
        """Return how many patches there are, in all images."""
        return self.images * self.grid[0] * self.grid[1]

    def of_image(self, index: int) -> TokenSelection:
        """Return what is kept of one image, numbered from its own first patch."""
        count = self.grid[0] * self.grid[1]
        mine = slice(*np.searchsorted(self.kept, (index * count, (index + 1) * count)))
        return TokenSelection(self.grid, self.kept[mine] - index * count, self.reason[mine])

    def counts(self):
        """Return the number of tokens kept for each reason, by its name."""
        counts = np.bincount(self.reason, minlength=len(REASONS))
        return {name: int(count) for name, count in zip(REASONS, counts)}


@dataclass(frozen=True)
class ActionChunk:
    """
    The answer to one observation.

    actions: float32 [T, A] in the units of the checkpoint's action space, row i is meant for
    stamp_ns + i * dt.  dt: seconds.  names: one name a column.  stamp_ns: of the image that is
    answered.  timings: milliseconds by stage.  selection: the visual tokens kept, None without
    pruning.  doubts: what of the observation was unlike what the policy was trained on, in words.
    """

    actions: np.ndarray
    dt: float
    names: tuple[str, ...]
    stamp_ns: int
    timings: dict[str, float]
    selection: TokenSelection | None = None
    doubts: tuple[str, ...] = ()


def end_effector_state(position, quaternion_xyzw, gripper_open: float) -> np.ndarray:
    """
    Build the proprioception vector that the bundled policy takes.

    position: [3] metres and quaternion_xyzw: [4], both of the end effector in the base frame;
    gripper_open: 0 closed .. 1 open.  Returns float32 [8] in the order of STATE_NAMES.  Of q and
    -q, which are one rotation, it takes the one whose largest component is positive: a hand
    that points down has qw near 0, where a rule on qw would flip the sign at random.
    Raises ObservationError for non-finite values.
    """
    quaternion = np.asarray(quaternion_xyzw, dtype=np.float64)
    norm = np.linalg.norm(quaternion)
    state = np.concatenate([
        np.asarray(position, dtype=np.float64),
        quaternion / (norm if norm > 0 else np.nan),
        [np.clip(gripper_open, 0.0, 1.0)]])
    if state.shape != (8,) or not np.isfinite(state).all():
        raise ObservationError(
            f'end-effector state is not finite: position {position}, quaternion '
            f'{quaternion_xyzw}, gripper {gripper_open}')
    if state[3 + np.abs(state[3:7]).argmax()] < 0:
        state[3:7] = -state[3:7]
    return state.astype(np.float32)
