# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Packed weights and their products with many tokens, in Triton's interpreter."""
import cuda_interpreter  # noqa: F401, I100, I202
from hypothesis import given, settings, strategies
import pytest
from sqap_vla_ros.kernels.base import dequantize
from sqap_vla_ros.kernels.cuda import tuning
from sqap_vla_ros.kernels.cuda.gemm import int_linear
from sqap_vla_ros.kernels.cuda.pack import float_weight, opened, pack_weight
import torch
import triton

CONFIGS = {'one tile': 0, 'two tiles': 16}  # tokens of the second
SIZES = [(9, 40, 250), (33, 70, 896), (17, 300, 1300)]  # ragged tokens, channels, inputs


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def small_tiles(request, monkeypatch):
    """Take tiles of 32 channels and 16 tokens, and of some more in the second of two tiles."""
    config = triton.Config({'BLOCK_N': 32, 'BLOCK_M': 16, 'EXTRA_M': request.param})
    monkeypatch.setattr(tuning, 'choices', lambda *_: [config])


def integers(bits, *shape, seed=0):
    low = -2 ** (bits - 1)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, -low, shape, generator=generator).to(torch.int8)


@given(rows=strategies.integers(1, 5), inputs=strategies.integers(1, 400),
       bits=strategies.sampled_from([4, 8]))
@settings(max_examples=30)
def test_packed_weights_come_back(rows, inputs, bits):
    weight = integers(bits, rows, inputs, seed=inputs)
    packed = pack_weight(weight, bits)
    assert packed.shape == (rows, -(-inputs // 128) * 64 if bits == 4 else inputs)
    integers_again = opened(packed)[:, :inputs] // 16 if bits == 4 else packed
    assert torch.equal(integers_again, weight)


def test_a_packed_byte_holds_inputs_that_stand_64_apart():
    weight = torch.zeros(1, 256, dtype=torch.int8)
    weight[0, 128 + 5], weight[0, 128 + 64 + 5] = -8, 7
    packed = pack_weight(weight, 4)[0]
    assert packed[64 + 5] == 0xF0 and packed[5] == 0x88


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_scaled_integer_products_equal_to_the_last_bit(small_tiles, bits, size):
    rows, outputs, inputs = size
    x, weight = integers(8, rows, inputs), integers(bits, outputs, inputs, seed=1)
    scale, row_scale = torch.rand(outputs) + 0.1, torch.rand(rows) + 0.1
    expected = (x.double() @ weight.double().t()).float() * scale * row_scale[:, None]
    packed = pack_weight(weight, bits)
    found = int_linear(x, row_scale, packed, scale, None, torch.float32)
    assert torch.equal(found, expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_bias_is_added_before_rounding_and_the_residual_after(dtype):
    x, weight = integers(4, 20, 128), integers(4, 40, 128, seed=1)
    scale, row_scale, bias = torch.rand(40), torch.rand(20), torch.randn(40)
    residual = torch.randn(20, 80).to(dtype)[:, ::2][:, :40].contiguous()
    plain = (x.double() @ weight.double().t()).float() * scale * row_scale[:, None] + bias
    found = int_linear(x, row_scale, pack_weight(weight, 4), scale, bias, dtype, residual)
    assert found.dtype == dtype
    # the interpreter cuts to bfloat16 instead of rounding
    tolerance = {'rtol': 2 ** -6, 'atol': 0.05} if dtype == torch.bfloat16 else {}
    assert torch.allclose(found, residual + plain.to(dtype), **tolerance)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('bits, group', [(4, 0), (4, 128), (4, 32), (8, 0), (8, 50)])
def test_weights_become_floats_that_are_rounded_once(dtype, bits, group):
    inputs = 300 if group in (0, 50) else 384
    weight = integers(bits, 70, inputs)
    scale = (torch.rand(70, inputs // group) if group else torch.rand(70)) + 0.1
    found = float_weight(pack_weight(weight, bits), scale, inputs, dtype)
    assert torch.equal(found, dequantize(weight, scale).to(dtype))


def test_a_weight_of_another_width_is_refused():
    with pytest.raises(ValueError, match='256 inputs meet weights'):
        int_linear(integers(8, 9, 256), torch.ones(9), pack_weight(integers(4, 4, 128), 4),
                   torch.ones(4))


def test_no_tokens_give_no_rows():
    packed = pack_weight(integers(4, 4, 128), 4)
    assert int_linear(integers(8, 0, 128), torch.ones(0), packed, torch.ones(4)).shape == (0, 4)
