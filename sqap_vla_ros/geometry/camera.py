# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera as sensor_msgs/CameraInfo describes it, and the projection of points into its image.

Distortion follows OpenCV (calib3d and calib3d/fisheye). A polynomial distortion folds back
beyond some angle: a point out there would land on a plausible but wrong pixel, so the largest
radius up to which the distorted radius grows is computed once and points beyond are invalid.
"""
from dataclasses import dataclass, field
import math

import numpy as np

from ..errors import ConfigError, ObservationError

COEFFICIENT_COUNTS = {
    'none': (0,), 'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
MIN_DEPTH_M = 1e-6


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
        limit = _largest_monotonic(self.distortion_model, self.D)
        object.__setattr__(self, '_radius_limit', limit)

    @property
    def focal_px(self):
        """Return the larger focal length, pixels."""
        return float(max(self.K[0, 0], self.K[1, 1]))

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
        scale = np.array([width / self.width, height / self.height])
        K = self.K.copy()
        K[0] *= scale[0]
        K[1] *= scale[1]
        K[:2, 2] += 0.5 * scale - 0.5  # pixel centres are integers
        return CameraModel(width, height, K, self.distortion_model, self.D, self.R,
                           self.translation_m)


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
    model, D = _plain_distortion(distortion_model, D)
    return CameraModel(columns, rows, intrinsics, model, D)


def project(camera, points_camera):
    """
    Project points float [M, 3] (m, optical frame: x right, y down, z forward) of a camera.

    Returns pixels float64 [M, 2] (u, v; NaN where invalid; may lie off the image) and valid
    bool [M]: False behind the camera, for non-finite points and beyond the angle at which
    the distortion folds back.
    """
    points = np.asarray(points_camera, np.float64).reshape(-1, 3)
    points = np.where(np.isfinite(points).all(axis=1, keepdims=True), points, np.nan)
    points = points @ camera.R.T + camera.translation_m
    valid = points[:, 2] > MIN_DEPTH_M  # NaN compares false
    rays = np.full((len(points), 2), np.nan)
    rays[valid] = points[valid, :2] / points[valid, 2:]
    distorted = _distort(camera, rays)
    homogeneous = np.column_stack([distorted, np.ones(len(points))]) @ camera.K.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    valid &= np.isfinite(pixels).all(axis=1)
    return np.where(valid[:, None], pixels, np.nan), valid


def _distort(camera, rays):
    """Return the distorted rays [M, 2] (x/z, y/z), NaN beyond the largest monotonic radius."""
    model, limit = camera.distortion_model, camera._radius_limit
    radius = np.hypot(rays[:, 0], rays[:, 1])
    extent = np.arctan(radius) if model == 'equidistant' else radius
    rays = np.where((extent <= limit)[:, None], rays, np.nan)  # NaN compares false
    if model == 'none':
        return rays
    if model == 'equidistant':
        return rays * _equidistant_factor(camera.D, extent, radius)[:, None]
    return _distort_brown(np.array(camera.D + (0.0,) * (14 - len(camera.D))), rays)


def _equidistant_factor(D, angle, radius):
    """Return Kannala-Brandt's theta_d / r: theta_d = theta (1 + k1 theta^2 + ... + k4 theta^8)."""
    distorted = angle * np.polyval([*D[::-1], 1.0], angle ** 2)
    near = radius < 1e-8
    return np.where(near, 1.0, distorted / np.where(near, 1.0, radius))


def _distort_brown(D, rays):
    """Return rays with OpenCV's radial, tangential, thin prism and tilt terms; D [14]."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tilt_x, tilt_y = D
    x, y = rays[:, 0], rays[:, 1]
    s = x * x + y * y
    radial = np.polyval([k3, k2, k1, 1.0], s) / np.polyval([k6, k5, k4, 1.0], s)
    u = x * radial + 2 * p1 * x * y + p2 * (s + 2 * x * x) + s1 * s + s2 * s * s
    v = y * radial + p1 * (s + 2 * y * y) + 2 * p2 * x * y + s3 * s + s4 * s * s
    if tilt_x == 0 and tilt_y == 0:
        return np.column_stack([u, v])
    tilted = np.column_stack([u, v, np.ones(len(s))]) @ _tilt_matrix(tilt_x, tilt_y).T
    tilted[~(tilted[:, 2] > 0)] = np.nan  # the ray never meets the tilted sensor
    return tilted[:, :2] / tilted[:, 2:]


def _tilt_matrix(tilt_x, tilt_y):
    """Return the homography [3, 3] of a sensor tilted by two angles (rad), as OpenCV has it."""
    cx, sx, cy, sy = math.cos(tilt_x), math.sin(tilt_x), math.cos(tilt_y), math.sin(tilt_y)
    rotation = (np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
                @ np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]]))
    perspective = np.array([[rotation[2, 2], 0, -rotation[0, 2]],
                            [0, rotation[2, 2], -rotation[1, 2]], [0, 0, 1]])
    return perspective @ rotation


def _largest_monotonic(model, D):
    """
    Return the radius (x/z; for 'equidistant' the angle, rad) up to which distortion grows.

    With s = radius^2: d/dr of r N(s)/M(s) has the sign of N M + 2 s (N' M - N M'), and M's
    zeros are poles; the smallest positive root ends the useful range.
    """
    if model == 'none':
        return math.inf
    if model == 'equidistant':
        numerator, denominator = np.poly1d([*D[::-1], 1.0]), np.poly1d([1.0])
    else:
        k1, k2, _, _, k3, k4, k5, k6 = (D + (0.0,) * 8)[:8]
        numerator = np.poly1d([k3, k2, k1, 1.0])
        denominator = np.poly1d([k6, k5, k4, 1.0])
    s = np.poly1d([1.0, 0.0])
    slope = (numerator * denominator
             + 2 * s * (numerator.deriv() * denominator - numerator * denominator.deriv()))
    roots = np.concatenate([slope.roots, denominator.roots])
    real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return math.sqrt(real.min()) if len(real) else math.inf


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


def _plain_distortion(model, D):
    """Return model and D; an ideal pinhole for no D or zeros, which simulators send."""
    D = tuple(float(value) for value in D)
    ideal = not any(D)  # NaN counts as not ideal, and is refused later
    if ideal and model != 'equidistant':
        return 'none', ()
    return model, D


def _rotation_or_identity(R):
    """Many drivers leave R zero where there is no stereo."""
    rotation = _matrix('R', R, (3, 3))
    return rotation if rotation.any() else np.eye(3)
