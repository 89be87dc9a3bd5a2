# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The activation quantizer against torch's, in Triton's interpreter."""
import cuda_interpreter  # noqa: F401, I100, I202
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.cuda.quantize import quantize_rows, transform_rows
from sqap_vla_ros.model.llama import RMSNorm
from sqap_vla_ros.numerics.hadamard import hadamard_transform
from sqap_vla_ros.numerics.int4 import activation_scale, quantize_activation
import torch
from torch.nn import functional as F


def randoms(*shape, seed=0, dtype=torch.float32):
    """Return values with outliers, as a decoder's are."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator)
    values[:, 3] *= 30
    return values.to(dtype)


def assert_quantized(found, floats, bits):
    """Check integers and scales of floats [M, K] but for floats on the edge between two."""
    integers, scale = found
    expected = quantize_activation(floats, bits)
    assert integers.dtype == torch.int8 and scale.dtype == torch.float32
    assert torch.allclose(scale, expected[1][:, 0], rtol=1e-5, atol=0)
    grid = floats.double() / expected[1].double()
    assert ((grid - integers).abs() <= 0.5 + 1e-5 * grid.abs()).all()


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('width', [1, 250, 4096])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_without_a_hadamard_integers_and_scales_equal_to_the_last_bit(bits, width, dtype):
    x = randoms(5, max(width, 4), dtype=dtype)[:, :width]
    integers, scale = quantize_rows(x, bits)
    expected = quantize_activation(x, bits)
    assert torch.equal(integers, expected[0]) and torch.equal(scale, expected[1][:, 0])


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('width, block, stride', [
    (256, 2, 1), (96, 8, 1), (384, 128, 1), (11008, 256, 1), (4096, 4096, 1), (4096, 32, 128),
    (288, 4, 24), (4096, 256, 16)])
def test_blocks_are_rotated_before_they_are_quantized(bits, width, block, stride):
    x = randoms(3, width)
    rotated = hadamard_transform(x.double(), block, stride)
    assert_quantized(quantize_rows(x, bits, block=block, stride=stride), rotated.float(), bits)


def test_the_hadamard_of_a_wide_row_is_as_exact_as_float32():
    x = randoms(2, 11008)
    expected = hadamard_transform(x.double(), 256)
    found = transform_rows(x, block=256)
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
def test_rows_are_normalized_first(dtype):
    norm = RMSNorm(320, 1e-5).to(dtype)
    norm.weight.data = randoms(2, 320, seed=1, dtype=dtype)[0]
    x = randoms(4, 320, dtype=dtype)
    found = transform_rows(x, norm.weight, 1e-5)
    assert torch.allclose(found, norm(x), rtol=2e-3 if dtype == torch.float16 else 1e-6)
    assert_quantized(quantize_rows(x, 4, norm.weight, 1e-5, block=64),
                     hadamard_transform(found.float(), 64), 4)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
def test_the_gate_and_up_halves_of_one_product_are_joined_first(dtype):
    both = randoms(4, 2 * 344, dtype=dtype)
    gate, up = both.split(344, dim=1)
    found = transform_rows(up, gate=gate)
    assert torch.allclose(found, F.silu(gate) * up, rtol=2e-3 if dtype == torch.float16 else 1e-6)
    assert_quantized(quantize_rows(up, 8, gate=gate, block=8),
                     hadamard_transform(found.float(), 8), 8)


@pytest.mark.filterwarnings('ignore:invalid value')
@pytest.mark.parametrize('block', [1, 16])
def test_extreme_rows_keep_the_floor_and_stay_visible(block):
    x = randoms(6, 64)
    x[0] = 0
    x[1] = 1e-33
    x[2, 5] = float('nan')
    x[3, 5] = float('-inf')
    x[4] *= 1e30
    integers, scale = quantize_rows(x, 4, block=block)
    assert not integers[:2].any() and torch.equal(scale[:2], activation_scale(x[:2], 4)[:, 0])
    assert not torch.isfinite(scale[2:4]).any()
    assert torch.isfinite(scale[4:]).all() and integers[4:].abs().amax(1).tolist() == [7, 7]


def test_rows_may_stand_apart_and_be_columns():
    x = randoms(8, 96)
    part = x[::2, 16:80]
    assert torch.equal(quantize_rows(part, 8)[0], quantize_activation(part, 8)[0])
    assert torch.equal(quantize_rows(x.t(), 8)[0], quantize_activation(x.t(), 8)[0])
    assert quantize_rows(x[:0], 8)[0].shape == (0, 96)


def test_a_width_that_the_kernel_does_not_hold_is_refused():
    with pytest.raises(ConfigError, match='more than the GPU kernel holds'):
        quantize_rows(torch.zeros(1, 65536), 4)
    with pytest.raises(ConfigError, match='does not tile'):
        quantize_rows(torch.zeros(1, 96), 4, block=64)
