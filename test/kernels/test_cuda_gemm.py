# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Packed weights and their products with many tokens, in Triton's interpreter."""
import cuda_interpreter  # noqa: F401, I100, I202
from hypothesis import given, settings, strategies
import pytest
from sqap_vla_ros.kernels import extreme_inputs
from sqap_vla_ros.kernels.base import dequantize
from sqap_vla_ros.kernels.cuda import float_gemm, gemm, workspace
from sqap_vla_ros.kernels.cuda.float_gemm import float_linear
from sqap_vla_ros.kernels.cuda.gemm import int_linear
from sqap_vla_ros.kernels.cuda.pack import pack_weight, unpack_weight
import torch

SMALL = {'BLOCK_N': 32, 'BLOCK_M': 16, 'EXTRA_M': 0, 'BLOCK_K': 128, 'SPLIT': False,
         'num_warps': 4, 'num_stages': 3}
CONFIGS = {
    'one tile': SMALL, 'two tiles': {**SMALL, 'EXTRA_M': 8},
    'split': {**SMALL, 'SPLIT': True}, 'wide': {**SMALL, 'BLOCK_K': 256},
    'all': {**SMALL, 'EXTRA_M': 16, 'BLOCK_K': 256, 'SPLIT': True}}
SIZES = [(9, 40, 250), (33, 70, 896), (17, 300, 1300)]  # ragged tokens, channels, inputs


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
    assert torch.equal(unpack_weight(packed, inputs), weight)


def test_a_packed_byte_holds_inputs_that_stand_64_apart():
    weight = torch.zeros(1, 256, dtype=torch.int8)
    weight[0, 128 + 5], weight[0, 128 + 64 + 5] = -8, 7
    packed = pack_weight(weight, 4)[0]
    assert packed[64 + 5] == 0xF0 and packed[5] == 0x88


