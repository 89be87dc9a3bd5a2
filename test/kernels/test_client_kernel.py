# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Clients' images by the native kernel: geometry's numpy is the oracle, to the last bit."""
from kernel_layers import needs_level
import numpy as np
import pytest
from sqap_vla_ros.geometry import client_images as oracle, jpeg
from sqap_vla_ros.kernels.client_images import client_image, lanczos, round_trip

# odd halves, chroma too narrow to be filtered, blocks that end within a vector and beyond it
SIZES = [(1, 1), (1, 2), (2, 3), (3, 4), (5, 6), (8, 8), (17, 33), (40, 5), (63, 65), (64, 128),
         (100, 130), (240, 320)]
PLAIN = pytest.mark.parametrize('plain', [False, True], ids=['avx2', 'plain'])


@pytest.fixture(autouse=True)
def needs_library():
    needs_level()


def pictures(height, width):
    """Return noise, black and white alone, colours at their ends, and a slope."""
    random = np.random.default_rng(height * 1000 + width)
    noise = random.integers(0, 256, (height, width, 3), np.uint8)
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None] + np.arange(3)
    return (noise, np.repeat((noise[..., :1] > 127) * np.uint8(255), 3, axis=2),
            (noise > 127) * np.uint8(255), slope.astype(np.uint8))


@PLAIN
@pytest.mark.parametrize('height, width', SIZES)
def test_a_jpeg_file_leaves_the_same_bits(height, width, plain):
    for image in pictures(height, width):
        np.testing.assert_array_equal(round_trip(image, plain), jpeg.round_trip(image))


@PLAIN
@pytest.mark.parametrize('size', [(224, 224), (7, 90), (1, 1)])
@pytest.mark.parametrize('height, width', SIZES)
def test_lanczos_rounds_as_the_clients_do(height, width, size, plain):
    for image in pictures(height, width)[:3]:
        np.testing.assert_array_equal(lanczos(image, size, plain), oracle.lanczos(image, size))


@pytest.mark.parametrize('area', [1.0, 0.9])
def test_the_whole_way_is_the_same_for_views_too(area):
    image = pictures(60, 80)[0][::-1, ::-1]
    np.testing.assert_array_equal(client_image(image, (32, 24), area),
                                  oracle.client_image(image, (32, 24), area))
