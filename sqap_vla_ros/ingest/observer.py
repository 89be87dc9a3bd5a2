# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From what the node heard to the Observation that the policy takes.

Runs on the inference thread, which may wait a little: TF and joint_states for an image often
arrive after it. Whatever is missing in the end is an ObservationError, and no motion.
"""

from functools import lru_cache
import time

import numpy as np
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.camera import camera_from_info, project
from sqap_vla_ros.geometry.patches import radius_from_uncertainty
from sqap_vla_ros.geometry.poses import points_in_camera, pose_matrix
from sqap_vla_ros.geometry.transform_buffer import TransformLookupError
from sqap_vla_ros.observation import end_effector_state, Observation, ProtectedPoints, STATE_NAMES

from .images import compressed_to_rgb, image_to_rgb

POLL_S = 0.005  # tf2 does not say when something came in


def stamp_ns(message) -> int:
    """Return a stamped message's time in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def image_size_changed(old, new) -> str:
    """Return the message for an image that is not the size of those before it."""
    return (f'the image is {new[1]} x {new[0]} pixels now and was {old[1]} x {old[0]} before: is '
            'it another camera? Call ~/reset to go on with it')


class Observer:
    """Build observations; `warnings` lists what the last one had to do without."""

    def __init__(self, config, inputs, transforms, state_names=()):
        """Raise ConfigError if the policy asks for a state that cannot be built."""
        if state_names and tuple(state_names) != STATE_NAMES:
            raise ConfigError(f'the policy needs the state {tuple(state_names)}, this node offers '
                              f'{STATE_NAMES}')
        if state_names and not config.gripper_joint:
            raise ConfigError('parameter gripper_joint is empty, but the policy needs to know how '
                              'far the gripper is open: name its joint in joint_states')
        self.config = config
        self._inputs = inputs
        self._transforms = transforms
        self._needs_state = bool(state_names)
        self.reset()

    def reset(self):
        """Accept any image size next."""
        self._image_size = None
        self.warnings = []

    def observe(self, frame, instruction: str) -> Observation:
        """
        Return the observation for a frame and an instruction.

        Raises ObservationError, or ConfigError for a camera_info that makes no sense.
        """
        self.warnings = []
        if not instruction:
            raise ObservationError('no instruction: publish one on the topic `instruction`')
        image = self._image(frame)
        deadline = time.monotonic() + self.config.tf_timeout
        protected = ProtectedPoints()
        if self.config.needs_localization:
            protected = self._protected_or_warn(frame, image.shape[:2], deadline)
        state = self._state(frame.stamp_ns, deadline) if self._needs_state else None
        return Observation(image, frame.stamp_ns, instruction, protected, state)

    def _image(self, frame):
        compressed = self.config.image_transport == 'compressed'
        image = (compressed_to_rgb if compressed else image_to_rgb)(frame.message)
        size = image.shape[:2]
        if self._image_size not in (None, size):
            raise ObservationError(image_size_changed(self._image_size, size))
        self._image_size = size
        return np.ascontiguousarray(image[::-1, ::-1]) if self.config.rotate_image_180 else image

    def _protected_or_warn(self, frame, image_size, deadline):
        try:
            return self._protected(frame, image_size, deadline)
        except (ObservationError, ConfigError) as error:
            if self.config.require_localization:
                raise
            self.warnings.append(f'no protected tokens: {error}')
            return ProtectedPoints()

    def _protected(self, frame, image_size, deadline):
        """Project the end effector frames into the image [H, W]."""
        height, width = image_size
        info = self._wait(lambda: self._camera_info(frame), deadline)
        camera = camera_model(info, self.config.camera_rectified).for_image(width, height)
        camera_frame = self.config.camera_frame or frame.message.header.frame_id
        if not camera_frame:
            raise ObservationError('the image has no frame_id: set the parameter camera_frame')
        frames = self.config.end_effector_frames
        poses = [self._pose(name, frame.stamp_ns, deadline)
                 for name in (camera_frame, *frames)]
        ages_s = np.array([age for _, age in poses])
        points = points_in_camera(
            np.array([pose.translation for pose, _ in poses[1:]]),
            pose_matrix(poses[0][0].translation, poses[0][0].quaternion))
        pixels, valid = project(camera, points)
        radii = radius_from_uncertainty(
            ages_s[1:] + ages_s[0], self.config.max_linear_speed,
            self.config.calibration_error_px, camera.focal_px, points[:, 2])
        names = tuple(name for name, seen in zip(frames, valid) if seen)
        if len(names) < len(frames):
            hidden = [name for name in frames if name not in names]
            self.warnings.append(f'frames behind the camera or out of its sight: {hidden}')
        if self.config.rotate_image_180:
            pixels = np.array([width - 1, height - 1]) - pixels
        return ProtectedPoints(pixels[valid], radii[valid], names)

    def _camera_info(self, frame):
        """Return the newest camera_info; raises ObservationError if it is not the image's."""
        info = self._inputs.camera_info
        if info is None:
            raise ObservationError(f'no camera_info has come in on {self._inputs.info_topic}: '
                                   'publish it, or set require_localization to false')
        frames = frame.message.header.frame_id, info.header.frame_id
        if all(frames) and frames[0] != frames[1]:
            raise ObservationError(f'the image has frame_id {frames[0]!r}, camera_info has '
                                   f'{frames[1]!r}: is it of another camera?')
        off_s = abs(frame.stamp_ns - stamp_ns(info)) * 1e-9
        if stamp_ns(info) and off_s > self.config.camera_info_max_age:
            raise ObservationError(
                f'camera_info on {self._inputs.info_topic} is {off_s:.1f} s off the image (limit: '
                f'camera_info_max_age, {self.config.camera_info_max_age:g} s)')
        return info

    def _state(self, stamp_ns, deadline):
        pose, _ = self._pose(self.config.end_effector_frames[0], stamp_ns, deadline)
        return end_effector_state(
            pose.translation, pose.quaternion, self._gripper_open(stamp_ns, deadline))

    def _pose(self, frame_name, stamp_ns, deadline):
        """Return (pose in the base frame, age in s) at the image's time, or a little before."""
        base = self.config.base_frame
        try:
            pose = self._wait(
                lambda: self._transforms.lookup(base, frame_name, stamp_ns), deadline)
            return pose, 0.0
        except TransformLookupError as error:
            missing = error
        try:
            pose = self._transforms.latest(base, frame_name)
        except TransformLookupError:
            raise missing from None
        age_s = (stamp_ns - pose.stamp_ns) * 1e-9
        if self.config.lockstep or not 0 <= age_s <= self.config.tf_max_age:
            raise missing
        return pose, age_s

    def _gripper_open(self, stamp_ns, deadline):
        """Return the gripper's opening, 0 closed .. 1 open, at the image's time."""
        position = self._wait(lambda: self._joint_position(stamp_ns), deadline)
        closed = self.config.gripper_closed_position
        opening = (position - closed) / (self.config.gripper_open_position - closed)
        return float(np.clip(opening, 0.0, 1.0))

    def _joint_position(self, stamp_ns):
        """Return the gripper joint's position nearest to a time; raises ObservationError."""
        joint = self.config.gripper_joint
        samples = [(abs(stamp - stamp_ns) * 1e-9, positions[joint])
                   for stamp, positions in self._inputs.joints if joint in positions]
        if not samples:
            raise ObservationError(f'joint_states has not told the position of {joint!r}')
        off_s, position = min(samples)
        if off_s > (0.0 if self.config.lockstep else self.config.tf_max_age):
            raise ObservationError(f'joint_states of {joint!r} are {off_s:.3f} s off the image')
        return position

    def _wait(self, attempt, deadline):
        """Return attempt() as soon as it raises no ObservationError; raise it at the deadline."""
        while True:
            with self._inputs.arrived:
                try:
                    return attempt()
                except ObservationError:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        raise
                    self._inputs.arrived.wait(min(left_s, POLL_S))


def camera_model(info, rectified: bool):
    """Return the CameraModel of a sensor_msgs/CameraInfo; raises ConfigError."""
    roi = info.roi
    return _camera_model(
        info.width, info.height, info.distortion_model, tuple(info.d), tuple(info.k),
        tuple(info.r), tuple(info.p), rectified=rectified, x_offset=roi.x_offset,
        y_offset=roi.y_offset, roi_width=roi.width, roi_height=roi.height,
        do_rectify=roi.do_rectify, binning_x=info.binning_x, binning_y=info.binning_y)


# A camera_info comes with every image and hardly ever changes.
_camera_model = lru_cache(maxsize=4)(camera_from_info)
