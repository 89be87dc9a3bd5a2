# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the camera stands by what a board shows, and the transform to publish.

The points of all images are taken together, in the frame that the camera is mounted in: the base,
or the link of the arm that carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np

from .mistakes import OPTICAL_IN_BODY_QUATERNION, quaternion_of
from .sample import chained
from ..geometry.camera import CameraModel, project
from ..geometry.poses import invert_pose, points_in_camera, transform_points

LEAST_POINTS = 4
FLAT_M = 1e-4
AMBIGUOUS = 1.5  # how many times worse the mirrored pose of a plane has to fit


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """
    A camera's pose by PnP.

    camera: [4, 4], the optical frame in what carries it, the base or a link.  base_camera: the
    same in the base, of the last image.  rms_px: what is left.  moved_m, turned_deg: from where
    TF has it.  child: frame to publish, in `parent`, at pose [4, 4]; '', '' and None where each
    transform carries something else, too.
    is_ambiguous: whether the mirrored pose of a plane fits almost as well.
    """

    parent: str
    child: str
    pose: np.ndarray | None
    camera: np.ndarray
    base_camera: np.ndarray
    rms_px: float
    moved_m: float
    turned_deg: float
    is_ambiguous: bool

    @property
    def publisher(self) -> str:
        """Return the command that publishes it; for one with a child."""
        return static_transform_publisher(self.parent, self.child, self.pose)

    @property
    def difference(self) -> str:
        """Return in words how well it fits and how far it is from what TF says."""
        return (f'{self.rms_px:.2f} px rms, {1e3 * self.moved_m:.1f} mm and '
                f'{self.turned_deg:.2f} degrees from what TF says')


def static_transform_publisher(parent, child, pose) -> str:
    """Return the command line that publishes a pose [4, 4] of child in parent."""
    x, y, z = pose[:3, 3] + 0.0
    return _publisher(parent, child, (x, y, z), quaternion_of(pose[:3, :3]))


def optical_publisher(frame: str) -> str:
    """Return the command line that adds an optical frame below a body frame."""
    return _publisher(frame, optical_name(frame), (0.0, 0.0, 0.0), OPTICAL_IN_BODY_QUATERNION)


def optical_name(frame: str) -> str:
    """Return a name for the optical frame of a body frame."""
    stem = frame.removesuffix('_frame').removesuffix('_link')
    return f'{stem}_optical_frame'


def _publisher(parent, child, translation, quaternion) -> str:
    numbers = dict(zip(('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw'), (*translation, *quaternion)))
    told = ' '.join(f'--{name} {value:.6f}' for name, value in numbers.items())
    return (f'ros2 run tf2_ros static_transform_publisher {told} --frame-id {parent} '
            f'--child-frame-id {child}')


def extrinsics_of(evidence, candidate) -> Extrinsics | None:
    """
    Return where the camera stands by the evidence, None where it tells too little.

    candidate: the mistake that was found, whose intrinsics are taken.
    """
    last = evidence[-1].sample
    camera = candidate.camera(last)
    count = sum(len(item.points) for item in evidence)
    if camera is None or count < LEAST_POINTS:
        return None
    at = _mount(last.links)
    mounts = [chained(item.sample.links[:at]) for item in evidence]
    points = np.concatenate([transform_points(invert_pose(mount), item.points)
                             for mount, item in zip(mounts, evidence)])
    pixels = np.concatenate([_straight(candidate, item) for item in evidence])
    guess = invert_pose(mounts[-1]) @ candidate.camera_pose(last)
    pose, rms_px, ratio = camera_pose(camera, points, pixels, guess)
    if pose is None:
        return None
    return _described(last, at, mounts[-1], pose, rms_px, ratio < AMBIGUOUS)


def _straight(candidate, item):
    """Return pixels as the camera of camera_info would have them: its turns are involutions."""
    pixels = item.pixels
    for mistake in candidate.mistakes:
        pixels = pixels if mistake.image is None else mistake.image(pixels, item.sample.size)
    return pixels


def _mount(links) -> int:
    """Return how many links lead to the frame that the camera is fixed to; not the last one."""
    moving = [number for number, link in enumerate(links[:-1]) if not link.is_static]
    return moving[-1] + 1 if moving else 0


