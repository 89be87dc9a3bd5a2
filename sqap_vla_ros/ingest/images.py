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

BYTES_PER_PIXEL = {
    'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1,
    'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
    'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2}

# OpenCV names a Bayer pattern by its second row's second and third pixel, ROS by its first two.
_TO_RGB = {
    'bgr8': cv2.COLOR_BGR2RGB, 'rgba8': cv2.COLOR_RGBA2RGB, 'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    'bayer_rggb8': cv2.COLOR_BayerBG2RGB, 'bayer_bggr8': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg8': cv2.COLOR_BayerGR2RGB, 'bayer_grbg8': cv2.COLOR_BayerGB2RGB,
    'yuv422': cv2.COLOR_YUV2RGB_UYVY, 'uyvy': cv2.COLOR_YUV2RGB_UYVY,
    'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2, 'yuyv': cv2.COLOR_YUV2RGB_YUY2}


def to_rgb(message) -> np.ndarray:
    """Return an Image or a CompressedImage, whichever it is, as uint8 [H, W, 3] RGB."""
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

    Raises ObservationError when it cannot be decoded.
    """
    data = np.frombuffer(message.data, np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(data, flags) if data.size else None
    if pixels is None:
        raise ObservationError(f'image/compressed: {data.size} bytes of format '
                               f'{message.format!r} are no JPEG, PNG or WebP image')
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_image(path) -> np.ndarray:
    """Return a file's image uint8 [H, W, 3]; raise ObservationError if it is none."""
    from PIL import Image
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB'))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ObservationError(f'{path} cannot be read as an image: {error}') from error


def _check(message):
    channels = BYTES_PER_PIXEL.get(message.encoding)
    if channels is None:
        raise ObservationError(f'image: encoding {message.encoding!r} cannot be used, expected '
                               f'one of {sorted(BYTES_PER_PIXEL)}')
    found = (message.width, message.height, message.step, len(message.data))
    if (message.width < 1 or message.height < 1 or message.step < message.width * channels
            or len(message.data) < message.step * message.height):
        raise ObservationError(
            'image: width {}, height {}, step {} and {} bytes do not fit together for encoding '
            '{}'.format(*found, message.encoding))
