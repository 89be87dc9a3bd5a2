# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Quantizing a whole model, saving it packed and bringing it back."""
import copy

import pytest
from small_models import make_input, make_vla, relative
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.quant import (
    packed_state, prepare_kernels, quantize_model, quantized_shell, QuantLinear, storage_text,
    summary)
from sqap_vla_ros.quant.qk import QKQuantizer
import torch


def run(model, inputs):
    with torch.inference_mode():
        return model(*inputs)[0]


def test_errors_fall_with_the_bits():
    plain = make_vla(width=64)
    inputs = make_input(plain)
    expected, errors = run(plain, inputs), []
    for precision in ('fp', 'w8a8', 'w4a8', 'w4a4t8', 'w4a4'):
        model = copy.deepcopy(plain)
        quantize_model(model, precision)
        errors.append(relative(run(model, inputs), expected))
    assert errors == sorted(errors)
    assert errors[0] < 1e-4 and errors[1] < 0.05


def add_outliers(model, factor=20.0, channels=(7, 40)):
    """Make some channels of every layer's input large, without a change of the function."""
    channels = list(channels)
    for layer in model.llm.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for norm, readers in (
                (layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
                (layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj))):
            norm.weight.data[channels] *= factor
            for reader in readers:
                reader.weight.data[:, channels] /= factor
        mlp.up_proj.weight.data[channels] *= factor
        mlp.down_proj.weight.data[:, channels] /= factor


def test_rotation_helps_a_model_with_outlier_channels():
    plain = make_vla(width=64)
    inputs = make_input(plain)
    expected, errors = run(plain, inputs), {}
    add_outliers(plain)
    assert relative(run(plain, inputs), expected) < 1e-4
    for rotate in (True, False):
        model = copy.deepcopy(plain)
        quantize_model(model, 'w4a4', rotate=rotate)
        errors[rotate] = relative(run(model, inputs), expected)
    assert errors[True] < 0.6 * errors[False]


def test_only_the_backbone_is_quantized_and_overrides_win():
    model = make_vla()
    record = quantize_model(model, 'w4a4', overrides={
        '*.1.mlp.down_proj': 'fp', '*.down_proj': 'w8a8', 'vision.*.fc1': 'w8a8'})
    kinds = {name: module.precision for name, module in model.named_modules()
             if isinstance(module, QuantLinear)}
    assert kinds['llm.layers.0.mlp.down_proj'] == 'w8a8'
    assert 'llm.layers.1.mlp.down_proj' not in kinds
    assert kinds['llm.layers.1.mlp.up_proj'] == 'w4a4'
    assert kinds['vision.blocks.0.mlp.fc1'] == 'w8a8'
    assert not any(name.startswith(('head', 'projector')) for name in kinds)
    assert len(kinds) == 3 * 7 - 1 + 1
    assert record['overrides']['*.down_proj'] == 'w8a8'


def test_online_hadamards_stand_where_the_record_says():
    model = make_vla(heads=4, width=64)
    quantize_model(model, 'w4a4')
    layer = model.llm.layers[0]
    assert layer.mlp.down_proj.spec.hadamard_block == 32  # of 96
    assert layer.self_attn.o_proj.spec.hadamard_block == 4
    assert layer.self_attn.o_proj.spec.hadamard_stride == 16
    assert layer.self_attn.q_proj.spec.hadamard_block == 1
    plain = make_vla()
    quantize_model(plain, 'w4a4', rotate=False)
    assert all(module.spec.hadamard_block == 1 for module in plain.modules()
               if isinstance(module, QuantLinear))


@pytest.mark.parametrize('precision', ['w4a4', 'w8a8', 'w4a16'])
def test_packed_weights_come_back_as_the_same_function(precision):
    model = make_vla()
    record = quantize_model(model, precision, overrides={'*.0.mlp.up_proj': 'w8a8'}, qk_bits=8)
    weights = packed_state(model)
    again = VLA(model.config).eval().requires_grad_(False)
    quantized_shell(again, record)
    again.load_state_dict(weights)
    inputs = make_input(model)
    prepare_kernels(model, backend='reference')
    prepare_kernels(again, backend='reference')
    assert torch.equal(run(again, inputs), run(model, inputs))


def test_packed_weights_take_four_bits_and_summary_says_so():
    model = make_vla()
    quantize_model(model, 'w4a4')
    counts = summary(model)
    stored = packed_state(model)
    weights = [tensor for name, tensor in stored.items()
               if name.startswith('llm.layers') and name.endswith('proj.weight')]
    assert sum(tensor.numel() for tensor in weights) * 2 == counts['weights']
    assert counts['layers'] == 21 and counts['bits_in_memory'] is None
    assert 4.0 < counts['bits_on_disk'] < 4.6  # the scales of a very narrow model included
    run(model, make_input(model))
    assert sum(summary(model)['backends'].values()) == 21
    assert summary(model)['bits_in_memory'] in (4, 8, 32)


def test_released_models_still_run_and_refuse_to_be_saved():
    model = make_vla()
    quantize_model(model, 'w4a4')
    expected = run(model, make_input(model))
    for layer in model.modules():
        if isinstance(layer, QuantLinear):
            layer.prepare(rows=32, release=True)
    assert relative(run(model, make_input(model)), expected) < 1e-3
    with pytest.raises(ConfigError, match='released'):
        packed_state(model)


