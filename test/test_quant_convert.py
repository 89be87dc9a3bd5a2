# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Quantizing a whole model, saving it packed and bringing it back."""
import copy

import pytest
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.quant import (
    packed_state, prepare_kernels, quantize_model, QuantLinear, restore_quantized, summary)
from sqap_vla_ros.quant.convert import QKQuantizer
from test_quant_rotate import make_input, make_vla, relative
import torch


def run(model, inputs):
    with torch.inference_mode():
        return model(*inputs)[0]


def test_errors_fall_with_the_bits():
    plain = make_vla(width=64)
    inputs = make_input(plain)
    expected, errors = run(plain, inputs), []
    for precision in ('fp', 'w8a8', 'w4a8', 'w4a4'):
        model = copy.deepcopy(plain)
        quantize_model(model, precision)
        errors.append(relative(run(model, inputs), expected))
    assert errors == sorted(errors)
    assert errors[0] < 1e-4 and errors[1] < 0.05


def test_rotation_helps_a_model_with_outlier_channels():
    plain = make_vla(width=64)
    plain.projector[-1].bias.data[[7, 40]] += 20.0
    plain.llm.embed_tokens.weight.data[:, [7, 40]] += 20.0
    inputs, errors = make_input(plain), {}
    for rotate in (True, False):
        model = copy.deepcopy(plain)
        quantize_model(model, 'w4a4', rotate=rotate)
        errors[rotate] = relative(run(model, inputs), run(plain, inputs))
    assert errors[True] < 0.7 * errors[False]


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


@pytest.mark.parametrize(('precision', 'meta'), [
    ('w4a4', False), ('w8a8', False), ('w4a16', False), ('w4a4', True)])
def test_packed_weights_come_back_as_the_same_function(precision, meta):
    model = make_vla()
    record = quantize_model(model, precision, overrides={'*.0.mlp.up_proj': 'w8a8'}, qk_bits=8)
    weights = packed_state(model)
    with torch.device('meta' if meta else 'cpu'):
        again = VLA(model.config).eval()
    restore_quantized(again, record, weights)
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
    assert summary(model)['bits_in_memory'] in (8, 32)


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
    q, k = torch.randn(2, 1, 4, 10, 32).unbind(0)
    q[..., 3] *= 20
    k[..., 3] *= 20
    exact = q @ k.transpose(2, 3)
    errors = []
    for rotate in (True, False):
        quantizer = QKQuantizer(bits, rotate)
        errors.append(relative(quantizer(q) @ quantizer(k).transpose(2, 3), exact))
    assert errors[0] < limit


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
    ({'precision': 'w4a4', 'overrides': {'decoder.*': 'fp'}}, 'fits none'),
    ({'precision': 'w4a4', 'overrides': {'*.down_proj': 'int8'}}, 'unknown')])
def test_unknown_options_are_refused_before_anything_changes(options, message):
    model = make_vla()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError, match=message):
        quantize_model(model, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_quantizing_twice_is_refused():
    model = make_vla()
    quantize_model(model, 'w4a4')
    with pytest.raises(ConfigError, match='already'):
        quantize_model(model, 'w8a8')


def test_weights_of_another_precision_are_refused():
    model, other = make_vla(), make_vla()
    record = quantize_model(model, 'w4a4')
    quantize_model(other, 'w8a8')
    with pytest.raises(CheckpointError, match='convert again'):
        restore_quantized(make_vla(), record, packed_state(other))
    weights = packed_state(model)
    del weights['llm.norm.weight']
    with pytest.raises(CheckpointError, match='llm.norm.weight'):
        restore_quantized(make_vla(), record, weights)
    with pytest.raises(ConfigError, match='lacks'):
        restore_quantized(make_vla(), {'precision': 'w4a4'}, weights)
