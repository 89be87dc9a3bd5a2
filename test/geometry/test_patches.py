# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From pixels to the patches that are protected."""
import numpy as np
import pytest

from sqap_vla_ros.geometry import patches as geometry
from sqap_vla_ros.geometry.image_transform import ImageTransform

GRID = (16, 16)
SQUASH = ImageTransform((224, 224))


def protected(pixels, radii=None, image_size=(448, 448), transform=SQUASH, **options):
    radii = np.zeros(len(pixels)) if radii is None else radii
    return geometry.protected_distances(pixels, radii, image_size, transform, GRID, **options)


def test_patches_are_numbered_row_by_row_and_have_their_centres_between_pixels():
    centers = geometry.patch_centers(GRID, (224, 224))
    np.testing.assert_allclose(centers[[0, 1, 16]], [[6.5, 6.5], [20.5, 6.5], [6.5, 20.5]])


def test_patches_of_384_px_are_14_px_and_the_rest_is_beyond_the_last():
    grid, large = (27, 27), ImageTransform((384, 384))
    centers = geometry.patch_centers(grid, (384, 384))
    np.testing.assert_allclose(centers[[0, 26, 27]], [[6.5, 6.5], [370.5, 6.5], [6.5, 20.5]])
    found = geometry.protected_distances(
        [[20.5 * 14 - 0.5, 3.5 * 14 - 0.5], [382.0, 100.0]], [0.0, 0.0], (384, 384), large, grid)
    found = found.reshape(grid)
    assert found[3, 20] == 0 and np.isfinite(found[7, 25:]).all() and np.isinf(found[7, 24])
    np.testing.assert_allclose(geometry.patch_radius([14.0], (384, 384), large, grid), [1.0])
    # twice as large an image, and a grid that divides it, are as they always were
    np.testing.assert_allclose(geometry.patch_step((16, 8), (224, 224)), [28, 14])


def test_the_disk_round_a_point_is_protected_and_nothing_else():
    # patch (row 5, col 7) of a 448 x 448 image has its centre at (7.5, 5.5) x 28 - 0.5
    distance = protected([[7.5 * 28 - 0.5, 5.5 * 28 - 0.5]]).reshape(GRID)
    row, col = np.mgrid[:16, :16]
    expected = np.hypot(row - 5, col - 7)
    np.testing.assert_allclose(distance, np.where(expected <= 2, expected, np.inf), atol=1e-6)
    assert distance.dtype == np.float32 and np.isfinite(distance).sum() == 13


def test_uncertainty_in_pixels_grows_the_disk_through_the_transform():
    pixel = [[7.5 * 28 - 0.5, 5.5 * 28 - 0.5]]
    assert np.isfinite(protected(pixel, [28.0])).sum() == 29  # the lattice points within 3
    half = ImageTransform((224, 224), 'resize-crop', crop_area=0.25)  # patches of 14 px now
    at_centre = [[223.5 + 7, 223.5 + 7]]
    assert np.isfinite(protected(at_centre, [14.0], transform=half)).sum() == 29


@pytest.mark.parametrize('grid, radius', [
    ((16, 16), 30 * 224 / 480 / 14),  # a pixel is higher than wide in the squashed image
    ((8, 16), 30 * 224 / 640 / 14), ((16, 4), 30 * 224 / 480 / 14), ((4, 8), 30 * 224 / 640 / 28)])
def test_uncertainty_counts_in_the_direction_in_which_it_is_more_patches(grid, radius):
    found = geometry.patch_radius([30.0, 0.0], (480, 640), SQUASH, grid)
    np.testing.assert_allclose(found, [radius, 0.0])


def test_of_two_points_a_patch_takes_the_distance_of_the_nearer():
    distance = protected([[41.5, 13.5], [97.5, 13.5]]).reshape(GRID)
    np.testing.assert_allclose(distance[0, :6], [1, 0, 1, 0, 1, 2], atol=1e-6)


@pytest.mark.parametrize('pixel', [
    [-1.0, 20.0], [448.0, 20.0], [20.0, -0.6], [20.0, 447.6], [np.nan, 20.0], [20.0, np.inf]])
def test_a_point_off_the_image_protects_nothing(pixel):
    assert np.isinf(protected([pixel])).all()
    assert np.isfinite(protected([pixel, [200.0, 200.0]])).any()


def test_a_point_that_the_crop_removes_protects_nothing():
    crop = ImageTransform((224, 224), crop_area=0.5)
    assert np.isfinite(protected([[10.0, 224.0]])).any()
    assert np.isinf(protected([[10.0, 224.0]], transform=crop)).all()


def test_a_point_beside_the_image_is_not_found_in_the_letterbox_padding():
    letterbox = ImageTransform((224, 224), 'letterbox')
    distance = protected([[300.0, -20.0]], image_size=(480, 640), transform=letterbox)
    assert np.isinf(distance).all()


def test_no_point_and_unknown_uncertainty_protect_nothing():
    assert np.isinf(protected(np.zeros((0, 2)))).all()
    assert np.isinf(protected([[200.0, 200.0]], [np.inf])).all()
    assert np.isinf(protected([[200.0, 200.0]], [np.nan])).all()
    with pytest.raises(ValueError, match='1 points but 2 radii'):
        protected([[200.0, 200.0]], [1.0, 2.0])


def test_the_rotated_image_protects_the_opposite_patch():
    turned = ImageTransform((224, 224), rotate_180=True)
    pixel = [[7.5 * 28 - 0.5, 5.5 * 28 - 0.5]]
    np.testing.assert_allclose(
        protected(pixel, transform=turned), protected(pixel)[::-1], atol=1e-6)


def test_the_views_of_several_cameras_are_one_after_the_other():
    views = [([[41.5, 13.5]], [20.0], (448, 448)), (np.zeros((0, 2)), [], (48, 64)),
             ([[10.0, 20.0]], [0.0], (30, 40))]
    found = geometry.distances_of_views(views, SQUASH, GRID, 1.5).reshape(3, -1)
    for one, (pixels, radii, size) in zip(found, views):
        np.testing.assert_array_equal(one, geometry.protected_distances(
            pixels, radii, size, SQUASH, GRID, 1.5))
    assert np.isfinite(found).any(axis=1).tolist() == [True, False, True]
