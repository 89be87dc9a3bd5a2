# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Packing, weight scales and activation scales."""
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.int4 import (
    activation_scale, integer_range, pack_int4, quantize_activation, quantize_weight, spread_scale,
    unpack_int4, weight_scale)
import torch

int4_arrays = hnp.arrays(
    np.int8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=8).map(
        lambda shape: (*shape[:-1], 2 * shape[-1])), elements=st.integers(-8, 7))


@given(int4_arrays)
def test_unpacking_undoes_packing(values):
    packed = pack_int4(torch.from_numpy(values))
    assert packed.dtype == torch.uint8
    assert packed.numel() * 2 == values.size
    assert np.array_equal(unpack_int4(packed).numpy(), values)


def test_the_even_element_is_in_the_low_half():
    packed = pack_int4(torch.tensor([1, -8, 7, -1], dtype=torch.int8))
    assert packed.tolist() == [0x81, 0xF7]


@pytest.mark.parametrize(('values', 'message'), [
    (torch.zeros(3, 5, dtype=torch.int8), 'even'), (torch.zeros((), dtype=torch.int8), 'even'),
    (torch.tensor([0, 8], dtype=torch.int8), '-8..7'), (torch.zeros(4), 'int8')])
def test_what_does_not_fit_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        pack_int4(values)


def test_searched_clip_beats_the_plain_maximum():
    weight = torch.randn(16, 512)
    integers, scale = quantize_weight(weight, 4)
    plain = weight.abs().amax(1) / 7
    rounded = (weight / plain[:, None]).round() * plain[:, None]
    error = (integers * scale[:, None] - weight).square().sum(1)
    assert (error <= (rounded - weight).square().sum(1)).all()
    assert error.sum() < 0.7 * (rounded - weight).square().sum()
    assert integers.min() >= -8 and integers.max() <= 7


matrices = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.sampled_from([16, 32, 64])),
                      elements=st.floats(-1e3, 1e3, width=32))


@given(matrices, st.sampled_from([4, 8]), st.sampled_from([0, 16]))
def test_quantized_weights_are_packed_and_come_back_within_their_steps(weight, bits, group):
    weight = torch.from_numpy(weight)
    integers, scale = quantize_weight(weight, bits, group)
    assert scale.shape == ((len(weight), weight.shape[1] // 16) if group else (len(weight),))
    if bits == 4:
        assert torch.equal(unpack_int4(pack_int4(integers)), integers)
    steps = spread_scale(scale, weight.shape[1])
    error = (integers * steps - weight).abs()
    low, high = integer_range(bits)
    inside = (weight >= low * steps) & (weight <= high * steps)
    assert (error[inside] <= 0.501 * steps.expand_as(weight)[inside] + 1e-6).all()


def test_a_group_scale_is_the_scale_of_its_columns_alone():
    weight = torch.randn(6, 64)
    scale = weight_scale(weight, 4, 16)
    for group in range(4):
        alone = weight_scale(weight[:, 16 * group:16 * group + 16], 4)
        assert torch.equal(scale[:, group], alone)


@pytest.mark.parametrize('bits', [4, 8])
def test_weights_that_are_integers_come_back_exactly(bits):
    high = 2 ** (bits - 1) - 1
    weight = torch.randint(-high, high + 1, (8, 64)).float()
    weight[:, 0] = high
    integers, scale = quantize_weight(weight * 0.5, bits)
    assert torch.allclose(integers * scale[:, None], weight * 0.5, rtol=1e-5)


def test_zero_rows_stay_zero_and_non_finite_weights_are_refused():
    integers, scale = quantize_weight(torch.zeros(2, 4), 4)
    assert not integers.any() and torch.isfinite(scale).all()
    with pytest.raises(ConfigError, match='non-finite'):
        quantize_weight(torch.tensor([[1.0, float('nan')]]), 4)


floats = st.floats(-1e6, 1e6, width=32)


@given(hnp.arrays(np.float32, (3, 8), elements=floats), st.sampled_from([4, 8]), st.booleans())
def test_activations_round_to_at_most_half_a_step_without_clipping(x, bits, per_token):
    x = torch.from_numpy(x)
    integers, scale = quantize_activation(x, bits, per_token)
    high = 2 ** (bits - 1) - 1
    assert scale.shape == ((3, 1) if per_token else (1, 1))
    assert integers.min() >= -high and integers.max() <= high
    assert ((integers * scale - x).abs() <= 0.5001 * scale).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_narrow_floats_do_not_round_out_of_range(dtype):
    x = torch.randn(512, 64).to(dtype)
    assert quantize_activation(x, 8)[0].abs().max() == 127
    assert quantize_activation(x, 4)[0].abs().max() == 7


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_non_finite_activations_give_a_non_finite_scale(bad):
    x = torch.ones(2, 4)
    x[1, 2] = bad
    scale = activation_scale(x, 4)
    assert torch.isfinite(scale[0]) and not torch.isfinite(scale[1])
