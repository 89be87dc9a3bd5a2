# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels and coordinates take the same path; Pillow and drawn blobs are the oracles."""
import math

from hypothesis import given, settings, strategies as st
import numpy as np
from PIL import Image
import pytest
from scipy.ndimage import gaussian_filter
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.image_transform import ImageTransform

TRANSFORMS = [
    ImageTransform(size, strategy, interpolation, rotate, crop)
    for size in ((224, 224), (97, 131))
    for strategy in ('resize-naive', 'letterbox', 'resize-crop')
    for interpolation, rotate, crop in (
        ('bicubic', False, 1.0), ('bicubic', True, 0.9), ('bilinear', False, 0.9),
        ('lanczos', True, 1.0))]
TRANSFORMS += [ImageTransform((97, 131), 'letterbox', rotate_180=turn, crop_area=0.9, mirror=True)
               for turn in (False, True)]
TRANSFORMS += [ImageTransform(size, rotate_180=turn, crop_area=0.9, client='openvla',
                              first_size=first)
               for size, turn, first in (((224, 224), True, None), ((97, 131), False, (256, 256)))]


def blob(center, image_size, sigma):
    v, u = np.mgrid[:image_size[0], :image_size[1]]
    squared = (u - center[0]) ** 2 + (v - center[1]) ** 2
    value = np.round(255 * np.exp(-squared / (2 * sigma ** 2))).astype(np.uint8)
    return np.repeat(value[:, :, None], 3, axis=2)


def centroid(image):
    weight = image[:, :, 0].astype(np.float64)
    v, u = np.mgrid[:weight.shape[0], :weight.shape[1]]
    return np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


@pytest.mark.parametrize('image_size', [(256, 256), (479, 641), (101, 77)])
@pytest.mark.parametrize('transform', TRANSFORMS, ids=str)
def test_a_blob_is_found_where_its_pixel_is_mapped(transform, image_size):
    scale = transform.scale(image_size)
    sigma = 2.5 / min(scale)
    for place in ((0.5, 0.5), (0.37, 0.58), (0.6, 0.41)):
        center = np.array(place) * np.array(image_size)[::-1]
        found = centroid(transform.apply(blob(center, image_size, sigma)))
        mapped = transform.pixels_to_input(center, image_size)[0]
        assert np.abs(found - mapped).max() < 0.3
        np.testing.assert_allclose(transform.input_to_pixels(mapped, image_size)[0], center)


@settings(max_examples=60)
@given(st.tuples(st.integers(20, 300), st.integers(20, 300)),
       st.tuples(st.integers(16, 260), st.integers(16, 260)),
       st.sampled_from(['resize-naive', 'letterbox', 'resize-crop']),
       st.booleans(), st.sampled_from([1.0, 0.9, 0.5]))
def test_any_size_gives_the_input_size_and_an_invertible_map(
        image_size, size, strategy, rotate, crop):
    transform = ImageTransform(size, strategy, 'bilinear', rotate, crop)
    image = np.full((*image_size, 3), 9, np.uint8)
    result = transform.apply(image)
    assert result.shape == (*size, 3) and result.dtype == np.uint8
    corners = np.array([[-0.5, -0.5], [image_size[1] - 0.5, image_size[0] - 0.5], [3, 4]])
    back = transform.input_to_pixels(transform.pixels_to_input(corners, image_size), image_size)
    np.testing.assert_allclose(back, corners, atol=1e-9)
    centre = (np.array(image_size)[::-1] - 1) / 2
    # an odd number of padding pixels can't be split: half a pixel of the input at most
    middle = transform.pixels_to_input(centre, image_size)[0]
    assert np.abs(middle - (np.array(size)[::-1] - 1) / 2).max() <= 0.5 + 1e-9


def test_a_squashed_image_is_pillows_bicubic_bit_by_bit():
    image = noise((240, 320))
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.BICUBIC))
    np.testing.assert_array_equal(ImageTransform((224, 224)).apply(image), expected)


