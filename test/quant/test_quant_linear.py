# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""QuantLinear: sizes, accuracy with and without Hadamard, shared inputs, state dicts."""
import copy
import gc
import weakref

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.quant import QuantLinear, together
import torch
from torch import nn


def outlier_layer(width=1024, seed=0):
    """Return a linear layer and inputs with two outlier channels."""
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(width, width, bias=False)
    linear.weight.data = torch.randn(width, width, generator=generator) * width ** -0.5
    x = torch.randn(64, width, generator=generator)
    x[:, [3, width - 20]] *= 20
    return linear, x


def relative_error(linear, x, precision, **options):
    expected = linear(x)
    found = QuantLinear.from_linear(linear, precision, **options)(x)
    return ((found - expected).norm() / expected.norm()).item()


@torch.inference_mode()
def test_hadamard_makes_the_error_of_w4a4_with_outlier_channels_three_times_smaller():
    linear, x = outlier_layer()
    plain = relative_error(linear, x, 'w4a4')
    blocks = [relative_error(linear, x, 'w4a4', hadamard_block=size)
              for size in (16, 64, 256, 1024)]
    assert plain > 0.5
    assert blocks == sorted(blocks, reverse=True)
    assert blocks[-1] < 0.2


@torch.inference_mode()
def test_more_bits_mean_smaller_errors():
    linear, x = outlier_layer()
    errors = [relative_error(linear, x, name, hadamard_block=1024)
              for name in ('w8a8', 'w4a16', 'w4a8', 'w4a4')]
    assert errors == sorted(errors)
    assert errors[0] < 0.02


@pytest.mark.parametrize('precision', ['w8a8', 'w4a16', 'w4a4'])
def test_dequantized_weights_approximate_the_plain_layer(precision):
    linear, _ = outlier_layer(64)
    layer = QuantLinear.from_linear(linear, precision, hadamard_block=8, hadamard_stride=4)
    error = (layer.dequantized() - linear.weight).norm() / linear.weight.norm()
    assert error < (0.01 if precision == 'w8a8' else 0.13)


@torch.inference_mode()
def test_a_layer_with_bias_keeps_leading_axes():
    linear = nn.Linear(32, 10)
    layer = QuantLinear.from_linear(linear, 'w8a8')
    x = torch.randn(2, 3, 32)
    assert layer(x).shape == (2, 3, 10)
    assert torch.allclose(layer(x), linear(x), atol=0.05)


@pytest.mark.parametrize(('precision', 'bits'), [('w4a4', 4), ('w4a16', 4), ('w8a8', 8)])
def test_weights_really_take_their_bits(precision, bits):
    layer = QuantLinear.from_linear(nn.Linear(256, 128, bias=False), precision)
    weight = layer.state_dict()['weight']
    assert weight.numel() * weight.element_size() * 8 == bits * 256 * 128


@pytest.mark.parametrize('width', [576, 1024])
@torch.inference_mode()
def test_groups_make_4_bit_weights_more_accurate(width):
    linear = nn.Linear(width, 64, bias=False)
    linear.weight.data[:, :32] *= 20  # what shares a scale with these has few steps left
    x = torch.randn(16, width)
    x[:, :32] /= 20
    whole = relative_error(linear, x, 'w4a16')
    groups = [relative_error(linear, x, 'w4a16', group_size=size) for size in (64, 32)]
    assert groups[1] <= groups[0] < 0.6 * whole
    layer = QuantLinear.from_linear(linear, 'w4a16', group_size=64)
    assert layer.scale.shape == (64, width // 64)
    error = (layer.dequantized() - linear.weight).norm() / linear.weight.norm()
    assert error < 0.13


def test_groups_are_for_16_bit_activations_and_divide_the_width():
    with pytest.raises(ConfigError, match='need 16-bit activations'):
        QuantLinear(64, 8, 'w4a8', group_size=32)
    with pytest.raises(ConfigError, match='need 16-bit activations'):
        QuantLinear(72, 8, 'w4a16', group_size=64)


@torch.inference_mode()
def test_together_equals_one_by_one():
    layers = [QuantLinear.from_linear(nn.Linear(64, n, bias=False), 'w4a4') for n in (64, 32, 8)]
    x = torch.randn(2, 5, 64)
    apart = [layer(x) for layer in layers]
    for found, expected in zip(together(layers, x), apart):
        assert torch.allclose(found, expected, atol=1e-5)
    assert layers[0].kernel is layers[2].kernel


def test_layers_with_a_joint_kernel_are_free_as_soon_as_they_are_dropped():
    layers = [QuantLinear.from_linear(nn.Linear(64, 8, bias=False), 'w4a4') for _ in range(3)]
    together(layers, torch.randn(5, 64))
    watched = [weakref.ref(layers[0].kernel), *map(weakref.ref, layers)]
    gc.disable()
    try:
        del layers
        assert not any(reference() for reference in watched)
    finally:
        gc.enable()


@torch.inference_mode()
def test_together_makes_a_kernel_for_each_set_of_layers():
    layers = [QuantLinear.from_linear(nn.Linear(64, 8, bias=False), 'w4a4') for _ in range(3)]
    x = torch.randn(5, 64)
    joint = together(layers, x)
    kernel = layers[0].kernel
    together(layers, x)
    assert layers[0].kernel is kernel
    for found, expected in zip(together(layers[:2], x), joint):
        assert torch.allclose(found, expected, atol=1e-5)
    assert layers[0].kernel is not kernel


@torch.inference_mode()
def test_together_calls_mixed_layers_one_by_one():
    layers = [QuantLinear.from_linear(nn.Linear(64, 8), 'w4a4'), nn.Linear(64, 8),
              QuantLinear.from_linear(nn.Linear(64, 8), 'w8a8')]
    x = torch.randn(5, 64)
    for found, layer in zip(together(layers, x), layers):
        assert torch.equal(found, layer(x))


@torch.inference_mode()
def test_loading_other_weights_replaces_the_kernel():
    x = torch.randn(4, 64)
    first, second = (QuantLinear.from_linear(nn.Linear(64, 8), 'w4a4') for _ in range(2))
    assert not torch.equal(first(x), second(x))
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(x), second(x))
    assert torch.equal(copy.deepcopy(first)(x), second(x))


@torch.inference_mode()
def test_released_weights_still_serve_but_cannot_be_read():
    layer = QuantLinear.from_linear(nn.Linear(64, 8), 'w4a4')
    x = torch.randn(4, 64)
    expected = layer(x)
    layer.prepare(rows=4, release=True)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    with pytest.raises(ConfigError, match='released'):
        layer.integers()


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(ConfigError, match='must be even'):
        QuantLinear(33, 8, 'w4a4')
    QuantLinear(33, 8, 'w8a8')
    with pytest.raises(ConfigError, match='needs no QuantLinear'):
        QuantLinear(32, 8, 'fp')
    with pytest.raises(ConfigError, match='does not tile'):
        QuantLinear(48, 8, 'w4a4', hadamard_block=32)
