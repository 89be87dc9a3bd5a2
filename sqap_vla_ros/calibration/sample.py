# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One image, and where the camera and the robot were when it was taken.

Made by the node's own code: what is drawn of a sample is what the node protects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import ConfigError, ObservationError
from ..geometry.camera import CameraModel
from ..geometry.poses import invert_pose, pose_matrix
from ..ingest.camera_info import camera_model, camera_of_image
from ..ingest.images import to_rgb
from ..ingest.observer import Observer
from ..ingest.robot_poses import pose_at
from ..ingest.stamps import stamp_ns
from ..observation import ProtectedPoints

INSTRUCTION = 'look'  # an Observer makes no observation without one


@dataclass(frozen=True, eq=False)
class Link:
    """
    One step of the way from the base to the camera; matrix [4, 4]: of child in parent, m.

    is_inverted: whether TF has the pose of parent in child, as on the way up to a common ancestor.
    """

    parent: str
    child: str
    matrix: np.ndarray
    is_static: bool
    is_inverted: bool = False

    @property
    def name(self) -> str:
        """Return what is published, as 'parent -> child'."""
        names = (self.child, self.parent) if self.is_inverted else (self.parent, self.child)
        return ' -> '.join(names)

    @property
    def published(self) -> np.ndarray:
        """Return the pose [4, 4] as it is published."""
        return invert_pose(self.matrix) if self.is_inverted else self.matrix

    def republished(self, pose: np.ndarray) -> Link:
        """Return the link as it were if pose [4, 4] was published."""
        return replace(self, matrix=invert_pose(pose) if self.is_inverted else pose)


@dataclass(frozen=True, eq=False)
class Sample:
    """
    What one image shows, by TF and camera_info.

    image: uint8 [H, W, 3] RGB as it was published.  info: the camera_info.  camera: the model of
    the image, or None where the node refuses one of that size, and why in `refusal`.  links: from
    base_frame to the camera.  frames: {name: [4, 4] in the base}; ages_s: how far the pose is from
    the image's time.  protected: what the node protects, in pixels of `image`.  refusal: why
    the node would not move on this image, ''.  warnings: what it would say besides.  carriers:
    frames on the ways from the base to `frames`: whoever moves one of them moves the robot.
    """

    image: np.ndarray
    stamp_ns: int
    info: object
    rectified: bool
    camera: CameraModel | None
    camera_frame: str
    base_frame: str
    links: tuple[Link, ...]
    frames: dict
    ages_s: dict
    protected: ProtectedPoints
    refusal: str = ''
    warnings: tuple[str, ...] = ()
    carriers: frozenset[str] = frozenset()

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def camera_pose(self) -> np.ndarray:
        """Return the camera's pose in the base [4, 4]."""
        return chained(self.links)

    def model(self, rectified: bool) -> CameraModel:
        """Return the camera of camera_info, at its own size; raise ConfigError."""
        return camera_model(self.info, rectified)[0]


def chained(links) -> np.ndarray:
    """Return the pose [4, 4] of the last child in the first parent."""
    pose = np.eye(4)
    for link in links:
        pose = pose @ link.matrix
    return pose


class Looker:
    """Makes samples of image messages by the ingest of the node."""

    def __init__(self, options, heard, transforms, waiting, frames=()):
        """
        Take where to look things up, as Observer does.

        options: ObserverOptions.  frames: more TF frames to look at, such as a board's.
        """
        self._options = replace(options, needs_localization=True, require_localization=True)
        self._heard, self._transforms, self._waiting = heard, transforms, waiting
        self._frames = tuple(dict.fromkeys((*self._options.end_effector_frames, *frames)))
        self._observer = Observer(self._options, heard, transforms, (), waiting)

    def look(self, message) -> Sample:
        """
        Return the sample of an image message.

        Raises ObservationError for an image, a camera_info or transforms that are missing or
        cannot be read, ConfigError for a camera_info that makes no sense.
        """
        image, options = to_rgb(message), self._options
        wait, time_ns = self._waiting(options.tf_timeout), stamp_ns(message)
        full, camera_frame, doubts = wait(
            lambda: camera_of_image(message, self._heard, options))
        poses = {frame: self._pose(frame, time_ns, wait) for frame in self._frames}
        _, camera_age_s = self._pose(camera_frame, time_ns, wait)
        protected, refusal, warnings = self._as_the_node_does(message, image.shape)
        camera, refusal = _for_image(full, image.shape, refusal)
        return Sample(
            image, time_ns, self._heard.camera_info, options.camera_rectified, camera,
            camera_frame, options.base_frame, self._links(camera_frame, time_ns, wait),
            {frame: matrix for frame, (matrix, _) in poses.items()},
            {frame: age_s + camera_age_s for frame, (_, age_s) in poses.items()},
            protected, refusal, tuple(dict.fromkeys((*doubts, *warnings))),
            self._carriers(time_ns))

    def _as_the_node_does(self, message, shape):
        """Return (ProtectedPoints in pixels of the published image, refusal, warnings)."""
        try:
            observation, warnings = self._observer.observe(message, INSTRUCTION)
        except (ObservationError, ConfigError) as error:
            self._observer.reset()  # the next one may be another camera's
            return ProtectedPoints(), str(error), ()
        protected = observation.protected
        if self._options.rotate_image_180:
            turned = np.array([shape[1] - 1, shape[0] - 1]) - protected.pixels
            protected = replace(protected, pixels=turned)
        return protected, '', warnings

    def _carriers(self, time_ns) -> frozenset[str]:
        base = self._options.base_frame
        ways = [self._transforms.steps(base, frame, time_ns) for frame in self._frames]
        return frozenset({base, *(name for way in ways for step in way
                                  for name in (step.parent, step.child))})

    def _links(self, camera_frame, time_ns, wait) -> tuple[Link, ...]:
        base = self._options.base_frame
        steps = self._transforms.steps(base, camera_frame, time_ns)
        links = [self._link(step, time_ns, wait) for step in steps]
        before = (camera_frame, *(link.parent for link in links))
        at = next((number for number, link in enumerate(links) if link.child != before[number]),
                  len(links))  # those behind it lead down from the common ancestor to the base
        down = [Link(link.child, link.parent, invert_pose(link.matrix), link.is_static, True)
                for link in links[at:]]
        return tuple(down + links[:at][::-1])

    def _link(self, step, time_ns, wait):
        options = replace(self._options, base_frame=step.parent)
        pose, _ = pose_at(self._transforms, options, step.child, time_ns, wait)
        return Link(step.parent, step.child, pose_matrix(pose.translation, pose.quaternion),
                    step.is_static)

    def _pose(self, frame, time_ns, wait):
        """Return ([4, 4] in the base, age in s)."""
        pose, age_s = pose_at(self._transforms, self._options, frame, time_ns, wait)
        return pose_matrix(pose.translation, pose.quaternion), age_s


def _for_image(full, shape, refusal):
    try:
        return full.for_image(shape[1], shape[0]), refusal
    except ObservationError as error:
        return None, str(error)
