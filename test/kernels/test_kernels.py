# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every backend against the reference, and the rule by which one of them serves."""
import logging

from kernel_layers import NATIVE, needs_level, random_layer, usable
import pytest
from sqap_vla_ros import kernels
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels import native
from sqap_vla_ros.kernels.attention import attend
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.cpu import FbgemmKernel, FloatKernel
from sqap_vla_ros.kernels.native import NativeKernel
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
import torch
from torch.nn import functional as F

BITS = [(4, 4), (4, 8), (8, 8)]
# inputs, outputs and tokens, of which many meet the rare ties between two integers
SHAPES = [(2, 6, 13), (250, 70, 5), (1100, 64, 1), (11008, 3, 13), (512, 16, 3000)]
FLOATS = [*(LinearSpec(width, 33, 8, 16, block, stride) for width, block, stride in (
    (64, 64, 1), (1120, 32, 1), (2048, 2048, 1), (256, 4, 64), (48, 8, 1), (96, 8, 3))),
    *(LinearSpec(320, 70, 4, 16, 64, group_size=group) for group in (0, 16, 64))]
kinds = pytest.mark.parametrize('kind', (*NATIVE, TorchKernel, FbgemmKernel, FloatKernel),
                                ids=lambda kind: kind.name)
integers = pytest.mark.parametrize(('weight_bits', 'act_bits'), BITS)


@kinds
@integers
@pytest.mark.parametrize('width', [2, 64, 250, 1024, 11008])
def test_integer_part_is_exact_at_extreme_values(kind, weight_bits, act_bits, width):
    spec = LinearSpec(width, 16, weight_bits, act_bits)
    usable(kind, spec)
    weight = kernels.extreme_inputs(width, weight_bits, 12).to(torch.int8)
    grid, ones = kernels.extreme_inputs(width, act_bits, 12), torch.ones(16)
    expected = (grid.long() @ weight.long().t()).float()
    assert torch.equal(ReferenceKernel(spec, weight, ones).product(grid), expected)
    assert torch.equal(kind(spec, weight, ones).product(grid.clone()), expected)


@kinds
@integers
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('per_token', [True, False])
@torch.inference_mode()
def test_layers_have_the_bits_of_the_reference_so_that_no_choice_changes_a_result(
        kind, weight_bits, act_bits, shape, per_token):
    inputs, outputs, rows = shape
    spec = LinearSpec(inputs, outputs, weight_bits, act_bits, per_token=per_token)
    layer = random_layer(spec)
    x = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(rows))
    found = usable(kind, spec)(spec, *layer)(x)
    assert torch.equal(found, ReferenceKernel(spec, *layer)(x))


@kinds
@integers
@torch.inference_mode()
def test_layers_with_a_hadamard_equal_the_reference(kind, weight_bits, act_bits):
    spec = LinearSpec(256, 40, weight_bits, act_bits, 128)
    layer = random_layer(spec)
    x = torch.randn(77, 256, generator=torch.Generator().manual_seed(1))
    expected = ReferenceKernel(spec, *layer)(x)
    found = usable(kind, spec)(spec, *layer)(x)
    # a value on the edge between two integers may fall either way after the transform
    close = torch.isclose(found, expected, rtol=1e-4, atol=1e-2).all(dim=1)
    assert close.float().mean() > 0.9
    assert (found - expected).norm() < 0.01 * expected.norm()


