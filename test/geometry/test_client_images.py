# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Pixels of the public clients: what TensorFlow made of ten camera pictures, value by value.

golden/oft_pictures/ has the pictures, and of each result by the official clients its SHA-256, with
the values (row, column, channel, value) in which it is another one than ours.
"""
from functools import lru_cache
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.geometry.client_images import centre_crop, lanczos
from sqap_vla_ros.geometry.image_presets import expanded, PRESETS
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.geometry.jpeg import round_trip

PICTURES = Path(__file__).parents[1] / 'golden/oft_pictures'
EXPECTED = json.loads((PICTURES / 'expected.json').read_text())
SIZE = (224, 224)
MOST_OTHERS = 5  # of 150528 values


@lru_cache
def picture(name):
    """Return what a camera gave, uint8 [H, W, 3]."""
    return np.asarray(Image.open(PICTURES / f'{name}.png').convert('RGB'))


def transform(name, **changes):
    """Return what the client of a picture does to it."""
    return ImageTransform(SIZE, **{**PRESETS[name.split('_')[0]], **changes})


def assert_is_the_clients(found, expected):
    """Compare all values with a result of the official client."""
    found = found.copy()
    assert len(expected['others']) <= MOST_OTHERS
    for *place, value in expected['others']:
        assert abs(int(found[tuple(place)]) - value) == 1
        found[tuple(place)] = value
    assert hashlib.sha256(found.tobytes()).hexdigest() == expected['sha256']


@pytest.mark.parametrize('name', EXPECTED)
def test_the_networks_input_is_the_official_clients(name):
    assert_is_the_clients(transform(name).apply(picture(name)), EXPECTED[name]['cropped'])


@pytest.mark.parametrize('name', EXPECTED)
def test_without_a_crop_it_is_what_the_official_client_resized(name):
    whole = transform(name, crop_area=1.0).apply(picture(name))
    assert_is_the_clients(whole, EXPECTED[name]['resized'])


@pytest.mark.parametrize('name', [name for name in EXPECTED if 'decoded' in EXPECTED[name]])
def test_a_jpeg_file_leaves_what_tensorflow_reads_to_the_bit(name):
    image = picture(name)
    image = (np.ascontiguousarray(image[::-1, ::-1]) if name.startswith('libero') else np.asarray(
        Image.fromarray(image).resize((256, 256), Image.BICUBIC)))
    assert EXPECTED[name]['decoded']['others'] == []
    assert_is_the_clients(round_trip(image), EXPECTED[name]['decoded'])


@pytest.mark.parametrize('height, width, sha256', [
    (1, 1, '05f55e7718fabdcf'), (2, 4, 'c5ec5b9a9f405582'), (5, 3, 'cc2ce4a57141ae7f'),
    (21, 4, 'ff76e1043a4996e5'), (7, 9, 'a1faafcdce4060a7'), (16, 17, 'fe80a5433d3a5ff3'),
    (33, 50, '303a9e3a3f2de657'),
    (101, 77, 'bc36fe3e106a5447'), (130, 255, 'e012609a2f70ba1d')])
def test_a_jpeg_file_of_any_size_leaves_what_libjpeg_reads(height, width, sha256):
    """Pillow wrote the file, and simplejpeg 1.9 (fastdct=True, libjpeg-turbo) read it."""
    image = picture('libero_case0_wrist')[90:90 + height, 1:1 + width]
    found = round_trip(np.ascontiguousarray(image))
    assert found.shape == image.shape
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == sha256


def test_one_colour_stays_itself_through_file_resize_and_crop():
    grey = np.full((48, 64, 3), 128, np.uint8)
    np.testing.assert_array_equal(round_trip(grey), grey)
    np.testing.assert_array_equal(lanczos(grey, (30, 90)), np.full((30, 90, 3), 128))
    np.testing.assert_array_equal(centre_crop(grey, 0.9), grey)
    white = np.full((8, 8, 3), 255, np.uint8)
    np.testing.assert_array_equal(centre_crop(white, 0.5), white)


def test_the_crop_samples_its_corners_at_the_corners_of_the_box():
    ramp = np.repeat(np.arange(224, dtype=np.uint8)[None, :, None], 3, axis=2)
    image = np.repeat(ramp, 224, axis=0)
    found = centre_crop(image, 0.81)[100, :, 0]
    places = 0.05 * 223 + np.arange(224) * 0.9
    np.testing.assert_array_equal(found, (places / 255 * 255.5 + 1e-4).astype(int))


def test_an_upright_frame_mirrored_is_the_benchmarks_own_turned():
    """The benchmark's frames are upside down; the simulator of this package shows them upright."""
    image = picture('libero_case0_full')
    upright = transform('libero', rotate_180=False, mirror=True)
    np.testing.assert_array_equal(
        upright.apply(image[::-1]), transform('libero').apply(image))


def test_a_preset_can_be_changed_and_stands_for_nothing_else():
    assert expanded('aloha') == {'client': 'openvla', 'crop_area': 0.9, 'first_size': (256, 256)}
    assert expanded({'preset': 'libero', 'crop_area': 1.0}) == {
        'client': 'openvla', 'crop_area': 1.0, 'rotate_180': True}
    assert expanded({'crop_area': 0.9}) == {'crop_area': 0.9}
    with pytest.raises(ConfigError, match=r"preset 'bridge' is unknown.*\['libero', 'aloha'\]"):
        expanded('bridge')


@pytest.mark.parametrize('changes, message', [
    ({'client': 'tensorflow'}, "client is 'tensorflow', expected one of"),
    ({'client': 'openvla', 'strategy': 'letterbox'}, "resize-naive.*'letterbox'"),
    ({'first_size': (256, 256)}, 'only a client resizes first'),
    ({'client': 'openvla', 'first_size': (0, 256)}, 'two whole numbers above 0')])
def test_a_client_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ImageTransform(SIZE, **changes)
