# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far a projected point may be off: OpenCV projects it from poses within the uncertainty."""

import cv2
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.geometry.camera import CameraModel
from sqap_vla_ros.geometry.uncertainty import capped, radius_of_motion

K = np.array([[600.0, 0, 320], [0, 620.0, 240], [0, 0, 1]])
D = (-0.2, 0.08, 0.002, -0.001, -0.01)
LENSES = {'none': CameraModel(640, 480, K), 'plumb_bob': CameraModel(640, 480, K, 'plumb_bob', D),
          'equidistant': CameraModel(640, 480, K, 'equidistant', (-0.02, 0.003, -0.001, 0.0))}
SAMPLES = 2000


def pixels_of(lens, points):
    """Return the pixels [M, 2] of points before the lens, by OpenCV."""
    points = np.ascontiguousarray(points)[:, None]
    distort = (cv2.fisheye if lens.distortion_model == 'equidistant' else cv2).projectPoints
    return distort(points, np.zeros(3), np.zeros(3), K, np.array(lens.D or (0.0,) * 4))[0][:, 0]


def random_steps(most, seed):
    """Return vectors [SAMPLES, 3] no longer than `most`, half of them as long."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(SAMPLES, 3))
    lengths = most * np.where(np.arange(SAMPLES) % 2, 1.0, rng.uniform(size=SAMPLES) ** (1 / 3))
    return steps * (lengths / np.linalg.norm(steps, axis=1))[:, None]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LENSES)), st.floats(-0.5, 0.5), st.floats(-0.4, 0.4),
       st.floats(0.15, 3.0), st.floats(0.0, 0.5), st.floats(0.0, 2.0), st.floats(0.001, 0.1),
       st.integers(0, 2**31))
def test_poses_within_the_uncertainty_are_seen_within_the_radius(
        kind, x, y, depth, linear, angular, age_s, seed):
    """A point that flies and a camera that turns, sampled: 99 % lie within, and it is no more."""
    lens, point = LENSES[kind], depth * np.array([x, y, 1.0])
    moved = age_s * (linear + angular * np.linalg.norm(point))
    radius = radius_of_motion(lens, [point], moved)[0]
    turns = Rotation.from_rotvec(random_steps(angular * age_s, seed))
    points = turns.apply(point + random_steps(linear * age_s, seed + 1))
    points = points[points[:, 2] > 1e-3]
    off = np.linalg.norm(pixels_of(lens, points) - pixels_of(lens, point[None]), axis=1)
    assert np.mean(off <= radius + 1e-6) >= 0.99
    if not angular and moved < 0.1 * depth:
        assert radius <= 1.1 * off.max() + 1e-6, 'it claims no more than there is'


def test_a_camera_that_turns_moves_all_that_it_sees_however_far_away():
    points = [[0, 0, 0.2], [0, 0, 20.0]]
    radii = radius_of_motion(LENSES['none'], points, 0.01 * np.array([0.2, 20.0]))
    np.testing.assert_allclose(radii, 620 * 0.01, rtol=1e-3)


def test_nothing_moves_by_nothing_and_what_may_be_at_the_lens_may_be_seen_anywhere():
    radii = radius_of_motion(LENSES['plumb_bob'], [[0, 0, 1.0], [0, 0, 0.1], [0, 0, -1.0]],
                             [0.0, 0.1, 0.2])
    assert radii.tolist() == [0.0, np.inf, np.inf]
    assert len(radius_of_motion(LENSES['none'], np.zeros((0, 3)), [])) == 0


def test_a_rectified_stereo_camera_stands_beside_its_frame():
    lens = CameraModel(640, 480, K, translation_m=np.array([-0.5, 0.0, 0.0]))
    moved = radius_of_motion(lens, [[0.5, 0, 1.0]], 0.05)
    np.testing.assert_allclose(moved, radius_of_motion(LENSES['none'], [[0, 0, 1.0]], 0.05))


@pytest.mark.parametrize('radius, expected', [(3.0, 3.0), (200.0, 120.0), (np.inf, 120.0)])
def test_no_radius_is_larger_than_a_quarter_of_the_image(radius, expected):
    radii, limit = capped([radius], (480, 640))
    assert (radii.tolist(), limit) == ([expected], 120.0)
