# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB: every encoding that cameras send."""

from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest import images

HEIGHT, WIDTH = 6, 8
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
BAYER = {'rggb': ((0, 1), (1, 2)), 'bggr': ((2, 1), (1, 0)), 'gbrg': ((1, 2), (0, 1)),
         'grbg': ((1, 0), (2, 1))}


def message(pixels, encoding, padding=0, width=WIDTH):
    """Return pixels as an Image whose rows are followed by some bytes of padding."""
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(height=len(rows), width=width, encoding=encoding,
                           step=padded.shape[1], data=array('B', padded.tobytes()))


@pytest.mark.parametrize('padding', [0, 4])
@pytest.mark.parametrize('encoding, pixels', [
    ('rgb8', RGB), ('bgr8', RGB[..., ::-1]), ('rgba8', np.dstack([RGB, RGB[..., 0]])),
    ('bgra8', np.dstack([RGB[..., ::-1], RGB[..., 0]]))])
def test_colours_come_out_as_they_went_in(encoding, pixels, padding):
    found = images.image_to_rgb(message(pixels, encoding, padding))
    np.testing.assert_array_equal(found, RGB)
    assert found.flags['C_CONTIGUOUS']


def test_grey_becomes_three_equal_channels():
    found = images.image_to_rgb(message(RGB[..., 0], 'mono8', 3))
    np.testing.assert_array_equal(found, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize('pattern', BAYER)
def test_a_bayer_mosaic_of_one_colour_gives_that_colour(pattern):
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint8)
    for row, channels in enumerate(BAYER[pattern]):
        for column, channel in enumerate(channels):
            mosaic[row::2, column::2] = (200, 120, 40)[channel]
    found = images.image_to_rgb(message(mosaic, f'bayer_{pattern}8'))
    assert (found[1:-1, 1:-1] == (200, 120, 40)).all()


@pytest.mark.parametrize('encoding, order', [('yuv422', 'UYVY'), ('yuv422_yuy2', 'YUYV'),
                                             ('uyvy', 'UYVY'), ('yuyv', 'YUYV')])
def test_yuv_is_decoded_by_its_byte_order(encoding, order):
    bt601 = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0],
                      [112.0, -93.786, -18.214]])
    values = bt601 @ np.array([200, 120, 40]) / 255 + (16, 128, 128)
    mixed = [dict(zip('YUV', values))[letter] for letter in order]
    pixels = np.tile(np.array(mixed).round().astype(np.uint8), (HEIGHT, WIDTH // 2))
    found = images.image_to_rgb(message(pixels, encoding))
    assert np.abs(found.astype(int) - (200, 120, 40)).max() <= 2


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_compressed_images_are_decoded_as_opencv_does(extension):
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    _, data = cv2.imencode(extension, smooth[..., ::-1])
    found = images.compressed_to_rgb(SimpleNamespace(format='jpeg', data=data.tobytes()))
    tolerance = 0 if extension == '.png' else 40
    assert np.abs(found.astype(int) - smooth).max() <= tolerance


@pytest.mark.parametrize('data', [b'', b'no image', b'\xff\xd8\xff\xe0'])
def test_bytes_that_are_no_image_are_refused(data):
    with pytest.raises(ObservationError, match='no JPEG, PNG or WebP'):
        images.compressed_to_rgb(SimpleNamespace(format='jpeg', data=data))


@pytest.mark.parametrize('changes', [
    {'encoding': '16UC1'}, {'encoding': '8UC3'}, {'encoding': ''}, {'step': 23}, {'height': 7},
    {'width': 0}, {'height': 0}, {'data': array('B')}])
def test_messages_that_contradict_themselves_are_refused(changes):
    broken = message(RGB, 'rgb8')
    for name, value in changes.items():
        setattr(broken, name, value)
    with pytest.raises(ObservationError, match='^image: '):
        images.image_to_rgb(broken)
