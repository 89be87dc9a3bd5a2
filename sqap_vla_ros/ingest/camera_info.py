# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From sensor_msgs/CameraInfo to the camera of an image, or why it can't be of that image."""

from collections import deque
from functools import lru_cache
import math

from .stamps import duration_text, stamp_ns
from ..errors import ConfigError, ObservationError
from ..geometry.camera import camera_from_info

FOCAL_LENGTHS = 0.1, 30.0  # of the image's longer side: a field of view of 157 to 1.9 degrees
CENTRE_SHIFT = 0.12  # of width or height: lenses are centred better, other resolutions are not
PIXEL_ASPECT = 1.25
LARGEST_COEFFICIENT = 1000.0
LEAST_VIEW = 0.5  # of the image in which the distortion must hold
STREAM = 3  # messages; a driver that is started again sends one again


class InfoStream:
    """
    Tells a camera_info that is sent again and again from one that was sent once, for good.

    Only of the first kind the age says something: that its publisher has died.
    """

    def __init__(self):
        """Begin without a message."""
        self._stamps_ns = deque(maxlen=STREAM)

    def heard(self, info):
        """Take a message; the same one may come in twice."""
        if stamp_ns(info) not in self._stamps_ns:
            self._stamps_ns.append(stamp_ns(info))

    def is_live(self, max_age_s: float) -> bool:
        """Return whether the last ones came sooner after each other than they may be old."""
        spans_ns = max(self._stamps_ns, default=0) - min(self._stamps_ns, default=0)
        return len(self._stamps_ns) == STREAM and spans_ns <= max_age_s * 1e9


def camera_of_image(message, heard, options):
    """
    Return (CameraModel, optical frame, doubts) of an image message.

    heard: has camera_info, info_is_latched and info_topic.  doubts: texts of warnings.  Raises
    ObservationError where there is no camera_info or it is another camera's, ConfigError for
    one that makes no sense.
    """
    info = heard.camera_info
    if info is None:
        raise ObservationError(f'no camera_info has come in on {heard.info_topic}: publish it, or '
                               f'set {options.parameter("require_localization")} to false')
    frame = _optical_frame(message, info, options)
    off_s = abs(stamp_ns(message) - stamp_ns(info)) * 1e-9
    if stamp_ns(info) and off_s > options.camera_info_max_age and not heard.info_is_latched:
        raise ObservationError(
            f'camera_info on {heard.info_topic} is {duration_text(off_s)} off the image (limit: '
            f'{options.parameter("camera_info_max_age")}, {options.camera_info_max_age:g} s)')
    camera, doubts = camera_model(info, options.camera_rectified)
    return camera, frame, [f'camera_info on {heard.info_topic} {doubt}' for doubt in doubts]


def camera_model(info, rectified: bool):
    """Return (CameraModel, doubts) of a sensor_msgs/CameraInfo; raises ConfigError."""
    roi = info.roi
    return _camera_model(
        info.width, info.height, info.distortion_model, tuple(info.d), tuple(info.k),
        tuple(info.r), tuple(info.p), rectified=rectified, x_offset=roi.x_offset,
        y_offset=roi.y_offset, roi_width=roi.width, roi_height=roi.height,
        do_rectify=roi.do_rectify, binning_x=info.binning_x, binning_y=info.binning_y)


@lru_cache(maxsize=4)  # one comes with every image and hardly ever changes
def _camera_model(width, height, distortion_model, D, K, R, P, *, rectified, **window):
    camera = camera_from_info(
        width, height, distortion_model, D, K, R, P, rectified=rectified, **window)
    fx, cx, fy, cy = (P[0], P[2], P[5], P[6]) if rectified else (K[0], K[2], K[4], K[5])
    doubts = intrinsics_doubts(width, height, fx, fy, cx, cy)
    _check_distortion(camera, math.atan(width / 2 / fx))
    return camera, doubts


def _check_distortion(camera, half_view):
    """Raise ConfigError for a distortion that no lens has; half_view: rad to the image's side."""
    if any(abs(value) > LARGEST_COEFFICIENT for value in camera.D):
        raise ConfigError(f'camera_info has distortion coefficients that no lens has, {camera.D} '
                          f'(limit: {LARGEST_COEFFICIENT:g}): publish its calibration')
    if camera.angle_limit < LEAST_VIEW * half_view:
        raise ConfigError(
            f'camera_info has a distortion, {camera.D}, that holds up to '
            f'{math.degrees(camera.angle_limit):.1f} degrees, while the image shows '
            f'{math.degrees(half_view):.1f} to each side: publish its calibration')


def intrinsics_doubts(width, height, fx, fy, cx, cy) -> tuple:
    """
    Return texts on what is odd about the intrinsics [px] of a whole image, () for nothing.

    Raises ConfigError for intrinsics that can't belong to an image of that size.
    """
    low, high = (factor * max(width, height) for factor in FOCAL_LENGTHS)
    if not (low <= fx <= high and low <= fy <= high):
        raise ConfigError(
            f'camera_info has fx = {fx:g}, fy = {fy:g} for {width} x {height} pixels, a field of '
            f'view of {2 * math.degrees(math.atan(width / 2 / fx)):.1f} degrees: they are to be '
            'in pixels, of this image; publish its calibration')
    if not (0 < cx < width and 0 < cy < height):
        raise ConfigError(
            f'camera_info has its principal point at ({cx:g}, {cy:g}), outside its image of '
            f'{width} x {height}: it was calibrated at another resolution, or is of another '
            'camera; publish the calibration of this image')
    doubts = ()
    if abs(cx / width - 0.5) > CENTRE_SHIFT or abs(cy / height - 0.5) > CENTRE_SHIFT:
        doubts += (f'has its principal point at ({cx:g}, {cy:g}), far from the centre of '
                   f'{width} x {height}: was it calibrated at another resolution, or for an '
                   'image that was cropped since (which roi would tell)?',)
    if not 1 / PIXEL_ASPECT <= fx / fy <= PIXEL_ASPECT:
        doubts += (f'has pixels that are not square (fx = {fx:g}, fy = {fy:g}): was it '
                   'calibrated at another resolution?',)
    return doubts


def _optical_frame(message, info, options):
    """Return the frame of the image's camera, without slash; raise ObservationError."""
    image_frame, info_frame = (
        header.frame_id.lstrip('/') for header in (message.header, info.header))
    if options.camera_frame:
        return options.camera_frame.lstrip('/')
    parameter = options.parameter('camera_frame')
    if image_frame and info_frame and image_frame != info_frame:
        raise ObservationError(
            f'the image has frame_id {image_frame!r}, camera_info has {info_frame!r}: is it of '
            f"another camera? If not, set the parameter {parameter} to the camera's optical frame")
    if not (image_frame or info_frame):
        raise ObservationError('neither the image nor camera_info has a frame_id: set the '
                               f"parameter {parameter} to the camera's optical frame")
    return image_frame or info_frame
