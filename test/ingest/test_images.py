# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB: every encoding that cameras send."""

from array import array
import io
import struct
from types import SimpleNamespace
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest import images
from sqap_vla_ros.ingest.compressed import read_header

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


@pytest.mark.parametrize('padding', [1, 2, 3, 64])
@pytest.mark.parametrize('encoding', images.BYTES_PER_PIXEL)
def test_bytes_at_the_end_of_a_row_change_nothing(encoding, padding):
    size = images.BYTES_PER_PIXEL[encoding] * WIDTH
    pixels = np.random.default_rng(2).integers(0, 256, (HEIGHT, size), np.uint8)
    np.testing.assert_array_equal(images.image_to_rgb(message(pixels, encoding, padding)),
                                  images.image_to_rgb(message(pixels, encoding)))


@pytest.mark.ros
@pytest.mark.parametrize('pixels_of_padding', [0, 1, 5])
@pytest.mark.parametrize('encoding', sorted({*images.BYTES_PER_PIXEL} - {'uyvy', 'yuyv'}))
def test_where_cv_bridge_keeps_rows_straight_it_gives_the_same(encoding, pixels_of_padding):
    cv_bridge = pytest.importorskip('cv_bridge', reason='cv_bridge is not installed')
    from sensor_msgs.msg import Image as ImageMessage
    size = images.BYTES_PER_PIXEL[encoding]
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, size * WIDTH), np.uint8)
    sent = ImageMessage(
        **vars(message(pixels, encoding, size * pixels_of_padding)))
    found = cv_bridge.CvBridge().imgmsg_to_cv2(sent, 'rgb8')
    np.testing.assert_array_equal(images.image_to_rgb(sent), found)


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


def encoded(extension, pixels=None, **changes):
    """Return a CompressedImage."""
    pixels = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC) if pixels is None else pixels
    data = cv2.imencode(extension, pixels)[1].tobytes()
    return SimpleNamespace(**{'format': extension[1:], 'data': data, **changes})


def png_of(width, height, bits=8):
    """Return the beginning of a PNG that says it has this size, with an end."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, bits, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + header
            + struct.pack('>I', zlib.crc32(header)) + b'\0\0\0\0IEND\xaeB`\x82')


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp'])
def test_the_size_is_known_before_a_byte_is_unpacked(extension):
    message = encoded(extension)
    header = read_header(message.data, '')
    assert (header.width, header.height, header.bits) == (64, 48, 8)
    assert images.compressed_to_rgb(message).shape == (48, 64, 3)
    grey = encoded(extension, RGB[..., 0])
    assert (read_header(grey.data, '').width, read_header(grey.data, '').height) == (8, 6)


@pytest.mark.parametrize('kind', ['lossy', 'lossless', 'extended'])
def test_all_three_kinds_of_webp_tell_their_size(kind):
    file = io.BytesIO()
    pixels = np.zeros((48, 64, 4 if kind == 'extended' else 3), np.uint8)
    Image.fromarray(pixels).save(file, 'webp', lossless=kind == 'lossless')
    header = read_header(file.getvalue(), '')
    assert (header.width, header.height) == (64, 48)


def test_a_few_kilobytes_that_would_unpack_to_gigabytes_are_not_unpacked():
    large = encoded('.jpg').data
    start = large.index(b'\xff\xc0') + 5
    vast = large[:start] + struct.pack('>HH', 65000, 65000) + large[start + 4:]
    packed = bytes([0x2F]) + (0x3FFF | 0x3FFF << 14).to_bytes(4, 'little') + bytes(9)
    webp = b'RIFF' + struct.pack('<I', 26) + b'WEBPVP8L' + struct.pack('<I', 14) + packed
    for data in (png_of(27_000, 27_000), png_of(0, 5), png_of(2**31, 2**31), vast, webp):
        with pytest.raises(ObservationError, match='expected 1 to 40000000 in all: it is not un'):
            images.compressed_to_rgb(SimpleNamespace(format='png', data=data))


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp'])
@pytest.mark.parametrize('share', [0.05, 0.5, 0.9, 0.99])
def test_images_that_were_cut_off_are_refused(extension, share):
    message = encoded(extension)
    message.data = message.data[:int(share * len(message.data))]
    with pytest.raises(ObservationError, match='lost on the way|damaged|are no JPEG'):
        images.compressed_to_rgb(message)
    if extension == '.webp':  # which has no sums and no markers
        return
    noise = np.random.default_rng(1).bytes(4000)
    with pytest.raises(ObservationError, match='lost on the way|damaged|are no JPEG'):
        images.compressed_to_rgb(SimpleNamespace(format='', data=message.data + noise))


def test_a_thumbnails_end_is_not_the_images():
    data = encoded('.jpg').data
    thumbnail = b'\xff\xe1' + struct.pack('>H', 6) + b'\xff\xd8\xff\xd9'
    with pytest.raises(ObservationError, match='has no end'):
        read_header(data[:2] + thumbnail + data[2:-2], '')
    assert read_header(data[:2] + thumbnail + data[2:] + b'\0' * 7, '').width == 64


@pytest.mark.parametrize('message, text', [
    (SimpleNamespace(format='16UC1; compressedDepth png', data=b'abc'), 'is a depth image'),
    (SimpleNamespace(format='32FC1; compressedDepth', data=b'abc'), 'is a depth image'),
    (encoded('.png', format='16UC1; png compressed '), 'is a depth image'),
    (encoded('.png', RGB[..., 0].astype(np.uint16), format='png'), '16 bits a channel'),
    (encoded('.png', RGB.astype(np.uint16), format='bgr16; png'), '16 bits a channel'),
    (encoded('.bmp'), 'are no JPEG, PNG or WebP'), (encoded('.tiff'), 'are no JPEG')])
def test_what_is_no_picture_of_8_bits_is_refused_compressed_as_raw(message, text):
    with pytest.raises(ObservationError, match=text):
        images.compressed_to_rgb(message)


def test_raw_depth_is_told_as_such():
    for encoding in ('16UC1', '32FC1', 'mono16'):
        with pytest.raises(ObservationError, match='is it a depth image'):
            images.image_to_rgb(message(RGB, encoding))


def test_the_order_of_bytes_says_nothing_about_8_bits():
    told = message(RGB, 'rgb8')
    told.is_bigendian = 1
    np.testing.assert_array_equal(images.image_to_rgb(told), RGB)


@pytest.mark.parametrize('encoding', ['uyvy', 'yuyv', 'yuv422', 'yuv422_yuy2'])
def test_pixels_that_come_in_pairs_have_an_even_width(encoding):
    with pytest.raises(ObservationError, match='width 7'):
        images.image_to_rgb(message(np.zeros((6, 14), np.uint8), encoding, width=7))


@pytest.mark.parametrize('changes', [
    {'encoding': '16UC1'}, {'encoding': '8UC3'}, {'encoding': ''}, {'step': 23}, {'height': 7},
    {'width': 0}, {'height': 0}, {'data': array('B')}, {'data': array('B', bytes(7 * 24))},
    {'height': 3}, {'step': 12}, {'step': 25}, {'width': 2**31}])
def test_messages_that_contradict_themselves_are_refused(changes):
    broken = message(RGB, 'rgb8')
    for name, value in changes.items():
        setattr(broken, name, value)
    with pytest.raises(ObservationError, match='^image: '):
        images.image_to_rgb(broken)