@pytest.mark.parametrize(('bits', 'limit'), [(8, 0.02), (4, 0.2)])
def test_qk_quantizer_keeps_attention_scores(bits, limit):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 4, 10, 32, generator=generator).unbind(0)
    q[..., 3] *= 20
    k[..., 3] *= 20
    exact = q @ k.transpose(2, 3)
    errors = []
    for rotate in (True, False):
        quantizer = QKQuantizer(bits, rotate)
        errors.append(relative(quantizer(q) @ quantizer(k).transpose(2, 3), exact))
    assert errors[0] < limit and 1.2 * errors[0] < errors[1]


def test_qk_bits_change_the_result_a_little_and_16_does_not():
    plain = make_vla()
    inputs = make_input(plain)
    expected, errors = run(plain, inputs), []
    for bits in (16, 8, 4):
        model = copy.deepcopy(plain)
        quantize_model(model, 'fp', qk_bits=bits)
        errors.append(relative(run(model, inputs), expected))
    assert errors[0] < 1e-4 < errors[1] < errors[2]


@pytest.mark.parametrize(('options', 'message'), [
    ({'precision': 'w3'}, 'unknown'), ({'precision': 'w4a4', 'qk_bits': 2}, 'qk_bits'),
    ({'precision': 'w4a4', 'overrides': {'decoder': 'fp'}}, 'fits none'),
    ({'precision': 'w4a4', 'overrides': {'down_proj': 'int8'}}, 'unknown')])
def test_unknown_options_are_refused_before_anything_changes(options, message):
    model = make_vla()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError, match=message):
        quantize_model(model, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('part', ['vision', 'projector', 'head', 'state_embed'])
@torch.inference_mode()
def test_other_parts_can_be_8_bits_and_stay_accurate(part):
    plain = make_vla(width=64)
    model, inputs = copy.deepcopy(plain), make_input(plain)
    quantize_model(model, 'fp', overrides={part: 'w8a8'})
    kinds = {name for name, module in model.named_modules() if isinstance(module, QuantLinear)}
    linears = {name for name, module in plain.named_modules()
               if isinstance(module, torch.nn.Linear) and name.split('.')[0] == part}
    assert kinds == linears != set()
    assert 1e-6 < relative(run(model, inputs), run(plain, inputs)) < 0.03


@pytest.mark.parametrize(('heads', 'kv_heads', 'width'), [(4, 2, 64), (3, 1, 72), (8, 2, 64)])
@pytest.mark.parametrize('overrides', [{}, {'layers.1': 'w8a8', 'o_proj': 'w4a16'}])
def test_rotated_models_with_every_override_in_place_compute_the_plain_function(
        heads, kv_heads, width, overrides):
    """With the rounding taken out, the online Hadamards and rotations cancel."""
    plain = make_vla(heads, kv_heads, width)
    model, inputs = copy.deepcopy(plain), make_input(plain)
    quantize_model(model, 'w4a4', overrides=overrides)
    exact = copy.deepcopy(plain)
    quantize_model(exact, 'fp')
    for name, module in list(model.named_modules()):
        if isinstance(module, QuantLinear):
            parent, _, attribute = name.rpartition('.')
            unrounded = exact.get_submodule(name)
            assert relative(module.dequantized(), unrounded.weight) < 0.2
            setattr(model.get_submodule(parent), attribute, unrounded)
    assert relative(run(model, inputs), run(plain, inputs)) < 1e-4


def test_quantizing_twice_is_refused():
    model = make_vla()
    quantize_model(model, 'w4a4')
    with pytest.raises(ConfigError, match='already'):
        quantize_model(model, 'w8a8')


def test_floats_can_be_stored_in_16_bits_and_scales_stay_exact():
    model = make_vla()
    quantize_model(model, 'w4a4', overrides={'projector': 'w8a8'})
    stored = packed_state(model, torch.bfloat16)
    assert stored['llm.norm.weight'].dtype == torch.bfloat16
    assert stored['llm.layers.0.mlp.up_proj.scale'].dtype == torch.float32
    assert stored['projector.0.bias'].dtype == torch.float32
    assert stored['llm.layers.0.mlp.up_proj.weight'].dtype == torch.uint8


def test_a_person_is_told_the_bits_on_disk_and_in_memory():
    model = make_vla()
    assert storage_text(summary(model)) == 'nothing is quantized'
    quantize_model(model, 'w4a4', overrides={'down_proj': 'w8a8'})
    assert 'kernels not chosen yet' in storage_text(summary(model))
    prepare_kernels(model, backend='reference')
    text = storage_text(summary(model))
    assert '21 linear layers, w4a4' in text and 'w8a8' in text
    assert 'bits a weight on disk' in text and '8 in memory (backend reference)' in text


def test_a_shell_without_weights_tells_what_the_loaded_model_will_hold():
    model = make_vla()
    record = quantize_model(model, 'w4a4', overrides={'down_proj': 'w8a8'})
    with torch.device('meta'):
        shell = VLA(model.config)
    quantized_shell(shell, record)
    prepare_kernels(model, rows=256)
    expected, found = summary(model), summary(shell, on_cpu=True)
    assert found['packed_bytes'] == expected['packed_bytes']
    assert found['bits_in_memory'] is not None
    assert sum(found['backends'].values()) == 21
