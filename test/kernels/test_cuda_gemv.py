# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The kernels for decoding, in Triton's interpreter, against plain products."""
import re
import struct

import cuda_interpreter  # noqa: F401
import pytest
from sqap_vla_ros.kernels.base import dequantize, LinearSpec
from sqap_vla_ros.kernels.cuda import gemv
from sqap_vla_ros.kernels.cuda.gemv import skinny_linear
from sqap_vla_ros.kernels.cuda.pack import pack_weight
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.numerics.int4 import integer_range, quantize_activation
import torch

# rows, inputs, outputs: ragged in each, and wider than what a block reads at once
SHAPES = [(1, 4352, 5), (3, 1000, 13), (5, 37, 3), (8, 2304, 9)]


def integers(bits, *shape, seed=0):
    """Return random int8 of the whole range, their first row all lowest."""
    low, high = integer_range(bits)
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(low, high + 1, shape, dtype=torch.int8, generator=generator)
    values[0] = low
    return values


def floats(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize('weight_bits, act_bits', [(4, 4), (4, 8), (8, 8)])
@pytest.mark.parametrize('rows, inputs, outputs', SHAPES)
def test_integer_sums_are_exact(weight_bits, act_bits, rows, inputs, outputs):
    """All of these sums are float32 numbers."""
    q = integers(act_bits, rows, inputs)
    weight = integers(weight_bits, outputs, inputs, seed=1)
    found = skinny_linear(q, pack_weight(weight, weight_bits), torch.ones(outputs),
                          torch.ones(rows), out_dtype=torch.float32)
    assert torch.equal(found.double(), q.double() @ weight.double().t())


@pytest.mark.parametrize('act_bits, weight_bits', [(4, 4), (8, 4), (8, 8)])
def test_a_quantized_layer_is_the_reference_to_the_last_bit_but_one(act_bits, weight_bits):
    weight, scale, bias = integers(weight_bits, 19, 384), floats(19).abs(), floats(19, seed=1)
    x = floats(4, 384, seed=2)
    expected = ReferenceKernel(LinearSpec(384, 19, weight_bits, act_bits), weight, scale, bias)(x)
    q, row_scale = quantize_activation(x, act_bits)
    found = skinny_linear(q, pack_weight(weight, weight_bits), scale, row_scale[:, 0], bias,
                          out_dtype=torch.float32)
    torch.testing.assert_close(found, expected, rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize('rows, inputs, outputs', SHAPES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_float_rows_meet_the_dequantized_weights(rows, inputs, outputs, dtype):
    weight, scale = integers(4, outputs, inputs), floats(outputs).abs()
    x = floats(rows, inputs, dtype=dtype, seed=1)
    found = skinny_linear(x, pack_weight(weight, 4), scale)
    assert found.dtype == dtype
    check_floats(found, x, dequantize(weight, scale))


@pytest.mark.parametrize('group', [16, 48, 128, 192, 384])
def test_each_group_of_inputs_has_its_scale(group):
    inputs = 3 * 384 + 192 if group == 192 else 3 * 384
    weight, scale = integers(4, 6, inputs), floats(6, inputs // group).abs()
    x = floats(2, inputs, seed=1)
    found = skinny_linear(x, pack_weight(weight, 4), scale, group_size=group)
    check_floats(found, x, dequantize(weight, scale))


def check_floats(found, x, weight):
    """Check a product: float32 sums in any order, rounded once to the type of x."""
    expected = x.double() @ weight.double().t()
    size = x.double().abs() @ weight.double().abs().t()
    room = 1e-5 * size + torch.finfo(x.dtype).eps * expected.abs()
    assert ((found.double() - expected).abs() <= room).all()


def test_bias_and_residual_are_added_in_float32_and_rounded_to_the_asked_type():
    weight, scale = integers(4, 12, 256), floats(12).abs()
    x, bias = floats(3, 256, seed=1), floats(12, seed=2)
    residual = 100 * floats(3, 12, seed=3, dtype=torch.bfloat16)
    expected = x @ dequantize(weight, scale).t() + bias + residual.float()
    for dtype, precision in ((torch.float32, 1e-5), (torch.bfloat16, 2 ** -7)):
        found = skinny_linear(x, pack_weight(weight, 4), scale, None, bias, residual,
                              out_dtype=dtype)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, rtol=precision, atol=1e-3)


def test_a_view_of_a_joint_output_can_be_multiplied():
    joint = floats(2, 512)
    weight, scale = integers(4, 4, 256), floats(4).abs()
    check_floats(skinny_linear(joint[:, 256:], pack_weight(weight, 4), scale), joint[:, 256:],
                 dequantize(weight, scale))


@pytest.mark.parametrize('change, said', [
    ({'x': torch.zeros(9, 128)}, '1..8 rows'),
    ({'x': torch.zeros(1, 128, dtype=torch.int8)}, 'row_scale'),
    ({'row_scale': torch.ones(1)}, 'row_scale'),
    ({'weight': torch.zeros(4, 128, dtype=torch.int8)}, 'packed 4-bit'),
    ({'group_size': 24}, 'multiple of 16'), ({'x': torch.zeros(1, 192)}, 'not for 192 inputs')])
def test_arguments_that_do_not_belong_together_are_refused(change, said):
    arguments = {'x': torch.zeros(1, 128), 'weight': torch.zeros(4, 64, dtype=torch.uint8),
                 'scale': torch.ones(4)}
    with pytest.raises(ValueError, match=said):
        skinny_linear(**{**arguments, **change})


def permuted(word, constant, selector):
    """Return what PTX's prmt.b32 makes of two words."""
    source = struct.pack('<II', word, constant)
    return bytes(source[selector >> 4 * place & 7] for place in range(4))


def test_the_assembly_that_the_interpreter_cannot_run_opens_every_byte():
    text = gemv._OPENED.value
    masks = [int(mask, 16) for mask in re.findall(r'and.b32 half\d, \$8, (0x\w+);', text)]
    steps = re.findall(r'prmt.b32 \$(\d), half(\d), (0x\w+), (0x\w+);\s+'
                       r'add.f32 \$\d, \$\d, 0f(\w+);', text)
    assert [int(at) for at, *_ in steps] == list(range(8))
    for first in range(0, 256, 4):
        values = range(first, first + 4)
        word = int.from_bytes(bytes(values), 'little')
        found = [struct.unpack('<f', permuted(word & masks[int(half)], int(high, 16),
                                              int(selector, 16)))[0]
                 + struct.unpack('>f', bytes.fromhex(bias))[0]
                 for _, half, high, selector, bias in steps]
        assert found == [*((value & 15) - 8 for value in values),
                         *(16 * ((value >> 4) - 8) for value in values)]