@pytest.mark.parametrize('strategy', ['resize-naive', 'letterbox', 'resize-crop'])
@pytest.mark.parametrize('turn, axes', [
    ({'rotate_180': True}, np.s_[::-1, ::-1]), ({'mirror': True}, np.s_[:, ::-1]),
    ({'rotate_180': True, 'mirror': True}, np.s_[::-1])])
def test_a_turn_is_that_of_the_image_before_all_else(strategy, turn, axes):
    image = noise((201, 333))
    plain, turned = (ImageTransform((98, 98), strategy, crop_area=0.9, **changes)
                     for changes in ({}, turn))
    difference = plain.apply(image[axes]).astype(int) - turned.apply(image).astype(int)
    assert np.abs(difference).max() <= 1  # rounding of Pillow's two passes


def test_letterbox_pads_with_the_fill_and_keeps_the_aspect():
    transform = ImageTransform((224, 224), 'letterbox', fill=(1, 2, 3))
    result = transform.apply(np.full((480, 640, 3), 200, np.uint8))
    assert transform.target_box((480, 640)) == pytest.approx((0, 28, 224, 168))
    assert (result[:26] == (1, 2, 3)).all() and (result[198:] == (1, 2, 3)).all()
    assert (result[30:194] == 200).all()  # the filter blends two rows at each border


def official(image, strategy, side, fill):
    """Return what torchvision's pad, resize of the shorter side and centre crop give."""
    image = Image.fromarray(image)
    if strategy == 'letterbox':
        longest = max(image.size)
        left, top = (int((longest - length) / 2) for length in image.size)
        padded = Image.new('RGB', (image.width + 2 * left, image.height + 2 * top), fill)
        padded.paste(image, (left, top))
        image = padded
    short, long = min(image.size), max(image.size)
    sizes = {short: side, long: int(side * long / short)} if short < long else {short: side}
    image = image.resize((sizes[image.width], sizes[image.height]), Image.BICUBIC)
    left, top = (int(round((length - side) / 2.0)) for length in image.size)
    return np.asarray(image)[top:top + side, left:left + side]


@pytest.mark.parametrize('image_size', [
    (480, 640), (251, 333), (250, 333), (333, 250), (300, 300), (97, 50), (51, 50), (74, 75),
    (75, 74)])
@pytest.mark.parametrize('strategy', ['letterbox', 'resize-crop'])
def test_the_aspect_is_kept_as_torchvision_does_bit_by_bit(strategy, image_size):
    transform, image = ImageTransform((224, 224), strategy, fill=(1, 2, 3)), noise(image_size)
    expected = official(image, strategy, 224, (1, 2, 3))
    np.testing.assert_array_equal(transform.apply(image), expected)
    turned = ImageTransform((224, 224), strategy, fill=(1, 2, 3), rotate_180=True)
    np.testing.assert_array_equal(turned.apply(image[::-1, ::-1]), expected)


def test_an_image_of_the_right_size_passes_unchanged():
    image = noise((224, 224))
    np.testing.assert_array_equal(ImageTransform((224, 224)).apply(image), image)


@pytest.mark.parametrize('change', [
    {'size': (0, 224)}, {'strategy': 'stretch'}, {'interpolation': 'area'}, {'crop_area': 0.0},
    {'crop_area': 1.2}, {'crop_area': math.nan}, {'fill': (0, 0)}, {'fill': (0, 0, 300)}])
def test_a_transform_that_cannot_be_is_refused(change):
    with pytest.raises(ConfigError):
        ImageTransform(**{'size': (224, 224), **change})


@pytest.mark.parametrize('image', [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
    np.zeros((0, 4, 3), np.uint8)])
def test_an_image_of_another_shape_or_type_is_refused(image):
    with pytest.raises(ObservationError, match='uint8'):
        ImageTransform((224, 224)).apply(image)


def noise(image_size):
    values = np.random.default_rng(0).random((*image_size, 3))
    smooth = gaussian_filter(values, (2, 2, 0))
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))
