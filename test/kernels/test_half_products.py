# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Products, convolutions and attention in bfloat16, on AMX's tiles, against plain ones."""
import pytest
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.kernels.attention import native_attention
from sqap_vla_ros.kernels.base import Unavailable
from sqap_vla_ros.kernels.native_bfloat16 import multiplies_halves, NativeBfloat16
from sqap_vla_ros.kernels.native_convolution import NativeConvolution
import torch
from torch import nn
from torch.nn import functional as F

# rows, inputs, outputs: of less than a tile, whole ones, and more than one share of inputs
SHAPES = [(1, 7, 5), (2, 33, 65), (3, 64, 64), (17, 100, 130), (33, 512, 66), (49, 1100, 9),
          (32, 513, 64), (77, 250, 130)]


@pytest.fixture(autouse=True)
def needs_tiles():
    if native_reason() or not multiplies_halves():
        pytest.skip('native kernels multiply bfloat16 with AMX only, which is not to be had here')


def near(found, expected, limit=1e-6):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= limit * float(expected.abs().max())


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize('rows, inputs, outputs', SHAPES)
def test_a_product_is_that_of_rounded_values_summed_in_floats(rows, inputs, outputs, threads):
    torch.manual_seed(0)
    weight, x = torch.randn(outputs, inputs), torch.randn(rows, inputs)
    found = NativeBfloat16(weight)(x)
    near(found, x.bfloat16().double() @ weight.bfloat16().double().T)
    bias = torch.randn(outputs)
    native = NativeBfloat16(weight, bias)
    assert torch.equal(native.answer(x), found + bias)
    near(native.answer(x, gelu=True), F.gelu(found.double() + bias.double()), 3e-5)


def test_rounding_is_to_nearest_even_and_an_overflow_stays_one():
    weight = torch.ones(1, 1)
    values = torch.tensor([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -16, 3.4e38])
    found = NativeBfloat16(weight)(values[:, None])[:, 0]
    assert torch.equal(found, values.bfloat16().float())
    assert found[0] == 1 and found[1] == 1 + 2 ** -6 and torch.isinf(found[3])
    assert torch.isnan(NativeBfloat16(weight)(torch.tensor([[float('nan')]]))).all()


@pytest.mark.parametrize('channels, outputs, kernel, stride, padding, side', [
    (3, 128, 7, 7, 0, 56), (32, 20, 3, 1, 1, 9), (32, 70, 3, 2, 1, 8), (5, 9, 3, 2, 1, 11),
    (3, 7, 5, 3, 2, 17), (20, 3, 17, 1, 2, 20),
    # whose rows are read in the image: a line is one tile of 16 places, two, or three
    (32, 20, 3, 1, 1, 16), (64, 70, 3, 2, 1, 32), (96, 130, 5, 1, 0, 20), (32, 8, 3, 1, 1, 48),
    (32, 33, 3, 2, 0, 65), (32, 32, 3, 1, 1, 9), (128, 128, 3, 1, 1, 32)])
@pytest.mark.parametrize('planar', [False, True])
def test_a_convolution_is_torchs_of_rounded_values(channels, outputs, kernel, stride, padding,
                                                   side, threads, planar):
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, outputs, kernel, stride, padding).requires_grad_(False)
    x = torch.randn(2, channels, side + stride, side)  # a line more than columns
    native = NativeConvolution(layer, NativeBfloat16, planar)
    last = x if planar else x.permute(0, 2, 3, 1).contiguous()
    expected = F.conv2d(x.bfloat16().double(), layer.weight.bfloat16().double(),
                        layer.bias.double(), stride, padding).permute(0, 2, 3, 1)
    near(native(last), expected)
    to, base = torch.ones(expected.shape), torch.full(expected.shape, 2.0)
    near(native(last, gelu=True), F.gelu(expected), 3e-5)
    near(native(last, gelu=True, base=base), F.gelu(expected) + 2, 3e-5)
    with pytest.raises(RuntimeError, match='one of both'):
        native(last, to=to, base=base)
    assert torch.equal(base, torch.full_like(to, 2.0))
    assert native(last, gelu=True, to=to) is to
    near(to, F.gelu(expected) + 1, 3e-5)
    if last.shape == expected.shape and not planar:  # what it reads may be what it adds to
        before = last.clone()
        assert native(last, gelu=True, to=last) is last
        near(last, F.gelu(expected) + before.double(), 3e-5)
    with pytest.raises(RuntimeError, match='strides'):
        native(x.permute(0, 2, 3, 1))
    for wrong in ({'to': to[:, :1]}, {'base': to[:, :1]}):
        with pytest.raises(RuntimeError, match='shall be added'):
            native(last, **wrong)


@pytest.mark.parametrize('batch, heads, kv_heads, queries, keys, width, causal', [
    (1, 4, 4, 256, 256, 64, False), (2, 6, 2, 70, 70, 20, True), (2, 2, 1, 33, 50, 80, True),
    (1, 3, 3, 13, 13, 64, True), (1, 1, 1, 12, 300, 33, False)])
def test_attention_is_near_that_of_floats(batch, heads, kv_heads, queries, keys, width, causal):
    torch.manual_seed(0)
    q, k, v = (torch.randn(batch, count, length, width) for count, length in (
        (heads, queries), (kv_heads, keys), (kv_heads, keys)))
    exact = native_attention(q, k, v, causal)
    found = native_attention(q, k, v, causal, bits=16)
    assert 1e-4 < float((found - exact).norm() / exact.norm()) < 0.005
    seen = torch.arange(keys - queries + 1, keys + 1, dtype=torch.int32)
    if causal:
        assert torch.equal(native_attention(q, k, v, False, seen=seen, bits=16), found)


def test_a_query_that_sees_one_key_has_its_value_and_later_keys_weigh_nothing():
    q, k = torch.randn(1, 1, 40, 32), torch.randn(1, 1, 40, 32) * 8
    v = torch.arange(40.0)[None, None, :, None].repeat(1, 1, 1, 32)
    found = native_attention(q, k, v, True, bits=16)
    assert found[0, 0, 0].abs().max() < 1e-30  # v[0] is 0; keys beyond weigh e^-87 at most
    assert (found[0, 0].amax(1) <= torch.arange(40) * 1.005 + 1e-30).all()


def test_weights_that_cannot_be_packed_are_refused(monkeypatch):
    with pytest.raises(RuntimeError, match='float64'):
        NativeBfloat16(torch.ones(3, 3, dtype=torch.float64))
    monkeypatch.setattr('sqap_vla_ros.kernels.native_bfloat16.multiplies_halves', lambda: False)
    with pytest.raises(Unavailable, match='AMX'):
        NativeBfloat16(torch.ones(3, 3))


def test_convolutions_of_another_form_and_images_without_a_place_are_refused():
    for layer in (nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, (3, 1)),
                  nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding='same'),
                  nn.Conv2d(4, 4, 3, padding=3), nn.Conv2d(4, 4, 3, padding_mode='reflect')):
        with pytest.raises(RuntimeError, match='square kernels and plain padding'):
            NativeConvolution(layer.requires_grad_(False), NativeBfloat16)
    native = NativeConvolution(nn.Conv2d(3, 4, 7, 7).requires_grad_(False), NativeBfloat16)
    for shape in ((1, 6, 9, 3), (0, 14, 14, 3)):
        with pytest.raises(RuntimeError, match='smaller than the kernel'):
            native(torch.zeros(shape))