@pytest.mark.parametrize('config', CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_scaled_integer_products_equal_to_the_last_bit(config, bits, size):
    rows, outputs, inputs = size
    x, weight = integers(8, rows, inputs), integers(bits, outputs, inputs, seed=1)
    scale, row_scale = torch.rand(outputs) + 0.1, torch.rand(rows) + 0.1
    expected = (x.double() @ weight.double().t()).float() * scale * row_scale[:, None]
    packed = pack_weight(weight, bits)
    for _ in range(2):  # the second run finds the buffers as the first has left them
        found = int_linear(x, row_scale, packed, scale, None, torch.float32, config=config)
        assert torch.equal(found, expected)


@pytest.mark.parametrize('weight_bits, act_bits', [(4, 4), (4, 8), (8, 8)])
def test_sums_of_extreme_integers_are_exact(weight_bits, act_bits):
    weight = extreme_inputs(11008, weight_bits, 4).to(torch.int8)
    x = extreme_inputs(11008, act_bits, 8).to(torch.int8)
    ones = torch.ones(12)
    found = int_linear(x, ones, pack_weight(weight, weight_bits), ones[:8], None, torch.float32,
                       config=CONFIGS['split'])
    assert torch.equal(found, (x.double() @ weight.double().t()).float())


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_bias_is_added_before_rounding_and_the_residual_after(dtype):
    x, weight = integers(4, 20, 128), integers(4, 40, 128, seed=1)
    scale, row_scale, bias = torch.rand(40), torch.rand(20), torch.randn(40)
    residual = torch.randn(20, 80).to(dtype)[:, ::2][:, :40].contiguous()
    plain = (x.double() @ weight.double().t()).float() * scale * row_scale[:, None] + bias
    found = int_linear(x, row_scale, pack_weight(weight, 4), scale, bias, dtype, residual, SMALL)
    assert found.dtype == dtype
    # the interpreter cuts to bfloat16 instead of rounding
    tolerance = {'rtol': 2 ** -6, 'atol': 0.05} if dtype == torch.bfloat16 else {}
    assert torch.allclose(found, residual + plain.to(dtype), **tolerance)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('bits, group', [(4, 0), (4, 128), (4, 64), (4, 32), (8, 0), (8, 50)])
def test_float_tokens_meet_dequantized_weights(dtype, bits, group):
    inputs = 300 if group in (0, 50) else 384
    x, weight = torch.randn(20, inputs).to(dtype), integers(bits, 70, inputs)
    scale = (torch.rand(70, inputs // group) if group else torch.rand(70)) + 0.1
    bias, residual = torch.randn(70), torch.randn(20, 70).to(dtype)
    exact = dequantize(weight, scale).double()
    expected = x.double() @ exact.t() + bias + residual
    found = float_linear(x, pack_weight(weight, bits), scale, group, bias, residual)
    assert found.dtype == dtype
    error = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert (found - expected).norm() < error * expected.norm()


def run_ptx(text, word, dtype):
    """Run the few instructions that open half bytes; return registers $0 to $3 as floats."""
    registers = {'$4': word}

    def value(name):
        return registers[name] if name in registers else int(name, 0)

    def floats(name):
        return torch.tensor([value(name)], dtype=torch.int64).to(torch.int32).view(dtype).double()

    for line in text.split('}')[0].split('{')[1].split(';'):
        name, _, operands = line.strip().partition(' ')
        target, *given = operands.split(', ')
        if name == 'mov.b32':
            registers[target] = value(given[0])
        elif name == 'and.b32':
            registers[target] = value(given[0]) & value(given[1])
        elif name == 'shr.u32':
            registers[target] = value(given[0]) >> value(given[1])
        elif name == 'prmt.b32':
            both = (value(given[0]) | value(given[1]) << 32).to_bytes(8, 'little')
            picked = bytes(both[value(given[2]) >> 4 * place & 15] for place in range(4))
            registers[target] = int.from_bytes(picked, 'little')
        elif name.startswith('fma.rn'):
            total = floats(given[0]) * floats(given[1]) + floats(given[2])
            registers[target] = total.to(dtype).view(torch.int32).item() & 0xFFFFFFFF
        else:
            assert name in ('.reg', ''), line
    return torch.cat([floats(f'${place}') for place in range(4)])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_the_ptx_that_the_interpreter_leaves_out_opens_half_bytes_exactly(dtype):
    ptx = float_gemm._ASM[dtype]
    for first in range(0, 256, 4):
        packed = torch.arange(first, first + 4)
        found = run_ptx(ptx, int.from_bytes(bytes(packed.tolist()), 'little'), dtype)
        assert torch.equal(found, torch.cat([packed % 16, packed // 16]).double() - 8)


def test_a_weight_of_another_width_is_refused():
    with pytest.raises(ValueError, match='256 inputs meet weights'):
        int_linear(integers(8, 9, 256), torch.ones(9), pack_weight(integers(4, 4, 128), 4),
                   torch.ones(4))
    with pytest.raises(ValueError, match='256 inputs meet weights'):
        float_linear(torch.ones(9, 256), pack_weight(integers(4, 4, 128), 4), torch.ones(4))


def test_no_tokens_give_no_rows():
    packed = pack_weight(integers(4, 4, 128), 4)
    assert int_linear(integers(8, 0, 128), torch.ones(0), packed, torch.ones(4)).shape == (0, 4)
    assert float_linear(torch.ones(0, 128), packed, torch.ones(4)).shape == (0, 4)


@pytest.mark.parametrize('rows', [9, 64, 178, 280, 1500])
@pytest.mark.parametrize('shared_kib', [99, 163, 227])
@pytest.mark.parametrize('packed', [True, False])
def test_there_are_tiles_for_all_cards_and_lengths_that_waste_little(rows, shared_kib, packed):
    for tile in gemm.token_tiles(rows):
        assert -(-rows // sum(tile)) * sum(tile) < 1.15 * rows + 16
        configs = gemm.fitting(tile, packed, shared_kib * 1024)
        assert configs and all(config['num_stages'] >= 2 for config in configs)
    x, weight = integers(8, rows, 4096), pack_weight(integers(4, 40, 4096), 4)
    assert 2 <= len(gemm.candidates(x, weight)) <= 12
    assert len(float_gemm.candidates(torch.ones(rows, 8).bfloat16())) >= 2


@pytest.mark.parametrize('packed', [True, False])
def test_all_lengths_that_share_a_choice_have_the_same_candidates(packed):
    weight = pack_weight(integers(4, 40, 256), 4) if packed else integers(8, 40, 256)
    found = {}
    for rows in range(9, 400):
        configs = gemm.candidates(torch.zeros(rows, 256, dtype=torch.int8), weight)
        assert found.setdefault(gemm.bucket(rows), configs) == configs


def test_each_stream_adds_up_in_a_buffer_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    with pytest.raises(RuntimeError, match='run it once before'):
        workspace._zeros('cpu', 7, 16)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
    assert workspace._zeros('cpu', 7, 16) is workspace._zeros('cpu', 7, 16)
    assert workspace._zeros('cpu', 7, 16) is not workspace._zeros('cpu', 8, 16)


@pytest.mark.parametrize('tiles, steps, processors, whole, parts', [
    (32, 32, 132, 0, 4),     # 4096 channels of 128 on an H100
    (172, 32, 132, 132, 3),  # 22016 channels: a whole wave, the rest in three parts each
    (96, 32, 132, 96, 1),    # nothing to gain
    (264, 32, 132, 264, 1), (3, 1, 132, 3, 1)])
def test_what_is_left_over_of_a_wave_is_shared(tiles, steps, processors, whole, parts):
    assert gemm.shares(tiles, steps, processors) == (whole, parts)
