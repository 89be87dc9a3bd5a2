# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Vision blocks that pass from product to product in bfloat16, with AMX, and what is around."""
import dataclasses

import pytest
from sqap_vla_ros.bench.sizes import size_config
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.kernels.attention import native_attention
from sqap_vla_ros.kernels.native_bfloat16 import multiplies_halves, NativeBfloat16
from sqap_vla_ros.kernels.native_block import VitBlockKernel
from sqap_vla_ros.kernels.native_float import NativeFloat
from sqap_vla_ros.model.bfloat16_vision import NativeProjector, use_bfloat16_vision
from sqap_vla_ros.model.vla import VLA
import torch
from torch.nn import functional as F

WIDTH = 64
# of a part of a tile, of half a panel, of whole ones and a rest, of more than one share of inputs
INNER = [27, 96, 130, 600]


@pytest.fixture(autouse=True)
def needs_tiles():
    if native_reason() or not multiplies_halves():
        pytest.skip('native kernels multiply bfloat16 with AMX only, which is not to be had here')


def block(inner, tanh=False, scales=(None, None), up=NativeBfloat16, down=NativeBfloat16):
    """Return a kernel whose attention adds its bias alone, and what it computes."""
    generator = torch.Generator().manual_seed(inner)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator)
    weights = [drawn(3 * WIDTH, WIDTH), torch.zeros(WIDTH, WIDTH),
               drawn(inner, WIDTH) / 8, drawn(WIDTH, inner) / 8]
    biases = [drawn(len(weight)) for weight in weights]
    kinds = NativeBfloat16, NativeBfloat16, up, down
    norms = [(drawn(WIDTH), drawn(WIDTH), 1e-6) for _ in range(2)]
    kernel = VitBlockKernel([kind(weight, bias) for kind, weight, bias in zip(
        kinds, weights, biases)], norms, 2, tanh, scales)

    def rounded(kind, tensor):
        return tensor.bfloat16().double() if kind is NativeBfloat16 else tensor.double()

    def plain(x):
        first, second = (1.0 if scale is None else scale.double() for scale in scales)
        x = x.double() + first * biases[1].double()
        weight, bias, eps = norms[1]
        y = F.layer_norm(x, (WIDTH,), weight.double(), bias.double(), eps).float()
        y = rounded(up, y) @ rounded(up, weights[2]).T + biases[2].double()
        y = F.gelu(y, approximate='tanh' if tanh else 'none').float()
        y = rounded(down, y) @ rounded(down, weights[3]).T + biases[3].double()
        return x + second * y
    return kernel, plain


def near(found, expected, most=1e-3):
    assert found.shape == expected.shape
    assert float((found - expected).norm() / expected.norm()) < most
    assert float((found - expected).abs().max()) < 0.02 * float(expected.abs().max())


def each_number_of_threads(run):
    """Yield what run() gives with one thread, two and three."""
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            yield run()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('inner', INNER)
@pytest.mark.parametrize('rows', [1, 2, 16, 38, 70])
@pytest.mark.parametrize('tanh', [False, True])
def test_a_block_is_the_plain_one_of_rounded_values(rows, inner, tanh):
    torch.manual_seed(0)
    kernel, plain = block(inner, tanh)
    x = torch.randn(2, rows, WIDTH)
    near(kernel(x), plain(x))


@pytest.mark.parametrize('inner', INNER)
@pytest.mark.parametrize('up, down', [
    (NativeFloat, NativeBfloat16), (NativeBfloat16, NativeFloat), (NativeFloat, NativeFloat)])
def test_one_of_both_products_may_be_of_floats(inner, up, down):
    torch.manual_seed(0)
    kernel, plain = block(inner, up=up, down=down)
    x = torch.randn(1, 38, WIDTH)
    near(kernel(x), plain(x))


