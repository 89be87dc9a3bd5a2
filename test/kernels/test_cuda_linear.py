# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A quantized layer by the GPU kernels against the reference, in Triton's interpreter."""
import logging

import cuda_interpreter  # noqa: F401, I100, I202
from kernel_layers import random_layer
import pytest
from sqap_vla_ros import kernels
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels import on_device
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.cuda import linear
from sqap_vla_ros.kernels.cuda.linear import TritonKernel
from sqap_vla_ros.kernels.reference import ReferenceKernel
import torch


@pytest.mark.parametrize(('weight_bits', 'act_bits'), [(4, 4), (4, 8), (8, 8), (4, 16)])
@pytest.mark.parametrize('width', [2, 250, 11008])
def test_the_integer_part_is_exact_at_extreme_values(weight_bits, act_bits, width):
    assert kernels.check_exact(TritonKernel, width, weight_bits, act_bits) == ''


@pytest.mark.parametrize('rows', [1, 8, 9])
@pytest.mark.parametrize('spec', [
    LinearSpec(256, 40, 4, 4, 128), LinearSpec(256, 40, 4, 8, 8, 32), LinearSpec(200, 40, 8, 8),
    LinearSpec(256, 40, 4, 4, 128, per_token=False), LinearSpec(192, 24, 4, 16, 64),
    LinearSpec(256, 24, 4, 16, 64, group_size=64), LinearSpec(256, 24, 8, 16)], ids=str)
@torch.inference_mode()
def test_layers_equal_the_reference(spec, rows):
    layer = random_layer(spec)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, spec.in_features, generator=generator)
    residual = torch.randn(rows, spec.out_features, generator=generator)
    expected = ReferenceKernel(spec, *layer)(x)
    kernel = TritonKernel(spec, *layer)
    found = kernel(x)
    # a value on the edge between two integers may fall either way after the transform
    close = torch.isclose(found, expected, rtol=1e-4, atol=1e-2).all(dim=1)
    assert close.float().mean() > 0.9
    assert (found - expected).norm() < 0.01 * expected.norm()
    assert torch.allclose(kernel(x, residual=residual), found + residual, atol=1e-4)
    assert kernel.weight.numel() <= (spec.in_features + 127) * spec.out_features // (
        8 // spec.weight_bits)


@pytest.mark.filterwarnings('ignore:invalid value')
@torch.inference_mode()
def test_non_finite_inputs_stay_visible_and_zeros_give_the_bias():
    spec = LinearSpec(64, 8, 4, 4)
    layer = random_layer(spec)
    kernel = TritonKernel(spec, *layer)
    x = torch.randn(12, 64)
    x[1, 5], x[2] = float('nan'), 0
    y = kernel(x)
    assert torch.isfinite(y[[0, 2]]).all() and torch.equal(y[2], layer[2])
    assert not torch.isfinite(y[1]).any()


def test_the_backend_can_be_named():
    spec = LinearSpec(64, 8, 4, 4)
    kernel = kernels.make_kernel(spec, *random_layer(spec), backend='triton')
    assert kernel.name == 'triton' and kernel.bits_for(spec) == 4


def test_a_width_beyond_the_kernel_is_unavailable():
    spec = LinearSpec(65536, 2, 4, 4)
    with pytest.raises(Unavailable, match='more than the GPU kernel holds'):
        TritonKernel(spec, torch.zeros(2, 65536, dtype=torch.int8), torch.ones(2))


def test_layers_whose_kernels_are_not_fused_say_so_once(caplog):
    linear.warn.cache_clear()
    spec = LinearSpec(64, 8, 8, 8, per_token=False)
    kernel = TritonKernel(spec, *random_layer(spec))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            kernel(torch.randn(3, 64))
    text, = (record.getMessage() for record in caplog.records)
    assert 'per_token=True' in text and 'slower' in text


def test_a_device_without_the_kernels_cannot_be_asked_for_them(monkeypatch):
    monkeypatch.setattr(on_device, 'unavailable', lambda device: 'no Triton on this card')
    spec = LinearSpec(64, 8, 4, 4)
    with pytest.raises(ConfigError, match='no Triton on this card'):
        kernels.make_kernel(spec, *random_layer(spec), backend='triton')
