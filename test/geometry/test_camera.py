# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Camera models and projection against OpenCV."""
import math

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.camera import camera_from_info, CameraModel, project

K = np.array([[525.0, 0.0, 321.5], [0.0, 520.0, 238.25], [0.0, 0.0, 1.0]])
LENSES = {
    'none': ('none', ()),
    'plumb_bob 4': ('plumb_bob', (-0.28, 0.07, 0.001, -0.0008)),
    'plumb_bob 5': ('plumb_bob', (0.12, -0.31, 0.002, 0.003, 0.1)),
    'rational 8': ('rational_polynomial', (0.4, -0.2, 1e-4, -2e-4, 0.02, 0.7, -0.1, 0.05)),
    'rational 12': ('rational_polynomial',
                    (0.4, -0.2, 1e-4, -2e-4, 0.02, 0.7, -0.1, 0.05, 1e-3, -2e-4, 3e-3, 1e-4)),
    'rational 14': ('rational_polynomial',
                    (0.4, -0.2, 1e-4, -2e-4, 0.02, 0.7, -0.1, 0.05,
                     1e-3, -2e-4, 3e-3, 1e-4, 0.03, -0.05)),
    'equidistant': ('equidistant', (-0.02, 0.011, -0.009, 0.002)),
}


def camera(lens='none', width=640, height=480):
    return CameraModel(width, height, K, *LENSES[lens])


def points_in_view(count=200, half_angle=0.5):
    generator = np.random.default_rng(3)
    rays = generator.uniform(-half_angle, half_angle, (count, 2))
    depth = generator.uniform(0.2, 4.0, (count, 1))
    return np.column_stack([rays * depth, depth])


@pytest.mark.parametrize('lens', LENSES)
def test_projection_equals_opencv(lens):
    model, D = LENSES[lens]
    points = points_in_view()
    pixels, valid = project(camera(lens), points)
    zero = np.zeros(3)
    if model == 'equidistant':
        expected, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, K, np.array(D))
    else:
        expected, _ = cv2.projectPoints(points, zero, zero, K, np.array(D) if D else None)
    assert valid.all()
    np.testing.assert_allclose(pixels, expected.reshape(-1, 2), atol=1e-6)


@pytest.mark.parametrize('lens', LENSES)
def test_points_behind_the_camera_or_not_finite_have_no_pixel(lens):
    points = [[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.1, 0.1, 1e-12], [np.nan, 0.0, 1.0],
              [0.0, 0.0, np.inf], [0.0, 0.0, np.nan], [0.0, 0.0, 1.0]]
    pixels, valid = project(camera(lens), points)
    assert valid.tolist() == [False] * 6 + [True]
    assert np.isnan(pixels[:6]).all() and np.isfinite(pixels[6]).all()


def test_no_points_project_to_no_pixels():
    pixels, valid = project(camera('plumb_bob 5'), np.zeros((0, 3)))
    assert pixels.shape == (0, 2) and valid.shape == (0,)


@pytest.mark.parametrize('lens', [name for name in LENSES if name != 'none'])
def test_the_distorted_radius_grows_over_all_valid_points(lens):
    model, D = LENSES[lens]
    radial = CameraModel(640, 480, np.diag([1.0, 1.0, 1.0]), model, radial_part(model, D))
    angle = np.linspace(1e-3, math.pi / 2 - 1e-3, 4000)
    points = np.column_stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)])
    pixels, valid = project(radial, points)
    first_invalid = len(valid) if valid.all() else int(np.argmin(valid))
    assert not valid[first_invalid:].any()
    assert first_invalid > 100
    assert (np.diff(pixels[:first_invalid, 0]) > 0).all()


def radial_part(model, D):
    D = list(D)
    if model != 'equidistant':
        D[2:4] = [0.0, 0.0]
        D[8:] = [0.0] * len(D[8:])
    return tuple(D)


def test_a_point_where_barrel_distortion_folds_back_is_refused_not_misplaced():
    # r (1 - 0.3 r^2) peaks at r = sqrt(1 / 0.9) = 1.054; at r = 1.8 it is back at 0.05
    strong = CameraModel(640, 480, K, 'plumb_bob', (-0.3, 0.0, 0.0, 0.0, 0.0))
    pixels, valid = project(strong, [[1.05, 0.0, 1.0], [1.06, 0.0, 1.0], [1.8, 0.0, 1.0]])
    assert valid.tolist() == [True, False, False]
    assert np.isnan(pixels[1:]).all()


def test_a_rational_lens_is_refused_beyond_its_pole():
    lens = CameraModel(640, 480, K, 'rational_polynomial', (0, 0, 0, 0, 0, -0.25, 0, 0))
    _, valid = project(lens, [[1.9, 0.0, 1.0], [2.1, 0.0, 1.0]])
    assert valid.tolist() == [True, False]


@pytest.mark.parametrize('tilt, axis', [((1.2, 0), 1), ((-1.2, 0), 1), ((0, 1.2), 0),
                                        ((0, -1.2), 0), ((0.9, 0.6), 1)])
def test_rays_that_miss_a_tilted_sensor_have_no_pixel_and_all_others_have(tilt, axis):
    lens = CameraModel(640, 480, K, 'rational_polynomial', (*(0.0,) * 12, *tilt))
    points = np.tile([0.0, 0.0, 1.0], (1001, 1))
    points[:, axis] = np.linspace(-5, 5, 1001)
    pixels, valid = project(lens, points)
    assert valid[500] and 100 < valid.sum() < 1001 and np.diff(valid).sum() == 1
    place = pixels[valid, axis]
    assert (np.diff(place) > 0).all()
    assert np.abs(place - K[axis, 2]).max() > 10_000  # up to rays along the sensor


