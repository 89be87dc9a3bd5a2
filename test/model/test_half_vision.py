# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Vision blocks whose feed-forward passes from product to product in bfloat16 tiles, with AMX."""
import pytest
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.kernels.native_bfloat16 import multiplies_halves, NativeBfloat16
from sqap_vla_ros.kernels.native_block import VitBlockKernel
from sqap_vla_ros.kernels.native_float import NativeFloat
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


def near(found, expected):
    assert found.shape == expected.shape
    assert float((found - expected).norm() / expected.norm()) < 1e-3
    assert float((found - expected).abs().max()) < 0.02 * float(expected.abs().max())


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
    x, before, found = torch.randn(1, 150, WIDTH), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(kernel(x))
    finally:
        torch.set_num_threads(before)
    near(found[0], plain(x))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
