# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of cameras that are blind, and of cameras that only seem so."""

import re

import cv2
import numpy as np
import pytest

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.frozen_images import digest, FrozenImages, REMEMBERED
from sqap_vla_ros.ingest.image_health import ImageHealth

SECOND = 10**9
HEIGHT, WIDTH = 120, 160
RANDOM = np.random.default_rng(3)
FORWARDS = np.array([0.1, 0, 0, 0, 0, 0])


def scene(mean=110.0, spread=40.0, colour=15.0, size=(HEIGHT, WIDTH), seed=0):
    """Return a picture of blurred blobs, float [H, W, 3], of a brightness, contrast and colour."""
    random = np.random.default_rng(seed)
    grey, tint = (cv2.resize(random.normal(size=(9, 12, channels)), size[::-1],
                             interpolation=cv2.INTER_CUBIC).reshape(*size, channels)
                  for channels in (1, 3))
    return mean + spread * grey / grey.std() + colour * tint


def shot(picture, noise=2.0):
    """Return what a sensor makes of a picture: uint8, with noise."""
    return np.clip(picture + RANDOM.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def judged(images, health=None, period_s=0.2, min_contrast=3.0, max_change=80.0):
    """Return what is said of each picture of a series, '' where it is taken."""
    health, told = health or ImageHealth(), []
    for index, image in enumerate(images):
        try:
            health.check(image, SECOND + round(index * period_s * SECOND), min_contrast,
                         max_change)
            told.append('')
        except ObservationError as error:
            told.append(str(error))
    return told


# One picture alone

@pytest.mark.parametrize('size', [(48, 64), (480, 640), (97, 131)])
@pytest.mark.parametrize('level', [0, 60, 128, 255])
def test_a_covered_or_overexposed_lens_shows_almost_nothing(level, size):
    flat = np.full((*size, 3), float(level))
    for noise in (0.0, 3.0):
        (told,) = judged([shot(flat, noise)])
        assert 'shows almost nothing: its contrast is' in told and 'min_contrast, 3' in told


@pytest.mark.parametrize('spread', [20, 60, 100])
def test_noise_is_no_picture(spread):
    noise = np.clip(RANDOM.normal(128, spread, (480, 640, 3)), 0, 255).astype(np.uint8)
    told = judged([noise, RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)])
    assert all('is noise: neighbouring' in text or 'almost nothing' in text for text in told)


def test_rows_that_have_nothing_to_do_with_each_other_are_noise():
    sheared = shot(scene())
    for row in range(HEIGHT):
        sheared[row] = np.roll(sheared[row], RANDOM.integers(WIDTH), axis=0)
    assert 'is noise' in judged([sheared])[0]


@pytest.mark.parametrize('spread', [8, 20, 60])
@pytest.mark.parametrize('mean', [25, 110, 220])
def test_dark_bright_and_grainy_pictures_are_pictures(mean, spread):
    assert judged([shot(scene(mean, spread), 5.0)]) == ['']