def test_branches_may_have_factors_and_threads_change_no_bit():
    torch.manual_seed(0)
    kernel, plain = block(130, scales=(torch.randn(WIDTH), torch.randn(WIDTH)))
    x = torch.randn(1, 150, WIDTH)
    first, *others = each_number_of_threads(lambda: kernel(x))
    near(first, plain(x))
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize('rows', [11, 12, 16, 33, 70])
@pytest.mark.parametrize('width, heads', [(32, 1), (64, 2), (96, 1), (128, 2), (64, 4), (96, 2)])
def test_attention_between_products_is_that_of_rounded_values(width, heads, rows):
    # heads of 16 and 48 channels, and 11 rows, are served with floats between
    generator = torch.Generator().manual_seed(rows)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator)

    def rounded(tensor):
        return tensor.float().bfloat16().double()
    weights = [drawn(3 * width, width) / width ** 0.5, drawn(width, width) / width ** 0.5,
               torch.zeros(width, width), torch.zeros(width, width)]
    biases = [drawn(len(weights[0])), drawn(width), torch.zeros(width), torch.zeros(width)]
    norm, shift, factor = drawn(width), drawn(width), drawn(width)
    layers = [NativeBfloat16(weight, bias) for weight, bias in zip(weights, biases)]
    x = drawn(2, rows, width)
    normed = F.layer_norm(x.double(), (width,), norm.double(), shift.double(), 1e-6)
    qkv = rounded(normed) @ rounded(weights[0]).T + biases[0].double()
    q, k, v = rounded(qkv).view(2, rows, 3, heads, -1).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    branch = rounded(attended) @ rounded(weights[1]).T + biases[1].double()
    for scale in (None, factor):
        kernel = VitBlockKernel(layers, [(norm, shift, 1e-6)] * 2, heads, False, (scale, None))
        alike = each_number_of_threads(lambda kernel=kernel: kernel(x))
        found = next(alike) - x
        assert all(torch.equal(other - x, found) for other in alike)
        expected = branch if scale is None else branch * scale.double()
        assert float((found - expected).abs().max()) < 0.03 * float(expected.abs().max())
        assert float((found - expected).norm() / expected.norm()) < 5e-3


@pytest.mark.parametrize('kind', [NativeBfloat16, NativeFloat])
def test_attention_is_as_near_to_its_parts_as_their_norm(kind):
    # parts: products and attention by themselves, with floats in memory between; of queries, keys
    # and values a product of floats too
    torch.manual_seed(0)
    width, heads, rows = 128, 2, 38
    qkv = kind(torch.randn(3 * width, width) / 11, torch.randn(3 * width))
    out = NativeBfloat16(torch.randn(width, width) / 11, torch.zeros(width))
    nothing = NativeBfloat16(torch.zeros(width, width), torch.zeros(width))
    norm = torch.ones(width), torch.zeros(width), 1e-6
    kernel = VitBlockKernel([qkv, out, nothing, nothing], [norm] * 2, heads, False)
    x = torch.randn(1, rows, width)
    normed = F.layer_norm(x, (width,), eps=1e-6)[0]
    made = (qkv(normed) + qkv.bias).view(1, rows, 3, heads, -1).permute(2, 0, 3, 1, 4)
    attended = native_attention(*made, False, bits=16).transpose(1, 2).flatten(2)
    expected = out(attended[0])
    assert float((kernel(x)[0] - x[0] - expected).norm() / expected.norm()) < 1e-3


def test_a_projector_and_a_stem_are_the_plain_ones():
    torch.manual_seed(0)
    config = dataclasses.replace(size_config('bundled'), projector_widths=(96, 80))
    model = VLA(config).eval().requires_grad_(False)
    pixels, features = torch.randn(2, 3, 224, 224), torch.randn(2, 5, config.vision.width)
    positions = model.vision.pos_embed
    before = positions.clone()
    plain = (model.projector(features),
             model.vision.patch_embed(pixels).flatten(2).transpose(1, 2) + positions)
    use_bfloat16_vision(model)
    assert isinstance(model.projector, NativeProjector)
    stem = model.vision.patch_embed
    two = stem.placed(pixels, positions)
    near(two, plain[1], 0.01)
    near(model.projector(features), plain[0], 0.01)
    assert torch.equal(stem(pixels).flatten(2).transpose(1, 2) + positions, two)
    one = stem.placed(pixels[:1], positions)
    near(one, plain[1][:1], 0.01)
    torch.testing.assert_close(one, two[:1], rtol=0, atol=1e-5)
    assert torch.equal(model.vision.pos_embed, before)
