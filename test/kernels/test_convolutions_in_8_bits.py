# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Native convolutions in 8 bits, at every level, against the reference's product of patches."""
import copy

from kernel_layers import force_level
import pytest
from sqap_vla_ros.kernels import levels, make_kernel, native_reason
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.native import in_8_bits
from sqap_vla_ros.kernels.native_convolution import NativeConvolution
from sqap_vla_ros.numerics.int4 import quantize_weight
import torch
from torch import nn
from torch.nn import functional as F

pytestmark = pytest.mark.skipif(bool(native_reason()), reason=native_reason() or 'there')
# channels, outputs, kernel, stride, padding, side: of few places and of many
FORMS = [(3, 130, 7, 7, 0, 56), (32, 70, 3, 1, 1, 9), (32, 20, 3, 2, 1, 32), (5, 9, 3, 2, 1, 11),
         (128, 64, 3, 1, 1, 16), (1, 1, 1, 1, 0, 1)]


def expected(layer, x):
    """Return [B, H', W', N]: each patch a row of the reference's product."""
    weight = layer.weight.detach().flatten(1)
    spec = LinearSpec(weight.shape[1], len(weight), 8, 8)
    kernel = make_kernel(spec, *quantize_weight(weight, 8), layer.bias.detach(),
                         backend='reference')
    rows = F.unfold(x, layer.kernel_size, 1, layer.padding, layer.stride).transpose(1, 2)
    side = [(length + 2 * layer.padding[0] - layer.kernel_size[0]) // layer.stride[0] + 1
            for length in x.shape[2:]]
    return kernel(rows.flatten(0, 1)).view(len(x), *side, -1)


@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@pytest.mark.parametrize('planar', [False, True])
@pytest.mark.parametrize('form', FORMS)
@torch.no_grad()
def test_each_place_is_the_references_product_of_its_patch(monkeypatch, level, planar, form):
    force_level(monkeypatch, level)
    torch.manual_seed(0)
    *arguments, side = form
    layer = nn.Conv2d(*arguments)
    x = torch.randn(2, arguments[0], side + arguments[3], side) * torch.tensor(
        [1.0, 1e-3]).view(2, 1, 1, 1)  # what one place sees decides nothing of another
    exact, native = expected(layer, x), NativeConvolution(layer, in_8_bits, planar)
    last = x if planar else x.permute(0, 2, 3, 1).clone().contiguous()
    near_gelu = {'rtol': 0, 'atol': 3e-5 * max(1.0, float(exact.abs().max()))}
    torch.testing.assert_close(native(last), exact, rtol=1e-6, atol=1e-7)
    base = torch.full_like(exact, 2.0)
    torch.testing.assert_close(native(last, gelu=True, base=base), F.gelu(exact) + 2, **near_gelu)
    if last.shape == exact.shape and not planar:  # what it reads may be what it adds to
        assert native(last, gelu=True, to=last) is last
        torch.testing.assert_close(last, F.gelu(exact) + x.permute(0, 2, 3, 1), **near_gelu)


@torch.no_grad()
def test_it_is_near_torchs_for_extreme_values_and_says_nan():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 8, 3, padding=1)
    layer.weight[0] *= 1e4
    native = NativeConvolution(layer, in_8_bits)
    x = torch.randn(1, 16, 12, 12)
    x[0, 3] *= 1e6
    plain = layer(x).permute(0, 2, 3, 1)
    found = native(x.permute(0, 2, 3, 1).contiguous())
    assert float((found - plain).norm() / plain.norm()) < 0.01
    zeros = native(torch.zeros(1, 12, 12, 16))
    torch.testing.assert_close(zeros, layer.bias.expand_as(zeros))
    x[0, 0, 5, 5] = float('nan')
    assert native(x.permute(0, 2, 3, 1).contiguous())[0, 4:7, 4:7].isnan().all()


@torch.no_grad()
def test_threads_change_no_bit_and_copies_share_weights():
    torch.manual_seed(0)
    native = NativeConvolution(nn.Conv2d(32, 70, 3, padding=1), in_8_bits)
    x, before = torch.randn(1, 20, 20, 32), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(copy.deepcopy(native)(x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert copy.deepcopy(native).product is native.product
