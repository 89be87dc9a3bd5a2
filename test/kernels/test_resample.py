# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Resizing by the native kernel: Pillow is the oracle, to the last bit."""
from functools import partial

from kernel_layers import needs_level
import numpy as np
from PIL import Image
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.image_presets import PRESETS
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.geometry.resampling import FILTERS, line_taps, whole_line
from sqap_vla_ros.kernels import resample as module
from sqap_vla_ros.kernels.resample import columns_first, fit, resample

PILLOW = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC, 'lanczos': Image.LANCZOS}
SIZES = [(480, 640, 224, 224), (7, 5, 31, 29), (61, 83, 20, 10), (1, 1, 9, 7), (40, 30, 1, 1),
         (3, 200, 5, 2), (200, 3, 2, 5), (33, 33, 33, 20), (64, 64, 64, 64), (1, 50, 17, 50)]


@pytest.fixture(autouse=True)
def needs_library():
    needs_level()


def taps(length, resized, interpolation, box=None):
    return line_taps(length, False, (0, length), 0, box or (0.0, float(length)), resized,
                     (0, resized), interpolation)


def by_pillow(image, size, interpolation, box=None):
    """Return what Pillow resizes an image to, along rows first, whatever its version does."""
    (height, width), (h, w) = image.shape[:2], size
    x0, y0, x1, y1 = box or (0, 0, width, height)
    kind = PILLOW[interpolation]
    between = Image.fromarray(image).resize((w, height), kind, (x0, 0, x1, height))
    return np.asarray(between.resize((w, h), kind, (0, y0, w, y1)))


def pictures(height, width):
    """Return noise, black and white alone, and a white image, which sums can leave 0..255."""
    random = np.random.default_rng(height * 1000 + width)
    noise = random.integers(0, 256, (height, width, 3), np.uint8)
    return noise, (noise > 127).astype(np.uint8) * 255, np.full_like(noise, 255)


@pytest.mark.parametrize('plain', [False, True], ids=['avx2', 'plain'])
@pytest.mark.parametrize('interpolation', list(FILTERS))
@pytest.mark.parametrize('height, width, h, w', SIZES)
def test_has_pillows_bits(height, width, h, w, interpolation, plain):
    rows, columns = taps(height, h, interpolation), taps(width, w, interpolation)
    for image in pictures(height, width):
        np.testing.assert_array_equal(resample(image, rows, columns, plain=plain),
                                      by_pillow(image, (h, w), interpolation))


@pytest.mark.parametrize('plain', [False, True], ids=['avx2', 'plain'])
def test_has_pillows_bits_of_any_box(plain):
    random = np.random.default_rng(0)
    for _ in range(60):
        height, width, h, w = random.integers(1, (60, 70, 50, 60)).tolist()
        interpolation = random.choice(list(FILTERS))
        ends = np.sort(random.random((2, 2)), axis=0) * (width, height)
        x0, y0, x1, y1 = box = tuple(float(np.float32(end)) for end in ends.ravel())
        image = pictures(height, width)[random.integers(2)]
        found = resample(image, taps(height, h, interpolation, (y0, y1)),
                         taps(width, w, interpolation, (x0, x1)), plain=plain)
        np.testing.assert_array_equal(found, by_pillow(image, (h, w), interpolation, box))


TRANSFORMS = {
    'bicubic': {}, 'bilinear': {'interpolation': 'bilinear'},
    'lanczos': {'interpolation': 'lanczos'}, 'turned': {'rotate_180': True},
    'mirrored': {'mirror': True}, 'turned and mirrored': {'rotate_180': True, 'mirror': True},
    'cropped': {'crop_area': 0.9}, 'cropped and turned': {'crop_area': 0.7, 'rotate_180': True},
    'letterbox': {'strategy': 'letterbox', 'fill': (124, 116, 103)},
    'black letterbox, cropped, mirrored': {'strategy': 'letterbox', 'crop_area': 0.8,
                                           'mirror': True},
    'resize-crop': {'strategy': 'resize-crop'},
    'resize-crop, cropped, turned': {'strategy': 'resize-crop', 'crop_area': 0.5,
                                     'rotate_180': True, 'interpolation': 'lanczos'},
    'oblong letterbox': {'strategy': 'letterbox', 'size': (48, 20), 'fill': (1, 2, 250)},
    'nearest': {'interpolation': 'nearest'}, 'client': {'client': 'openvla'},
    'preset libero': PRESETS['libero'], 'preset aloha': PRESETS['aloha'],
    'mirrored for a client': {'client': 'openvla', 'mirror': True}}


@pytest.mark.parametrize('image_size', [(90, 120), (120, 90), (32, 32), (32, 50), (9, 7)])
@pytest.mark.parametrize('name', TRANSFORMS)
def test_a_transform_gives_the_same_bits(name, image_size):
    transform = ImageTransform(**{'size': (32, 32), **TRANSFORMS[name]})
    resizes = transform.client or transform.taps(image_size) is not None
    assert bool(resizes) == (module._way(transform, image_size) is not None)
    for image in pictures(*image_size):
        np.testing.assert_array_equal(fit(transform, image), transform.apply(image))


def test_only_what_resizes_has_taps():
    assert ImageTransform((32, 32), mirror=True).taps((32, 32)) is None
    assert ImageTransform((32, 32), crop_area=0.9).taps((32, 32)) is not None
    assert ImageTransform((32, 32)).taps((32, 20_000)) is None


def test_pillow_serves_where_it_has_other_bits(monkeypatch):
    transform, image = ImageTransform((16, 16)), pictures(40, 50)[0]
    wanted = transform.apply(image)
    monkeypatch.setattr(module, '_way', module._way.__wrapped__)  # nothing is remembered
    monkeypatch.setattr(module, 'resample',
                        lambda *args, **options: resample(*args, **options) ^ 1)
    np.testing.assert_array_equal(fit(transform, image), wanted)
    monkeypatch.setattr(module, 'resample', resample)
    monkeypatch.setattr(module, 'native_reason', lambda: 'no compiler')
    assert module._way(transform, (40, 50)) is None
    np.testing.assert_array_equal(fit(transform, image), wanted)


def test_columns_may_come_first():
    image = pictures(50, 40)[0]
    rows, columns = taps(50, 12, 'bicubic'), taps(40, 30, 'bicubic')
    turned = by_pillow(image.transpose(1, 0, 2), (30, 12), 'bicubic').transpose(1, 0, 2)
    np.testing.assert_array_equal(columns_first(image, rows, columns), turned)
    assert not np.array_equal(resample(image, rows, columns), turned)


def test_views_are_read_as_they_lie_and_nothing_else_is():
    whole = pictures(40, 60)[0]
    for view in (whole[5:25, 10:50], whole[::-1, ::-1], whole[::2, ::3]):
        call = partial(resample, rows=taps(view.shape[0], 9, 'bilinear'),
                       columns=taps(view.shape[1], 8, 'bilinear'))
        np.testing.assert_array_equal(call(view), call(view.copy()))


def test_a_line_that_stays_is_left_alone():
    image = pictures(7, 9)[0]
    np.testing.assert_array_equal(resample(image, whole_line(7), whole_line(9)), image)


def test_what_is_no_image_is_refused():
    with pytest.raises(ObservationError, match='expected an RGB image uint8'):
        fit(ImageTransform((8, 8)), np.zeros((4, 4, 3), np.float32))
