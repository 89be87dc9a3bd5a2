# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where frames of the robot are before a camera at its image's time, and how far off that may be.

A camera on the arm moves with what it looks at: of the two only what lies between them counts,
which does not age where it is all static. How fast the frames move before the camera is measured
by what TF told of a fifth of a second, up to a tenth after the image; the limits of the arm stand
in where it told too little. docs/cameras.md derives both.
"""

from dataclasses import dataclass
from functools import lru_cache
import math

import numpy as np

from .lookups import uncounted
from .robot_poses import pose_at
from ..geometry.poses import invert_pose, pose_matrix, transform_points
from ..geometry.transform_buffer import TransformLookupError

WINDOW_NS = 200_000_000
LOOKS = 3  # in the window: what is fastest between two of them counts
LEAST_SPAN_NS = 5_000_000


@dataclass(frozen=True, eq=False)
class Placed:
    """
    Frames in the optical frame of a camera.

    points: float64 [M, 3], m.  ages_s: [M], between the image and the nearest pose that was
    heard.  speeds: [M], m/s, of each as the camera sees it.
    """

    points: np.ndarray
    ages_s: np.ndarray
    speeds: np.ndarray

    @property
    def moved_m(self):
        """Return how far off each point may be, [M], m."""
        return self.ages_s * self.speeds


def placed(transforms, options, camera, poses, time_ns: int) -> Placed:
    """
    Return where a camera has the frames that are to be protected.

    camera: (frame, pose, age_s, whether it moves).  poses: [(frame, pose, age_s)], all in the
    base frame at the image's time, as pose_at returns them.
    """
    camera_frame, camera_pose, camera_age_s, moves = camera
    transforms = uncounted(transforms)  # the questions that were to be answered have been
    points = transform_points(
        _into_camera(camera_pose.translation.tobytes(), camera_pose.quaternion.tobytes()),
        [pose.translation for _, pose, _ in poses])
    ages_s = np.array([age_s for _, _, age_s in poses]) + camera_age_s
    speeds = np.zeros(len(poses))
    for index, (frame, _, _) in enumerate(poses):
        if moves and ages_s[index]:
            points[index], ages_s[index] = _beside(
                transforms, options, camera_frame, frame, time_ns) or (
                    points[index], ages_s[index])
        if ages_s[index]:
            speeds[index] = _speed(
                transforms, options, camera_frame, frame, points[index], moves, time_ns)
    return Placed(points, ages_s, speeds)


@lru_cache(maxsize=8)  # cameras stand still, as a rule
def _into_camera(translation: bytes, quaternion: bytes):
    """Return the 4x4 matrix that takes points of the base into a camera of a pose there."""
    return invert_pose(pose_matrix(np.frombuffer(translation), np.frombuffer(quaternion)))


def _beside(transforms, options, camera_frame, frame, time_ns):
    """Return (point, age) by what lies between the two alone; None where that is not known."""
    try:
        pose, age_s = pose_at(transforms, options, frame, time_ns, lambda look: look(),
                              camera_frame)
    except TransformLookupError:
        return None
    return pose.translation, age_s


def _speed(transforms, options, camera_frame, frame, point, moves, time_ns):
    measured = measured_speed(transforms, camera_frame, frame, time_ns)
    if measured is not None:
        return measured
    limit = options.max_linear_speed
    return 2 * limit + options.max_angular_speed * np.linalg.norm(point) if moves else limit


def measured_speed(transforms, camera_frame: str, frame: str, time_ns: int) -> float | None:
    """
    Return how fast a frame moved as the camera saw it, m/s; None where too little was heard.

    time_ns: of the image: what the arm does long after it says nothing of where it was then.
    A camera that turns moves all that it sees, the faster the further away it is.
    """
    span = transforms.span(camera_frame, frame)
    if span is None:
        return 0.0
    last_ns = min(span[1], time_ns + WINDOW_NS // 2)
    first_ns = max(span[0], last_ns - WINDOW_NS)
    if last_ns - first_ns < LEAST_SPAN_NS:
        return None
    times_ns = [first_ns + (last_ns - first_ns) * look // (LOOKS - 1) for look in range(LOOKS)]
    places = [transforms.lookup(camera_frame, frame, at_ns).translation.tolist()
              for at_ns in times_ns]
    return max(_apart(*places[look:look + 2]) / ((times_ns[look + 1] - times_ns[look]) * 1e-9)
               for look in range(LOOKS - 1))


def _apart(first, second) -> float:
    """Return how far two points are apart: of so few numbers NumPy has much to say."""
    x, y, z = (b - a for a, b in zip(first, second))
    return math.sqrt(x * x + y * y + z * z)
