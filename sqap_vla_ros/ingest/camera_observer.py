# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What one camera shows: its image, checked, and where it sees the frames of the robot."""

from contextlib import contextmanager

import numpy as np
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.camera import project
from sqap_vla_ros.geometry.uncertainty import capped, radius_of_motion
from sqap_vla_ros.observation import CameraView, ProtectedPoints

from .camera_info import camera_of_image
from .image_health import ImageHealth
from .images import to_rgb
from .plausibility import Plausibility
from .points import placed
from .robot_poses import pose_at
from .stamps import duration_text, stamp_ns
from .view import View


class CameraObserver:
    """Looks at the images of one camera; remembers what they and its poses are like."""

    def __init__(self, options, heard, transforms):
        """Take where to look things up; see Observer."""
        self.options, self.plausibility = options, Plausibility()
        self._heard, self._transforms = heard, transforms
        self._health = ImageHealth()
        self.reset()

    def reset(self):
        """Accept any kind of image next."""
        self._image_kind = None
        self._health.reset()
        self.plausibility.reset()

    def beside(self, time_ns, wait):
        """Return the image message that goes with another camera's image of a time."""
        tolerance_s = 0.0 if self.options.lockstep else self.options.camera_tolerance
        with self._named():
            return wait(lambda: self._heard.images.beside(
                time_ns, tolerance_s, self._heard.image_topic))

    def image(self, message):
        """Return the pixels uint8 [H, W, 3] of a message; raise ObservationError if blind."""
        with self._named():
            image, options = to_rgb(message), self.options
            self._check_kind(image, message)
            self._health.check(image, stamp_ns(message), options.min_contrast,
                               options.max_image_change)
        return np.ascontiguousarray(image[::-1, ::-1]) if options.rotate_image_180 else image

    def view(self, message, image, wait) -> tuple[CameraView, list[str]]:
        """
        Return what a message with these pixels shows, and warnings.

        wait: see pose_at.  Raises ObservationError, or ConfigError for a camera_info that makes
        no sense.
        """
        protected, frame, warnings = ProtectedPoints(), '', []
        if self.options.needs_localization:
            with self._named():
                protected, frame, warnings = self._protected_or_warned(
                    message, image.shape[:2], wait)
        return (CameraView(image, stamp_ns(message), protected, frame),
                [self._named_text(text) for text in warnings])

    @contextmanager
    def _named(self):
        """Let what is raised name the camera, if it has a name."""
        try:
            yield
        except (ObservationError, ConfigError) as error:
            if not self.options.camera:
                raise
            raise type(error)(self._named_text(error)) from error

    def _named_text(self, text) -> str:
        name = self.options.camera
        return f'camera {name}: {text}' if name else str(text)

    def _check_kind(self, image, message):
        height, width = image.shape[:2]
        coding = getattr(message, 'encoding', None) or message.format
        old, new = self._image_kind or (width, height, coding), (width, height, coding)
        if old != new:
            raise ObservationError(
                'the image is {} x {} pixels of {!r} now and was {} x {} of {!r} before: is it '
                'another camera? Call ~/reset to go on with it'.format(*new, *old))
        self._image_kind = new

    def _protected_or_warned(self, message, image_size, wait):
        try:
            return self._protected(message, image_size, wait)
        except (ObservationError, ConfigError) as error:
            if self.options.require_localization:
                raise
            return ProtectedPoints(), '', [f'no protected tokens: {error}']

    def _protected(self, message, image_size, wait):
        """Return (ProtectedPoints, camera's frame, warnings): frames projected into the image."""
        height, width = image_size
        options, time_ns = self.options, stamp_ns(message)
        camera, camera_frame, warnings = wait(
            lambda: camera_of_image(message, self._heard, options))
        self.plausibility.check_info(self._heard.camera_info)
        camera = camera.for_image(width, height)
        names = options.protected_frames or options.end_effector_frames
        camera_pose, camera_age_s = self._pose(camera_frame, time_ns, wait)
        poses = [(frame, *self._pose(frame, time_ns, wait)) for frame in names]
        moves = self._transforms.span(options.base_frame, camera_frame) is not None
        where = placed(self._transforms, options, (camera_frame, camera_pose, camera_age_s, moves),
                       poses, time_ns)
        pixels, valid = project(camera, where.points)
        view = View(names, where.points, pixels, image_size, camera_frame,
                    options.parameter('protected_frames') if options.camera
                    or options.protected_frames else 'end_effector_frames')
        self._check_view(view, camera_pose, poses, time_ns)
        warnings = warnings + view.off_image()
        radii, doubts = self._radii(camera, where, valid, names, image_size)
        if options.rotate_image_180:
            pixels = np.array([width - 1, height - 1]) - pixels
        return (ProtectedPoints(pixels[valid], radii[valid],
                                tuple(np.array(names)[valid].tolist())),
                camera_frame, warnings + doubts)

    def _radii(self, camera, where, valid, names, image_size):
        """Return (radii [M] px, warnings): how far from its pixel each frame can be seen."""
        radii, limit = capped(self.options.calibration_error_px + radius_of_motion(
            camera, where.points, where.moved_m), image_size)
        cut = np.flatnonzero(valid & (radii >= limit))
        return radii, [
            f'{names[index]} may be seen anywhere within {limit:.0f} px or more, a quarter of the '
            f'image, and no larger disk is protected: TF is {duration_text(where.ages_s[index])} '
            f'off the image, it moves by {where.speeds[index]:.2f} m/s before the camera, '
            f'{np.linalg.norm(where.points[index]):.2f} m away, and '
            f'{self.options.parameter("calibration_error_px")} is '
            f'{self.options.calibration_error_px:g}: publish TF faster, synchronize the clocks, '
            'or calibrate' for index in cut]

    def _check_view(self, view, camera_pose, poses, time_ns):
        """Raise ObservationError, with what the image would show, for poses that can't be."""
        judge, more = self.plausibility, (self._transforms, self.options, time_ns)
        try:
            judge.check_camera(camera_pose, view.camera_frame, *more)
            for frame, pose, _ in poses:
                judge.check_frame(pose, frame, *more)
        except ObservationError as error:
            raise ObservationError(f'{error} ({view})') from error
        view.check_in_front()

    def _pose(self, frame, time_ns, wait):
        return pose_at(self._transforms, self.options, frame, time_ns, wait)
