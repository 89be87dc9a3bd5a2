# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From an image and what was heard beside it to the Observation that the policy takes.

Messages are whatever has the fields of sensor_msgs: live ones, those of a bag, a simulator's.
Whether to wait for what is still on its way is the caller's business. Whatever is missing in
the end is an ObservationError, and no motion.
"""

from dataclasses import dataclass, field, fields

import numpy as np
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.camera import project
from sqap_vla_ros.geometry.patches import radius_from_uncertainty
from sqap_vla_ros.geometry.poses import points_in_camera, pose_matrix
from sqap_vla_ros.observation import end_effector_state, Observation, ProtectedPoints, STATE_NAMES

from .camera_info import camera_of_image
from .image_health import ImageHealth
from .images import to_rgb
from .joints import gripper_opening, JointHistory
from .plausibility import Plausibility
from .robot_poses import pose_at
from .stamps import stamp_ns
from .view import View


@dataclass(frozen=True)
class ObserverOptions:
    """How to look; every name is that of a parameter or property of the node, told there."""

    base_frame: str = 'base_link'
    end_effector_frames: tuple = ('tool0',)
    camera_frame: str = ''
    camera_rectified: bool = False
    rotate_image_180: bool = False
    needs_localization: bool = True
    require_localization: bool = True
    calibration_error_px: float = 0.0
    gripper_joint: str = ''
    gripper_open_position: float = 0.04
    gripper_closed_position: float = 0.0
    max_linear_speed: float = 0.25
    lockstep: bool = False
    tf_timeout: float = 0.0
    tf_max_age: float = 0.1
    camera_info_max_age: float = 10.0
    min_contrast: float = 3.0
    max_image_change: float = 80.0
    max_reach: float = 2.5
    max_end_effector_speed: float = 1.0

    @classmethod
    def of(cls, config):
        """Return the options out of anything that has attributes of these names."""
        return cls(**{item.name: getattr(config, item.name) for item in fields(cls)})


@dataclass
class Heard:
    """
    What was heard beside the images; the node's Inputs has the same attributes.

    camera_info: the newest, or None.  info_is_latched: whether it was sent once, for ever, so
    that its age says nothing.  info_topic: to name in messages.
    """

    camera_info: object = None
    info_is_latched: bool = False
    info_topic: str = 'camera_info'
    joints: JointHistory = field(default_factory=JointHistory)


def at_once(timeout_s: float):
    """Return wait(attempt) of a caller that has heard everything already: one try."""
    return lambda attempt: attempt()


class Observer:
    """Build observations; remembers what the images are like."""

    def __init__(self, options: ObserverOptions, heard, transforms, state_names=(),
                 waiting=at_once):
        """
        Take where to look things up.

        heard: as Heard.  transforms: see pose_at.  state_names: what the policy needs.
        waiting(tf_timeout): returns wait(attempt) for one image, see pose_at.  Raises
        ConfigError if the policy asks for a state that cannot be built.
        """
        if state_names and tuple(state_names) != STATE_NAMES:
            raise ConfigError(f'the policy needs the state {tuple(state_names)}, this node offers '
                              f'{STATE_NAMES}')
        if state_names and not options.gripper_joint:
            raise ConfigError('parameter gripper_joint is empty, but the policy needs to know how '
                              'far the gripper is open: name its joint in joint_states')
        self.options = options
        self._heard = heard
        self._transforms = transforms
        self._needs_state = bool(state_names)
        self._waiting = waiting
        self._health, self._plausibility = ImageHealth(), Plausibility()
        self.reset()

    def reset(self):
        """Accept any kind of image next."""
        self._image_kind = None
        self._health.reset()
        self._plausibility.reset()

    def observe(self, message, instruction: str) -> tuple[Observation, list[str]]:
        """
        Return the observation for an image message and an instruction, and what it lacks.

        message: as sensor_msgs/Image or CompressedImage.  Raises ObservationError, or ConfigError
        for a camera_info that makes no sense.
        """
        if not instruction:
            raise ObservationError('no instruction: publish one on the topic `instruction`')
        image = self._image(message)
        wait = self._waiting(self.options.tf_timeout)
        protected, warnings = ProtectedPoints(), []
        if self.options.needs_localization:
            protected, warnings = self._protected_or_warned(message, image.shape[:2], wait)
        state = self._state(stamp_ns(message), wait) if self._needs_state else None
        return (Observation(image, stamp_ns(message), instruction, protected, state), warnings)

    def _image(self, message):
        image, options = to_rgb(message), self.options
        self._check_kind(image, message)
        self._health.check(image, stamp_ns(message), options.min_contrast,
                           options.max_image_change)
        return np.ascontiguousarray(image[::-1, ::-1]) if options.rotate_image_180 else image

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
            return ProtectedPoints(), [f'no protected tokens: {error}']

    def _protected(self, message, image_size, wait):
        """Return (ProtectedPoints, warnings): end effector frames projected into the image."""
        height, width = image_size
        options, time_ns = self.options, stamp_ns(message)
        camera, camera_frame, warnings = wait(
            lambda: camera_of_image(message, self._heard, options))
        self._plausibility.check_info(self._heard.camera_info)
        camera = camera.for_image(width, height)
        camera_pose, camera_age_s = self._pose(camera_frame, time_ns, wait)
        poses, ages_s = zip(*(self._pose(frame, time_ns, wait)
                              for frame in options.end_effector_frames))
        points = points_in_camera(
            np.array([pose.translation for pose in poses]),
            pose_matrix(camera_pose.translation, camera_pose.quaternion))
        pixels, valid = project(camera, points)
        view = View(options.end_effector_frames, points, pixels, image_size, camera_frame)
        self._check_view(view, camera_pose, poses, time_ns)
        warnings += view.off_image()
        radii = radius_from_uncertainty(
            np.array(ages_s) + camera_age_s, options.max_linear_speed,
            options.calibration_error_px, camera.focal_px, points[:, 2])
        if options.rotate_image_180:
            pixels = np.array([width - 1, height - 1]) - pixels
        names = tuple(np.array(options.end_effector_frames)[valid].tolist())
        return ProtectedPoints(pixels[valid], radii[valid], names), warnings

    def _check_view(self, view, camera_pose, poses, time_ns):
        """Raise ObservationError, with what the image would show, for poses that can't be."""
        judge, more = self._plausibility, (self._transforms, self.options, time_ns)
        try:
            judge.check_camera(camera_pose, view.camera_frame, *more)
            for frame, pose in zip(view.frames, poses):
                judge.check_frame(pose, frame, *more)
        except ObservationError as error:
            raise ObservationError(f'{error} ({view})') from error
        view.check_in_front()

    def _state(self, time_ns, wait):
        frame = self.options.end_effector_frames[0]
        pose, _ = self._pose(frame, time_ns, wait)
        self._plausibility.check_frame(pose, frame, self._transforms, self.options, time_ns)
        opening = wait(lambda: gripper_opening(self._heard.joints, self.options, time_ns))
        return end_effector_state(pose.translation, pose.quaternion, opening)

    def _pose(self, frame, time_ns, wait):
        return pose_at(self._transforms, self.options, frame, time_ns, wait)
