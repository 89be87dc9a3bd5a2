# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera as sensor_msgs/CameraInfo describes it, and the projection of points into its image.

OpenCV bends the rays. A polynomial distortion folds back beyond some angle: a point out there
would land on a plausible but wrong pixel, so the angle up to which the distorted radius grows is
worked out once and points beyond it are invalid.
"""
from dataclasses import dataclass, field, replace
import math

import cv2
import numpy as np

from ..errors import ConfigError, ObservationError

COEFFICIENT_COUNTS = {
    'none': (0,), 'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
MIN_DEPTH_M = 1e-6
_STAYS = np.zeros(3), np.eye(3)  # where OpenCV is to take points from, and as pixels


@dataclass(frozen=True, eq=False)
class CameraModel:
    """
    Intrinsics of one image stream.

    width, height: pixels of the published image.
    K: float64 [3, 3], pixels.
    distortion_model: 'none' | 'plumb_bob' (4 or 5 coefficients) | 'rational_polynomial' (8, 12
        with thin prism, or 14 with a tilted sensor) | 'equidistant' (4), all as OpenCV has them.
    D: the coefficients.
    R, translation_m: applied to points in front of the lens; only rectified stereo images
        have others than the defaults.

    Raises ConfigError, when made, naming what was found.
    """

    width: int
    height: int
    K: np.ndarray
    distortion_model: str = 'none'
    D: tuple[float, ...] = ()
    R: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation_m: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self):
        if int(self.width) < 1 or int(self.height) < 1:
            raise ConfigError('the camera has no image size: CameraInfo gives '
                              f'{self.width} x {self.height}, publish its width and height')
        for name, shape in (('K', (3, 3)), ('R', (3, 3)), ('translation_m', (3,))):
            object.__setattr__(self, name, _matrix(name, getattr(self, name), shape))
        _check_intrinsics(self.K)
        object.__setattr__(self, 'D', tuple(float(value) for value in self.D))
        _check_distortion(self.distortion_model, self.D)
        object.__setattr__(self, '_angle_limit', _largest_angle(self.distortion_model, self.D))
        object.__setattr__(self, '_is_plain', bool(
            np.array_equal(self.R, np.eye(3)) and not self.translation_m.any()))

    @property
    def focal_px(self):
        """Return the larger focal length, pixels."""
        return float(max(self.K[0, 0], self.K[1, 1]))

    @property
    def angle_limit(self):
        """Return the angle from the axis, rad, up to which the distortion holds."""
        return self._angle_limit

    def for_image(self, width, height):
        """
        Return the model of an image of width x height pixels: this one, scaled if need be.

        Raises ObservationError when the image has another aspect (tolerance: one pixel).
        """
        if (width, height) == (self.width, self.height):
            return self
        same_aspect = min(width, height) > 0 and (
            abs(width * self.height / self.width - height) <= 1
            or abs(height * self.width / self.height - width) <= 1)
        if not same_aspect:
            raise ObservationError(
                f'the image has {width} x {height} pixels but camera_info describes '
                f'{self.width} x {self.height}, which is another aspect: publish the '
                'camera_info of this image (cropped images need its roi)')
        scale = np.array([width / self.width, height / self.height, 1.0])
        K = self.K * scale[:, None]
        K[:, 2] += 0.5 * scale - 0.5  # pixel centres are integers
        return replace(self, width=width, height=height, K=K)


def camera_from_info(width, height, distortion_model, D, K, R, P, *, rectified=False,
                     x_offset=0, y_offset=0, roi_width=0, roi_height=0, do_rectify=False,
                     binning_x=0, binning_y=0):
    """
    Return the CameraModel of CameraInfo's plain values (K and R flat 9, P flat 12).

    rectified: the image topic is rectified (image_rect): R and P are used and no distortion;
        else K and D of the raw image, for points in the camera's optical frame.
    The principal point moves by the region of interest, then binning divides the first two
    rows, as image_geometry does it; do_rectify (a distinct rectified region, which
    image_geometry does not work out either) makes a rectified sub-window an error.
    Raises ConfigError naming what was found.
    """
    x_step, y_step = max(1, int(binning_x)), max(1, int(binning_y))
    if rectified and do_rectify and (x_offset or y_offset):
        raise ConfigError(
            'camera_info has a region of interest with do_rectify: where it lies in the '
            'rectified image is not known; use the raw image, or the whole one')
    columns = (int(roi_width) or int(width) - int(x_offset)) // x_step
    rows = (int(roi_height) or int(height) - int(y_offset)) // y_step
    projection = (_matrix('P', P, (3, 4)).copy() if rectified
                  else np.column_stack([_matrix('K', K, (3, 3)), np.zeros(3)]))
    _check_intrinsics(projection[:, :3])
    projection[:2, 2] -= x_offset, y_offset
    projection[0] /= x_step
    projection[1] /= y_step
    intrinsics = projection[:, :3]
    if rectified:
        translation = np.linalg.solve(intrinsics, projection[:, 3])
        return CameraModel(columns, rows, intrinsics, R=_rotation_or_identity(R),
                           translation_m=translation)
    if not any(D) and distortion_model != 'equidistant':  # zeros, which simulators send
        distortion_model, D = 'none', ()
    return CameraModel(columns, rows, intrinsics, distortion_model, D)


def project(camera, points_camera):
    """
    Project points float [M, 3] (m, optical frame: x right, y down, z forward) of a camera.

    Returns pixels float64 [M, 2] (u, v; NaN where invalid; may lie off the image) and valid
    bool [M]: False behind the camera, for non-finite points and beyond the angle at which
    the distortion folds back.
    """
    points = np.asarray(points_camera, np.float64).reshape(-1, 3)
    finite = np.isfinite(points)
    if not finite.all():
        points = np.where(finite.all(axis=1, keepdims=True), points, np.nan)
    if not camera._is_plain:
        points = points @ camera.R.T + camera.translation_m
    pixels = np.full((len(points), 2), np.nan)
    valid = points[:, 2] > MIN_DEPTH_M  # NaN compares false
    angle = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
    valid[valid] = angle[valid] <= camera._angle_limit
    if valid.any():
        rays = _distorted(camera, points[valid])
        pixels[valid] = rays @ camera.K[:2, :2].T + camera.K[:2, 2]
    valid &= np.isfinite(pixels).all(axis=1)
    return pixels, valid


def _distorted(camera, points):
    """Return rays float64 [M, 2] as the lens bends them, NaN where they miss a tilted sensor."""
    none, one = _STAYS
    D, points = np.array(camera.D), np.ascontiguousarray(points)[:, None]
    if camera.distortion_model == 'equidistant':
        return cv2.fisheye.projectPoints(points, none, none, one, D)[0][:, 0]
    rays = cv2.projectPoints(points, none, none, one, D)[0][:, 0]
    if len(D) > 12 and any(D[12:]):  # OpenCV mirrors what is behind the sensor
        before = cv2.projectPoints(points, none, none, one, D[:12])[0][:, 0]
        (sin_x, sin_y), (cos_x, cos_y) = np.sin(D[12:]), np.cos(D[12:])
        ahead = before @ [sin_y, -cos_y * sin_x] + cos_y * cos_x
        rays[~(ahead > 0)] = np.nan
    return rays


def _largest_angle(model, D):
    """
    Return the angle from the axis, rad, up to which the distorted radius grows.

    With r = tan(angle) (for 'equidistant' the angle itself) and s = r^2, the slope of
    r N(s) / M(s) has the sign of N M + 2 s (N' M - N M'), and M's zeros are poles: the smallest
    positive root of both ends the useful range.
    """
    fisheye = model == 'equidistant'
    k1, k2, _, _, k3, k4, k5, k6 = (D + (0.0,) * 8)[:8]
    N = np.poly1d([*D[::-1], 1.0] if fisheye else [k3, k2, k1, 1.0])
    M = np.poly1d([1.0] if fisheye else [k6, k5, k4, 1.0])
    slope = N * M + 2 * np.poly1d([1.0, 0.0]) * (N.deriv() * M - N * M.deriv())
    roots = np.concatenate([slope.roots, M.roots])
    real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
    limit = math.sqrt(min(real, default=math.inf))
    return limit if fisheye else math.atan(limit)


def _matrix(name, value, shape):
    matrix = np.array(value, np.float64)
    if matrix.size != math.prod(shape) or not np.isfinite(matrix).all():
        raise ConfigError(f'camera_info {name} must be {math.prod(shape)} finite numbers, '
                          f'found {matrix.ravel().tolist()}')
    matrix = matrix.reshape(shape)
    matrix.flags.writeable = False
    return matrix


def _check_intrinsics(K):
    if K[0, 0] == 0 or K[1, 1] == 0:
        raise ConfigError(
            f'camera_info has fx = {K[0, 0]}, fy = {K[1, 1]}: the camera is not calibrated, '
            'so no robot point can be found in its image; publish a calibrated camera_info')
    if K[0, 0] < 0 or K[1, 1] < 0 or not np.array_equal(K[2], [0.0, 0.0, 1.0]):
        raise ConfigError('camera_info has intrinsics that no pinhole camera has: '
                          f'{K.tolist()}; expected fx, fy > 0 and 0 0 1 in the last row')


def _check_distortion(model, D):
    if model not in COEFFICIENT_COUNTS:
        raise ConfigError(f'distortion model {model!r} is not known: use one of '
                          f'{tuple(COEFFICIENT_COUNTS)}, or a rectified image')
    if len(D) not in COEFFICIENT_COUNTS[model]:
        raise ConfigError(f'distortion model {model!r} takes {COEFFICIENT_COUNTS[model]} '
                          f'coefficients, found {len(D)}: {D}')
    if not all(math.isfinite(value) for value in D):
        raise ConfigError(f'distortion coefficients must be finite, found {D}')


def _rotation_or_identity(R):
    """Many drivers leave R zero where there is no stereo."""
    rotation = _matrix('R', R, (3, 3))
    return rotation if rotation.any() else np.eye(3)