@kinds
@pytest.mark.parametrize('spec', FLOATS, ids=str)
@torch.inference_mode()
def test_layers_of_float_activations_equal_the_reference(kind, spec):
    layer = random_layer(spec)
    x = torch.randn(9, spec.in_features, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    expected = ReferenceKernel(spec, *layer)(x)
    found = usable(kind, spec)(spec, *layer)(x)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert torch.equal(x, before)


@kinds
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@torch.inference_mode()
def test_a_broken_row_stays_visible_and_alone(kind, bad):
    spec = LinearSpec(64, 8, 4, 4, 64)
    x = torch.randn(3, 64)
    x[1, 5] = bad
    for one in (usable(kind, spec), ReferenceKernel):
        y = one(spec, *random_layer(spec))(x)
        assert torch.isfinite(y[[0, 2]]).all() and not torch.isfinite(y[1]).any()


@pytest.mark.parametrize('kind', [NativeKernel, TorchKernel], ids=lambda kind: kind.name)
@pytest.mark.parametrize('bits', [(4, 4), (4, 16), (8, 8)])
def test_the_bits_in_memory_are_those_on_disk(kind, bits):
    spec = LinearSpec(512, 128, *bits)
    kernel = usable(kind, spec)(spec, *random_layer(spec))
    assert kernel.weight.numel() * kernel.weight.element_size() * 8 == 512 * 128 * bits[0]
    assert kind.bits_for(spec) == bits[0]


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
    for width, act_bits in ((128, 4), (96, 16)):
        with pytest.raises(ConfigError, match='groups of 64'):
            LinearSpec(width, 8, 4, act_bits, group_size=64)


class SaturatingKernel(ReferenceKernel):
    """What FBGEMM does on AVX2 without VNNI: pairs of products clamped to int16."""

    name = 'saturating'

    def product(self, grid):
        pairs = grid[:, None, :] * self.q_weight.float()  # [M, N, K]
        return (pairs[..., ::2] + pairs[..., 1::2]).clamp(-32768, 32767).sum(-1)


@pytest.fixture
def anew(caplog):
    """Let what serves be chosen, and told, anew."""
    caplog.set_level(logging.INFO, logger='sqap_vla_ros.kernels')
    cached = kernels.native_reason, kernels.check_exact, kernels.serving_kernel, kernels._tell
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def test_the_native_backend_serves_by_rule_and_is_logged_once(anew, caplog):
    needs_level()
    for width in (512, 64):
        assert kernels.cpu_kernel(LinearSpec(width, 72, 4, 4)) is NativeKernel
    text, = (record.getMessage() for record in caplog.records)
    assert text == "w4a4 layers run on backend 'native'"


def test_a_backend_that_saturates_is_passed_over_for_8_bits_and_taken_for_4(
        anew, caplog, monkeypatch):
    monkeypatch.setattr(kernels, '_ON_CPU', (SaturatingKernel, FloatKernel))
    monkeypatch.setattr(kernels, 'NativeKernel', SaturatingKernel)
    monkeypatch.setattr(kernels, 'native_reason', lambda: '')
    assert kernels.cpu_kernel(LinearSpec(64, 8, 4, 4)) is SaturatingKernel
    for _ in range(2):
        assert kernels.cpu_kernel(LinearSpec(64, 8, 8, 8)) is FloatKernel
    warning, = (record.getMessage() for record in caplog.records if record.levelname == 'WARNING')
    assert "w8a8 layers run on backend 'float'" in warning and 'off by up to' in warning


@torch.inference_mode()
def test_without_native_kernels_torch_s_serve_and_one_warning_says_why(
        anew, monkeypatch, caplog):
    def missing():
        raise Unavailable('there is no C++ compiler: install one')
    monkeypatch.setattr(kernels, 'library', missing)
    monkeypatch.setattr(native, 'library', missing)
    q = torch.randn(1, 2, 20, 16)
    attended = attend(q, q, q)  # in plain float32 this is the only call that can warn
    assert 'install one' in caplog.text
    assert torch.allclose(attended, F.scaled_dot_product_attention(q, q, q), atol=1e-6)
    for bits in (*BITS, (4, 16)):
        spec = LinearSpec(64, 24, *bits)
        kernel = kernels.make_kernel(spec, *random_layer(spec), rows=4)
        assert kernel.name == 'float' if bits == (4, 16) else kernel.name in ('fbgemm', 'float')
        assert f"w{bits[0]}a{bits[1]} layers run on backend '{kernel.name}'" in caplog.text
    warning, = (record.getMessage() for record in caplog.records if record.levelname == 'WARNING')
    assert 'slower: there is no C++ compiler: install one' in warning


def test_a_named_backend_is_checked():
    spec = LinearSpec(64, 8, 4, 16)
    layer = random_layer(spec)
    assert kernels.make_kernel(spec, *layer, backend='float').name == 'float'
    with pytest.raises(ConfigError, match='unknown: use one of'):
        kernels.make_kernel(spec, *layer, backend='magic')
    with pytest.raises(ConfigError, match='cannot be used here'):
        kernels.make_kernel(spec, *layer, backend='fbgemm')