def test_the_skew_of_a_camera_matrix_counts():
    skewed = K + [[0, 7.0, 0], [0, 0, 0], [0, 0, 0]]
    pixels, _ = project(CameraModel(640, 480, skewed), [[0.5, 0.25, 0.5]])
    np.testing.assert_allclose(pixels, [[525 + 7 * 0.5 + 321.5, 520 * 0.5 + 238.25]])


@pytest.mark.parametrize('field, value, said', [
    ('K', np.zeros((3, 3)), 'not calibrated'),
    ('K', -K, 'no pinhole'),
    ('K', K[:2], '9 finite numbers'),
    ('K', np.where(K == 1.0, np.nan, K), 'nan'),
    ('width', 0, '0 x 480'),
    ('distortion_model', 'fov', "'fov'"),
    ('D', (0.1, 0.2), 'found 2'),
    ('D', (0.1, 0.2, 0.0, float('nan')), 'nan'),
])
def test_a_camera_that_cannot_be_is_refused_with_what_was_found(field, value, said):
    values = {'width': 640, 'height': 480, 'K': K, 'distortion_model': 'plumb_bob',
              'D': LENSES['plumb_bob 5'][1], field: value}
    with pytest.raises(ConfigError, match=said):
        CameraModel(**values)


def info(**changes):
    values = {'width': 640, 'height': 480, 'distortion_model': 'plumb_bob',
              'D': LENSES['plumb_bob 5'][1], 'K': K.ravel(), 'R': np.eye(3).ravel(),
              'P': np.column_stack([K, np.zeros(3)]).ravel()}
    return {**values, **changes}


def test_a_raw_image_uses_k_and_d():
    made = camera_from_info(**info())
    assert made.distortion_model == 'plumb_bob' and made.D == LENSES['plumb_bob 5'][1]
    np.testing.assert_array_equal(made.K, K)


@pytest.mark.parametrize('model, D', [('', ()), ('plumb_bob', ()), ('plumb_bob', (0.0,) * 5),
                                      ('', (0.0,) * 5)])
def test_no_coefficients_or_zeros_mean_an_ideal_pinhole(model, D):
    assert camera_from_info(**info(distortion_model=model, D=D)).distortion_model == 'none'


def test_an_equidistant_lens_with_zero_coefficients_is_still_equidistant():
    made = camera_from_info(**info(distortion_model='equidistant', D=(0.0,) * 4))
    pixels, _ = project(made, [[1.0, 0.0, 1.0]])
    assert pixels[0, 0] == pytest.approx(525.0 * math.pi / 4 + 321.5)


def test_a_rectified_image_agrees_with_opencvs_rectification_of_the_raw_one():
    R = Rotation.from_euler('xyz', [0.02, -0.03, 0.01]).as_matrix()
    P = np.array([[500.0, 0, 310, 0], [0, 500, 250, 0], [0, 0, 1, 0]])
    raw = camera_from_info(**info(R=R.ravel(), P=P.ravel()))
    rectified = camera_from_info(**info(R=R.ravel(), P=P.ravel()), rectified=True)
    points = points_in_view(half_angle=0.3)
    raw_pixels, _ = project(raw, points)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    undistort = getattr(cv2, 'undistortPointsIter', cv2.undistortPoints)  # OpenCV 4, OpenCV 5
    expected = undistort(raw_pixels[:, None], raw.K, np.array(raw.D), R=R, P=P, criteria=criteria)
    pixels, valid = project(rectified, points)
    assert valid.all()
    np.testing.assert_allclose(pixels, expected.reshape(-1, 2), atol=1e-4)


def test_the_right_image_of_a_stereo_pair_is_shifted_by_the_baseline():
    P = np.column_stack([K, [-525.0 * 0.12, 0.0, 0.0]])
    right = camera_from_info(**info(P=P.ravel(), R=[0.0] * 9), rectified=True)
    points = points_in_view(5)
    homogeneous = np.column_stack([points, np.ones(5)]) @ P.T
    pixels, _ = project(right, points)
    np.testing.assert_allclose(pixels, homogeneous[:, :2] / homogeneous[:, 2:])


@pytest.mark.parametrize('rectified', [False, True])
def test_roi_and_binning_move_the_principal_point_first_and_divide_then(rectified):
    made = camera_from_info(**info(), rectified=rectified, x_offset=100, y_offset=40,
                            roi_width=400, roi_height=300, binning_x=2, binning_y=4)
    assert (made.width, made.height) == (200, 75)
    np.testing.assert_allclose(
        made.K, [[262.5, 0, 110.75], [0, 130.0, 49.5625], [0, 0, 1]])


def test_a_distinct_rectified_region_is_refused():
    with pytest.raises(ConfigError, match='do_rectify'):
        camera_from_info(**info(), rectified=True, do_rectify=True, x_offset=8,
                         roi_width=100, roi_height=100)


def test_an_image_one_pixel_off_the_aspect_is_scaled_and_another_aspect_refused():
    assert camera().for_image(321, 240).width == 321
    for size in ((640, 360), (480, 480), (480, 640), (0, 0), (322, 240)):
        with pytest.raises(ObservationError, match='640 x 480'):
            camera().for_image(*size)