def _described(sample, at, mount, pose, rms_px, is_ambiguous) -> Extrinsics:
    links = sample.links[at:]
    before = chained(links)
    change = invert_pose(before) @ pose
    cosine = (np.trace(change[:3, :3]) - 1) / 2
    return Extrinsics(
        *_to_publish(links, pose, sample.carriers), pose, mount @ pose, rms_px,
        float(np.linalg.norm(pose[:3, 3] - before[:3, 3])),
        math.degrees(math.acos(min(1.0, max(-1.0, cosine)))), is_ambiguous)


def _to_publish(links, pose, carriers):
    """
    Return (parent, child, [4, 4]) of the topmost transform that moves the camera and no more.

    links: from what carries the camera to its optical frame, which is at pose [4, 4] by the board.
    Frames on the way up are ancestors of the base: moving one would move the whole robot.
    """
    for number, link in enumerate(links):
        if not link.is_inverted and link.child not in carriers:
            above, below = chained(links[:number]), chained(links[number + 1:])
            return link.parent, link.child, invert_pose(above) @ pose @ invert_pose(below)
    return '', '', None


def camera_pose(camera: CameraModel, points, pixels, guess=None):
    """
    Return (pose [4, 4] of the camera in the points' frame, rms in px, how much worse the next).

    points: [N, 3], m, at least 4.  pixels: [N, 2] where the camera sees them.  guess: a pose to
    begin with, too.  (None, inf, inf) if there is no solution in front of the camera, or all
    points are on a line.
    """
    if np.linalg.matrix_rank(points - points.mean(axis=0), tol=FLAT_M) < 2:  # all on a line
        return None, math.inf, math.inf
    rays = normalised(camera, pixels)
    solutions = sorted(_solutions(camera, points, pixels, rays, guess), key=lambda pair: pair[0])
    if not solutions:
        return None, math.inf, math.inf
    rms_px, pose = solutions[0]
    other = next((rms for rms, pose2 in solutions[1:] if not np.allclose(
        pose2, pose, atol=1e-2)), math.inf)
    return pose, rms_px, other / max(rms_px, 0.1)


def _solutions(camera, points, pixels, rays, guess):
    identity, none = np.eye(3), np.zeros(0)
    object_points = np.ascontiguousarray(points, np.float64).reshape(-1, 1, 3)
    image_points = np.ascontiguousarray(rays, np.float64).reshape(-1, 1, 2)
    starts = []
    if guess is not None:
        inverse = invert_pose(guess)
        starts.append((cv2.Rodrigues(inverse[:3, :3])[0], inverse[:3, 3:]))
    for method in _methods(points):
        found = cv2.solvePnPGeneric(object_points, image_points, identity, none, flags=method)
        starts += list(zip(found[1], found[2]))
    for turn, place in starts:
        turn, place = cv2.solvePnPRefineLM(
            object_points, image_points, identity, none, turn.copy(), place.copy())
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = cv2.Rodrigues(turn)[0], place.ravel()
        pose = _undo_rectification(camera, invert_pose(inverse))
        seen, valid = project(camera, points_in_camera(points, pose))
        if valid.all():
            yield float(np.sqrt(((seen - pixels) ** 2).sum(axis=1).mean())), pose


def _methods(points):
    flat = np.linalg.matrix_rank(points - points.mean(axis=0), tol=FLAT_M) <= 2
    return (cv2.SOLVEPNP_IPPE, cv2.SOLVEPNP_SQPNP) if flat else (cv2.SOLVEPNP_SQPNP,)


def _undo_rectification(camera, pose):
    """Return the optical frame p of the rectified one, R p + t, that PnP finds."""
    rectified = np.eye(4)
    rectified[:3, :3], rectified[:3, 3] = camera.R, camera.translation_m
    return pose @ rectified


def normalised(camera: CameraModel, pixels) -> np.ndarray:
    """Return x / z and y / z [N, 2] of the rays that the camera sees at pixels [N, 2]."""
    pixels = np.ascontiguousarray(pixels, np.float64).reshape(-1, 1, 2)
    D = np.array(camera.D)
    if camera.distortion_model == 'equidistant':
        return cv2.fisheye.undistortPoints(pixels, camera.K, D).reshape(-1, 2)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
    undistort = getattr(cv2, 'undistortPointsIter', cv2.undistortPoints)  # OpenCV 5: one of both
    return undistort(pixels, camera.K, D, R=np.eye(3), P=np.eye(3), criteria=criteria).reshape(
        -1, 2)
