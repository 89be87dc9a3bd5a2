# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Images of messages, live or from a bag, to RGB arrays.

A message is anything with the fields of sensor_msgs/Image or CompressedImage. cv_bridge takes no
part even where it is installed: a replay without ROS must give the same bits, and it shears rows
whose step is no multiple of a pixel. A message's own numbers are checked first.
"""

import cv2
import numpy as np
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.support.files import nearest_path

from .compressed import DEPTH_ENCODINGS, MAX_PIXELS, read_header

BYTES_PER_PIXEL = {
    'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2}
PAIRED = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')  # two pixels share a colour

# OpenCV names a Bayer pattern by its second row's second and third pixel, ROS by its first two.
_TO_RGB = {
    'bgr8': cv2.COLOR_BGR2RGB, 'rgba8': cv2.COLOR_RGBA2RGB, 'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    'bayer_rggb8': cv2.COLOR_BayerBG2RGB, 'bayer_bggr8': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg8': cv2.COLOR_BayerGR2RGB, 'bayer_grbg8': cv2.COLOR_BayerGB2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY, 'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2, 'yuyv': cv2.COLOR_YUV2RGB_YUY2}


def to_rgb(message) -> np.ndarray:
    """
    Return an Image or a CompressedImage, whichever it is, as uint8 [H, W, 3] RGB.

    One that has pixels() was unpacked already.
    """
    if hasattr(message, 'pixels'):
        return message.pixels()
    return (image_to_rgb if hasattr(message, 'encoding') else compressed_to_rgb)(message)


def image_to_rgb(message) -> np.ndarray:
    """
    Return a sensor_msgs/Image as uint8 [H, W, 3] RGB; may share the message's memory.

    Raises ObservationError for an encoding that holds no 8-bit colours or for a message whose
    data does not fit its own size.
    """
    _check(message)
    channels = BYTES_PER_PIXEL[message.encoding]
    rows = np.frombuffer(message.data, np.uint8, message.step * message.height)
    rows = rows.reshape(message.height, message.step)[:, :message.width * channels]
    shape = (message.height, message.width) + ((channels,) if channels > 1 else ())
    pixels = np.ascontiguousarray(rows).reshape(shape)
    code = _TO_RGB.get(message.encoding)
    return pixels if code is None else cv2.cvtColor(pixels, code)


def compressed_to_rgb(message) -> np.ndarray:
    """
    Return a sensor_msgs/CompressedImage (JPEG, PNG, ...) as uint8 [H, W, 3] RGB.

    Raises ObservationError when it is no whole image of 8 bits a channel; see compressed.py.
    """
    data = bytes(message.data)
    header = read_header(data, message.format)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise ObservationError(f'image/compressed: a {header.kind} of {len(data)} bytes and '
                               f'{header.width} x {header.height} pixels is damaged')
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_image(path) -> np.ndarray:
    """Return a file's image uint8 [H, W, 3]; raise ObservationError if it is none."""
    from PIL import Image
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB'))
    except FileNotFoundError as error:
        raise ObservationError(f'{path} does not exist{nearest_path(path)}') from error
    except IsADirectoryError as error:
        raise ObservationError(f'{path} is a directory, expected an image: name a file') from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ObservationError(f'{path} cannot be read as an image: {error}') from error


def _check(message):
    channels = BYTES_PER_PIXEL.get(message.encoding)
    if channels is None:
        is_depth = message.encoding in DEPTH_ENCODINGS
        raise ObservationError(
            f'image: encoding {message.encoding!r} cannot be used, expected one of '
            f'{sorted(BYTES_PER_PIXEL)}' + (': is it a depth image?' if is_depth else ''))
    width, height, step, size = message.width, message.height, message.step, len(message.data)
    is_odd_pair = message.encoding in PAIRED and width % 2
    if (width < 1 or height < 1 or width * height > MAX_PIXELS or is_odd_pair
            or step < width * channels or not step * height <= size < step * (height + 1)):
        raise ObservationError(
            f'image: width {width}, height {height}, step {step} and {size} bytes do not fit '
            f'together for encoding {message.encoding}')
