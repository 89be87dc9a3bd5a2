# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every backend against the reference, at the extremes of the integers and on real inputs."""
import logging

import pytest
from sqap_vla_ros import kernels
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.cpu import FloatKernel, INTEGER_KERNELS, IntMMKernel, WEIGHT_ONLY_KERNELS
from sqap_vla_ros.kernels.native import NativeKernel
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
import torch

EXACT = (NativeKernel, TorchKernel, *INTEGER_KERNELS)
BITS = [(4, 4), (4, 8), (8, 8)]
WIDTHS = [2, 64, 250, 1024, 11008]


def random_layer(spec, seed=0):
    generator = torch.Generator().manual_seed(seed)
    low = -2 ** (spec.weight_bits - 1)
    weight = torch.randint(low, -low, (spec.out_features, spec.in_features),
                           generator=generator).to(torch.int8)
    scale = torch.rand(spec.out_features, generator=generator) + 0.1
    return weight, scale, torch.randn(spec.out_features, generator=generator)


def usable(kernel, spec):
    reason = kernels.check_exact(kernel, spec.in_features, spec.weight_bits, spec.act_bits)
    if reason:
        pytest.skip(f'{kernel.name} is not offered on this machine: {reason}')
    return kernel


@pytest.mark.parametrize('kernel', EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize(('weight_bits', 'act_bits'), BITS)
@pytest.mark.parametrize('width', WIDTHS)
def test_integer_part_is_exact_at_extreme_values(kernel, weight_bits, act_bits, width):
    spec = LinearSpec(width, 6, weight_bits, act_bits)
    usable(kernel, spec)
    weight = kernels.extreme_inputs(width, weight_bits).to(torch.int8)
    grid = kernels.extreme_inputs(width, act_bits)
    ones = torch.ones(6)
    expected = (grid.long() @ weight.long().t()).float()
    assert torch.equal(ReferenceKernel(spec, weight, ones).product(grid), expected)
    assert torch.equal(kernel(spec, weight, ones).product(grid.clone()), expected)


@pytest.mark.parametrize('kernel', EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize(('weight_bits', 'act_bits'), BITS)
@pytest.mark.parametrize('rows', [1, 2, 77])
@pytest.mark.parametrize('per_token', [True, False])
@torch.inference_mode()
def test_layers_equal_the_reference(kernel, weight_bits, act_bits, rows, per_token):
    spec = LinearSpec(256, 40, weight_bits, act_bits, 128, 1, per_token)
    layer = random_layer(spec)
    x = torch.randn(rows, 256, generator=torch.Generator().manual_seed(1))
    expected = ReferenceKernel(spec, *layer)(x)
    found = usable(kernel, spec)(spec, *layer)(x)
    # a value on the edge between two integers may fall either way after the transform
    close = torch.isclose(found, expected, rtol=1e-4, atol=1e-2).all(dim=1)
    assert close.float().mean() > 0.9
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize(('weight_bits', 'act_bits'), BITS[:2])
@torch.inference_mode()
def test_backends_agree_to_the_last_bit_so_that_the_fastest_one_changes_no_result(
        weight_bits, act_bits):
    spec = LinearSpec(512, 256, weight_bits, act_bits)
    weight, scale, _ = random_layer(spec)
    kinds = [kind for kind in EXACT
             if not kernels.check_exact(kind, 512, weight_bits, act_bits)]
    layers = [kind(spec, weight, scale) for kind in kinds]
    generator = torch.Generator().manual_seed(2)
    for _ in range(200):  # ties between two integers are rare
        x = torch.randn(64, 512, generator=generator)
        results = [layer(x) for layer in layers]
        for kind, result in zip(kinds[1:], results[1:]):
            assert torch.equal(result, results[0]), f'{kind.name} differs from {kinds[0].name}'


@pytest.mark.parametrize('kernel', (NativeKernel, TorchKernel, *WEIGHT_ONLY_KERNELS),
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize('group_size', [0, 64])
@torch.inference_mode()
def test_weight_only_layers_equal_the_reference(kernel, group_size):
    spec = LinearSpec(192, 24, 4, 16, hadamard_block=64, group_size=group_size)
    weight, scale, bias = random_layer(spec)
    if group_size:
        scale = torch.rand(24, 3, generator=torch.Generator().manual_seed(3)) + 0.1
    layer = weight, scale, bias
    x = torch.randn(9, 192)
    before = x.clone()
    expected = ReferenceKernel(spec, *layer)(x)
    assert torch.allclose(usable(kernel, spec)(spec, *layer)(x), expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(x, before)


@pytest.mark.parametrize('kernel', (*EXACT, ReferenceKernel),
                         ids=lambda kind: kind.name)
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@torch.inference_mode()
def test_non_finite_inputs_stay_visible(kernel, bad):
    spec = LinearSpec(64, 8, 4, 4)
    x = torch.randn(3, 64)
    x[1, 5] = bad
    y = usable(kernel, spec)(spec, *random_layer(spec))(x)
    assert torch.isfinite(y[[0, 2]]).all()
    assert not torch.isfinite(y[1]).any()


@torch.inference_mode()
def test_zero_inputs_give_the_bias():
    spec = LinearSpec(64, 8, 4, 4)
    weight, scale, bias = random_layer(spec)
    y = kernels.make_kernel(spec, weight, scale, bias, rows=2)(torch.zeros(2, 64))
    assert torch.equal(y, bias.expand(2, -1))


@torch.inference_mode()
def test_bfloat16_inputs_come_back_as_bfloat16():
    spec = LinearSpec(64, 8, 8, 8)
    layer = random_layer(spec)
    x = torch.randn(4, 64).bfloat16()
    y = kernels.make_kernel(spec, *layer, rows=4)(x)
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), ReferenceKernel(spec, *layer)(x.float()), rtol=0.01,
                          atol=0.5)


def test_groups_of_weights_need_float_activations_and_a_width_they_divide():
    with pytest.raises(ConfigError, match='groups of 64'):
        LinearSpec(128, 8, 4, 4, group_size=64)
    with pytest.raises(ConfigError, match='groups of 64'):
        LinearSpec(96, 8, 4, 16, group_size=64)


@pytest.mark.parametrize('group_size', [128, 4096])
def test_the_choice_serves_groups_of_weights(group_size):
    spec = LinearSpec(4096, 16, 4, 16, group_size=group_size)
    assert kernels.choose(spec, rows=4).kernel.bits_for(spec) in (4, 8, 32)


def test_float32_is_refused_where_its_sums_would_not_be_exact():
    spec = LinearSpec(2048, 4, 8, 8)
    with pytest.raises(Unavailable, match='would not be exact'):
        FloatKernel(spec, torch.zeros(4, 2048, dtype=torch.int8), torch.ones(4))
    assert kernels.check_exact(FloatKernel, 2048, 4, 4) == ''


class SaturatingKernel(IntMMKernel):
    """What FBGEMM does on AVX2 without VNNI: pairs of products clamped to int16."""

    name = 'saturating'

    def __init__(self, spec, q_weight, scale, bias=None):
        super().__init__(spec, q_weight, scale, bias)
        self.q_weight = q_weight

    def product(self, grid):
        pairs = grid[:, None, :] * self.q_weight.float()  # [M, N, K]
        return (pairs[..., ::2] + pairs[..., 1::2]).clamp(-32768, 32767).sum(-1)


def test_a_saturating_backend_is_rejected_for_8_bits_and_taken_for_4():
    assert 'off by up to' in kernels.check_exact(SaturatingKernel, 64, 8, 8)
    assert kernels.check_exact(SaturatingKernel, 64, 4, 4) == ''


class AnotherKernel(FloatKernel):
    """A rival that is as exact."""

    name = 'another'


@pytest.mark.parametrize('name, width', [('float', 96), ('another', 100)])
def test_the_choice_is_the_fastest_and_is_logged_once(name, width, caplog, monkeypatch):
    monkeypatch.setattr(kernels, 'native_reason', lambda: 'switched off')
    monkeypatch.setattr(kernels, 'INTEGER_KERNELS', (FloatKernel, AnotherKernel))
    monkeypatch.setattr(kernels, 'best_seconds', lambda function, x, **limits: (
        1.0 if getattr(function, 'name', '') == name else 2.0))
    spec = LinearSpec(width, 48, 4, 4)
    with caplog.at_level(logging.INFO, logger='sqap_vla_ros.kernels'):
        choice = kernels.choose(spec, rows=100)
        assert kernels.choose(spec, rows=140) is choice
    assert choice.kernel.name == name and {'float', 'another'} <= set(choice.times_ms)
    infos = [record for record in caplog.records if record.levelno == logging.INFO]
    assert len(infos) == 1
    message = infos[0].getMessage()
    assert f'w4a4 {width}x48, 128 rows' in message and choice.kernel.name in message
    assert f'{choice.kernel.bits_for(spec)} bits a weight in memory' in message


def test_a_slow_choice_is_a_warning_that_says_why(caplog, monkeypatch):
    slow = kernels.Choice(FloatKernel, {'float': 2.0}, 1.0, {'int_mm': 'torch is too old'})
    monkeypatch.setattr(kernels, '_choose', lambda *key: slow)
    kernels.choose(LinearSpec(98, 48, 4, 4))
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings and '0.50x' in warnings[0] and 'torch is too old' in warnings[0]


def test_a_named_backend_is_checked():
    spec = LinearSpec(64, 8, 4, 4)
    layer = random_layer(spec)
    assert kernels.make_kernel(spec, *layer, backend='float').name == 'float'
    with pytest.raises(ConfigError, match='unknown: use one of'):
        kernels.make_kernel(spec, *layer, backend='magic')
    with pytest.raises(ConfigError, match='cannot be used here'):
        kernels.make_kernel(spec, *layer, backend='converting')