def test_a_picture_whose_lower_half_never_came_is_refused_at_once():
    image = shot(scene())
    image[HEIGHT // 2:] = 0
    assert 'lower 50 % of the image are black' in judged([image])[0]
    image = shot(scene())
    image[:HEIGHT // 2] = 0  # a simulator's sky
    assert judged([image]) == ['']


def test_limits_of_0_take_everything():
    black, usual = np.zeros((HEIGHT, WIDTH, 3), np.uint8), shot(scene())
    assert judged([usual, black, usual], min_contrast=0, max_change=0) == ['', '', '']


# Against those before

@pytest.mark.parametrize('change, text', [
    (lambda usual: usual - 90, 'brightness is 31 of 255 and was 11. before'),
    (lambda usual: usual + 95, 'brightness is '),
    (lambda usual: usual * 0.24, 'brightness is 2. of 255'),
    (lambda usual: 110 + (usual - 110) * 0.12, r'contrast is 4\.\d and was 40\.\d before'),
    (lambda usual: np.repeat(usual[..., :1], 3, axis=2), 'lost its colours: 0.0 levels')])
def test_a_sudden_change_is_refused_until_it_is_as_before_or_reset(change, text):
    usual, health = scene(colour=25), ImageHealth()
    changed = change(usual)
    noise = 0 if 'colours' in text else 2.0
    told = judged([shot(usual), *[shot(changed, noise)] * 60, shot(usual)], health)
    assert told[0] == told[-1] == ''
    assert all(told[1:-1])
    assert 'reset' in told[1]
    assert re.search(text, told[1]), told[1]
    health.reset()
    assert judged([shot(changed, noise)] * 3, health) == [''] * 3


@pytest.mark.parametrize('rows', [slice(60, None), slice(0, 30), slice(100, None)])
def test_a_part_that_was_lost_is_refused(rows):
    usual = shot(scene())
    torn = usual.copy()
    torn[rows] = 128
    told = judged([usual, torn, usual.transpose(1, 0, 2), torn.transpose(1, 0, 2)])
    assert 'of one colour to the last bit' in told[1] and 'of one colour' in told[3]


@pytest.mark.parametrize('otherwise, text', [
    (lambda image: image[..., ::-1], 'red and blue have changed places'),
    (lambda image: image[::-1, ::-1], 'upside down'), (lambda image: image[:, ::-1], 'mirrored'),
    (lambda image: image[::-1], 'flipped')])
def test_a_picture_that_suddenly_lies_otherwise_is_refused(otherwise, text):
    usual = scene(colour=60)
    told = judged([shot(usual), shot(otherwise(usual)), shot(otherwise(usual)), shot(usual)])
    assert [text in said for said in told] == [False, True, True, False] and not told[3]


def test_where_all_is_dark_a_lamp_counts_by_its_share():
    usual = scene(60, 8, 2)
    told = judged([shot(usual), shot(usual - 50), shot(usual - 40)])
    assert re.search(r'brightness is (9|1\d) of 255 and was (5|6)\d before', told[1]), told
    assert not told[2]


def test_a_camera_that_was_away_for_long_begins_anew():
    dark, bright = shot(scene(40, 15)), shot(scene(180, 15))
    assert judged([dark, bright], period_s=4.9)[1] and not judged([dark, bright], period_s=5.1)[1]
    assert not judged([dark, bright], period_s=-1.0)[1]  # the camera's clock was set back


def test_slow_changes_are_none():
    """Dusk over a minute, an exposure that follows, and a scene that drives by."""
    dusk = [shot(scene(160 - 120 * k / 300, 35)) for k in range(300)]
    exposure = [shot(scene(110 + 50 * np.sin(k / 3), 30)) for k in range(100)]
    wide = scene(110, 40, size=(HEIGHT, WIDTH * 5))
    drive = [shot(wide[:, 4 * k:4 * k + WIDTH]) for k in range(150)]
    for series in (dusk, exposure, drive):
        assert not any(judged(series))


def test_a_still_scene_is_none():
    """With a sensor's noise, compressed by JPEG, and to the last bit the same."""
    picture = scene()
    noisy = [shot(picture, 3.0) for _ in range(50)]
    jpegs = [cv2.imdecode(cv2.imencode('.jpg', image)[1], 1) for image in noisy]
    for series in (noisy, jpegs, [noisy[0]] * 50):
        assert not any(judged(series))


def test_an_arm_that_crosses_the_picture_is_none():
    picture, series = scene(), []
    for k in range(80):
        moved = picture.copy()
        moved[:, 2 * k:2 * k + 50] = 235
        series.append(shot(moved))
    assert not any(judged(series))


# Frozen pictures

def frozen(images, velocity=FORWARDS, period_s=1 / 30, timeout_s=0.5):
    """Return after how many seconds a series of pictures stops the arm, None for never."""
    watch = FrozenImages()
    for index, image in enumerate(images):
        watch.heard(image)
        watch.commanded(velocity, index * period_s)
        if watch.why_stop(timeout_s, 'image'):
            return index * period_s
    return None


@pytest.mark.parametrize('count', [1, 2, REMEMBERED])
def test_pictures_that_repeat_stop_a_moving_arm(count):
    images = [shot(scene()) for _ in range(count)]
    assert frozen(images * 60) == pytest.approx(0.5 + count / 30, abs=0.05)
    assert frozen(images * 60, timeout_s=0) is None


@pytest.mark.parametrize('noise, expected', [(2.0, True), (0.0, False)])
def test_a_clock_in_the_corner_keeps_no_picture_alive_that_had_noise(noise, expected):
    """Without noise it may be a simulated scene in which little moves."""
    images = [shot(scene(), noise) for _ in range(30)] + [shot(scene(), noise)] * 60
    images = [image.copy() for image in images]
    for image in images:
        image[2:6, 2:30] = RANDOM.integers(0, 256, (4, 28, 3))
    when = frozen(images)
    assert (when is not None) == expected
    assert not expected or when == pytest.approx(1.5, abs=0.1)


def test_one_that_changes_in_a_single_pixel_goes_on():
    images = [shot(scene())] * 60
    images = [image.copy() for image in images]
    for index, image in enumerate(images):
        image[index % HEIGHT, 7, 1] ^= 1 + index // HEIGHT
        image[-1, -1, -1] = index
    assert frozen(images) is None


@pytest.mark.parametrize('velocity', [None, np.zeros(7), FORWARDS * 0.04])
def test_a_simulated_scene_in_which_nothing_moves_is_not_frozen(velocity):
    assert frozen([shot(scene())] * 300, velocity) is None


def test_it_says_so_until_a_new_picture_comes_though_the_arm_stands_by_then():
    watch, image = FrozenImages(), shot(scene())
    for tick in range(30):
        watch.heard(image)
        watch.commanded(FORWARDS, tick * 0.05)
    told = watch.why_stop(0.5, '/cam')
    assert '/cam do not change: 29 pictures' in told and 'frozen_image_timeout, 0.5 s' in told
    for tick in range(30, 60):
        watch.heard(image)
        watch.commanded(None, tick * 0.05)
        assert watch.why_stop(0.5, '/cam')
    watch.heard(shot(scene()))
    assert not watch.why_stop(0.5, '/cam')


def test_a_pause_between_commands_is_no_motion():
    watch, image = FrozenImages(), shot(scene())
    for tick in range(5):
        watch.heard(image)
        watch.commanded(FORWARDS, 10.0 * tick)
    assert not watch.why_stop(0.5, '/cam')


def test_a_slow_camera_that_repeats_each_picture_a_few_times_is_none():
    assert frozen([image for _ in range(20) for image in [shot(scene())] * 6]) is None


def test_empty_messages_are_bytes_too_and_each_byte_counts():
    assert frozen([b''] * 60) is not None
    assert len({digest(b'12345678' + bytes([last])) for last in range(256)}) == 256
    assert len({digest(bytes([first]) + b'2345678') for first in range(256)}) == 256


def test_a_simulated_arm_that_slows_down_is_not_frozen():
    """Without noise only what moves changes: much of the picture at first, hardly any later."""
    image, images = shot(scene(), 0), []
    for index in range(80):
        image = image.copy()
        image[:40 if index < 40 else 1] ^= 1
        images.append(image.copy())
        images[-1][-1, -1] = index
    assert frozen(images) is None
