# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Resizing by tensor operations is Pillow's, to the last bit."""
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from sqap_vla_ros.geometry.image_transform import ImageTransform, INTERPOLATIONS, RESIZE_STRATEGIES
from sqap_vla_ros.inference import resize
from sqap_vla_ros.inference.resize import DeviceTransform, Inexact
import torch
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device('cpu')


def difference(transform, image):
    found = DeviceTransform(transform, image.shape[:2], CPU)(torch.from_numpy(image)).numpy()
    expected = transform.apply(image)
    assert found.shape == expected.shape and found.dtype == np.uint8
    return np.abs(found.astype(int) - expected).max()


@settings(max_examples=150)
@given(st.tuples(st.integers(1, 120), st.integers(1, 120)),
       st.tuples(st.integers(1, 60), st.integers(1, 60)), st.sampled_from(RESIZE_STRATEGIES),
       st.sampled_from(INTERPOLATIONS), st.booleans(), st.sampled_from([1.0, 0.9, 0.5]),
       st.booleans(), st.integers(0, 9))
def test_any_image_is_resized_as_pillow_does(image_size, size, strategy, interpolation, rotate,
                                             crop_area, mirror, seed):
    transform = ImageTransform(size, strategy, interpolation, rotate, crop_area, (1, 2, 3), mirror)
    image = np.random.default_rng(seed).integers(0, 256, (*image_size, 3), np.uint8)
    assert difference(transform, image) == 0


@pytest.mark.parametrize('image_size', [(480, 640), (224, 224), (256, 256), (720, 1280)])
def test_a_cameras_image_is_resized_as_pillow_does(image_size):
    row, col = np.mgrid[:image_size[0], :image_size[1]]
    image = np.stack([row % 256, col % 256, (row * col) % 256], axis=-1).astype(np.uint8)
    image[::7, ::5] = 255  # edges, where cubic coefficients overshoot and values are clipped
    assert difference(ImageTransform((224, 224)), image) == 0


class Largest(TorchDispatchMode):
    """Remember the bytes of the largest tensor that is made."""

    most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if torch.is_tensor(found):
            self.most = max(self.most, found.untyped_storage().nbytes())
        return found


@pytest.mark.parametrize('image_size', [(270, 480), (200, 56)])
def test_nothing_larger_is_made_than_the_image_or_the_result_of_a_pass(image_size):
    transform = DeviceTransform(ImageTransform((56, 56)), image_size, CPU)
    image = torch.zeros(*image_size, 3, dtype=torch.uint8)
    with Largest() as largest:
        transform(image)
    wide = 4 * 3 * 56 * image_size[0]  # int32, the width resized and the height as it was
    assert largest.most <= max(image.numel(), wide)


def test_a_pillow_that_rounds_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(resize, '_BITS', 12)
    with pytest.raises(Inexact, match='another way'):
        DeviceTransform(ImageTransform((20, 20)), (50, 60), CPU)
