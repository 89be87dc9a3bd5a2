# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Weights that go to their device unit by unit, packed on the way."""
import dataclasses
import json
import shutil

import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import checkpoint, open_checkpoint
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state, quantize_model, QuantLinear
from tiny_policies import HEADS, observation
import torch


def in_memory(source, precision='fp', **options):
    """Return the network made of all weights at once."""
    model = VLA(source.config.model).eval()
    model.load_state_dict({name: source.tensors.read(name) for name in source.tensors.shapes})
    if precision != 'fp' or options:
        quantize_model(model, precision, rotate=precision != 'fp', **options)
    return model


@pytest.mark.parametrize('precision', ['fp', 'w4a4', 'w4a16'])
@pytest.mark.parametrize('head', HEADS)
def test_weights_that_are_read_unit_by_unit_are_the_same(tiny, head, precision):
    path = {'openvla': golden_data.openvla, 'cogact': golden_data.cogact,
            'chunk': lambda: tiny}[head]()
    source = open_checkpoint(path).with_key('test' if head == 'chunk' else golden_data.KEY)
    expected = in_memory(source, precision).state_dict()
    found = load_network(source, precision, prepare=False).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    prepared = load_network(source, precision)
    layers = [module for module in prepared.modules() if isinstance(module, QuantLinear)]
    assert bool(layers) == (precision != 'fp')
    assert all(layer.weight is None and layer.kernel is not None for layer in layers)
    assert not any(type(module) is torch.nn.Linear for module in prepared.modules())


def quantized(load, tiny, path, precision, change=lambda weights, record: None, **options):
    """Save the tiny policy quantized; change(weights, record) damages it first."""
    whole = load('chunk', prepare=False)
    record = quantize_model(whole.model, precision, **options)
    weights = packed_state(whole.model)
    change(weights, record)
    checkpoint.save(path, dataclasses.replace(whole.config, quantization=record), weights,
                    json.loads((tiny / 'norm_stats.json').read_text()),
                    checkpoint.read_tokenizer(tiny))
    return path


def test_a_checkpoint_with_a_quantized_vision_encoder_is_read_unit_by_unit(load, tiny, tmp_path):
    path = quantized(load, tiny, tmp_path / 'int8', 'w4a4', overrides={'vision': 'w8a8'})
    plain, half = (load_policy(path, keep=30, dtype=dtype)
                   for dtype in (None, 'float16'))
    layers = [module for module in half.model.vision.modules() if isinstance(module, QuantLinear)]
    assert layers and all(layer.spec.weight_bits == 8 for layer in layers)
    assert all(layer.scale.dtype == torch.float32 for layer in layers)
    assert half.model.vision.pos_embed.dtype == torch.float16
    first, second = (policy.infer(observation('chunk')).actions for policy in (plain, half))
    assert np.median(np.abs(first - second)) < 0.02


@pytest.mark.parametrize('precision', ['fp', 'w4a4'])
def test_the_vision_encoder_can_be_quantized_when_it_is_loaded(
        load, tiny, precision, monkeypatch):
    monkeypatch.setenv('SQAP_VLA_CPU_BLOCKS', 'plain')  # native ones have a GELU within 3e-5
    expected = load('chunk', prepare=False)
    quantize_model(expected.model, precision, rotate=precision != 'fp',
                   overrides={'vision': 'w8a8'})
    whole = load('chunk', precision=precision, int8=['vision'])
    layers = [module for module in whole.model.vision.modules() if isinstance(module, QuantLinear)]
    assert layers and all(layer.spec.weight_bits == 8 for layer in layers)
    assert whole.precision == precision
    first, second = (policy.infer(observation('chunk')).actions for policy in (expected, whole))
    np.testing.assert_allclose(first, second, atol=1e-4)
    source = open_checkpoint(tiny).with_key(None)
    found = load_network(source, precision, int8=['vision'], prepare=False).state_dict()
    wanted = in_memory(source, precision, overrides={'vision': 'w8a8'}).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_weights_of_4_bits_serve_other_activation_bits(load, tiny, tmp_path):
    path = quantized(load, tiny, tmp_path / 'w4a4', 'w4a4')
    shown, answers = observation('chunk'), {}
    for precision in ('w4a4', 'w4a4t8', 'w4a8'):
        policy = load_policy(path, precision=precision, keep=30)
        assert policy.precision == precision
        answers[precision] = policy.infer(shown).actions
        expected = load('chunk', precision=precision, keep=30).infer(shown).actions
        assert np.array_equal(answers[precision], expected)
    assert not np.array_equal(answers['w4a4'], answers['w4a8'])
    assert np.array_equal(load_policy(path, keep=30).infer(shown).actions, answers['w4a4'])


@pytest.mark.parametrize(('stored', 'asked', 'message'), [
    ('w4a4', 'w8a8', 'holds w4a4 weights, w8a8 .*take w4a8 or w4a4 or w4a4t8'),
    ('w4a8', 'w4a16', 'holds w4a8 weights'),
    ('w8a8', 'w4a8', 'holds w8a8 .*original checkpoint$'),
    ('w4a16', 'w4a8', 'holds w4a16 .*original checkpoint$')])
def test_other_weights_than_the_converted_ones_are_refused(
        load, tiny, tmp_path, stored, asked, message):
    path = quantized(load, tiny, tmp_path / stored, stored)
    with pytest.raises(ConfigError, match=message):
        load_policy(path, precision=asked)


def test_one_activation_scale_for_all_tokens_has_no_bits_by_kind(load, tiny, tmp_path):
    path = quantized(load, tiny, tmp_path / 'w4a4', 'w4a4', per_token=False)
    with pytest.raises(ConfigError, match='converted with --per-tensor, .*w4a4t8 has scales by '
                       'kind.* again without it, or take w4a8 or w4a4$'):
        load_policy(path, precision='w4a4t8')
    assert load_policy(path, precision='w4a8').precision == 'w4a8'


def test_parts_that_cannot_be_quantized_when_they_are_loaded_are_named(load, tiny, tmp_path):
    with pytest.raises(ConfigError, match='nose.*vision'):
        load('chunk', int8=['nose'])
    path = quantized(load, tiny, tmp_path / 'w4a4', 'w4a4')
    with pytest.raises(ConfigError, match='converted already.*--int8 vision'):
        load_policy(path, int8=['vision'])


UP = 'llm.layers.0.mlp.up_proj.weight'


@pytest.mark.parametrize('change, message', [
    (lambda weights, record: weights.update({UP: weights[UP].view(torch.uint8)}),
     'up_proj.weight is torch.uint8, expected torch.int8'),
    (lambda weights, record: weights.update({UP: weights[UP].float()}), 'is torch.float32'),
    (lambda weights, record: weights.pop('llm.norm.weight'), r"missing \['llm.norm.weight'\]"),
    (lambda weights, record: record.update(precision='w4a4'), 'other shapes'),
    (lambda weights, record: record.pop('rotation'), "lacks .*'rotation'")])
@pytest.mark.parametrize('dtype', [None, 'bfloat16'])
def test_weights_that_do_not_fit_their_record_are_refused(
        load, tiny, tmp_path, change, message, dtype):
    path = quantized(load, tiny, tmp_path / 'odd', 'w8a8', change)
    with pytest.raises((CheckpointError, ConfigError), match=message):
        load_policy(path, dtype=dtype)


def test_a_value_beyond_the_range_of_float16_is_named_and_not_made_infinite(load, tiny, tmp_path):
    path = shutil.copytree(tiny, tmp_path / 'large')
    weights = load_file(path / 'model.safetensors')
    weights['llm.norm.weight'][3] = 1e6
    save_file(weights, path / 'model.safetensors')
    assert load_policy(path).device.type == 'cpu'
    with pytest.raises(ConfigError, match='llm.norm.weight has values beyond .*float16.*bfloat16'):
        load_policy(path, dtype='float16')


@pytest.mark.parametrize('precision', ['fp', 'w8a8'])
@pytest.mark.parametrize('head', HEADS)
def test_another_floating_point_type_gives_nearly_the_same_actions(load, head, precision):
    """Float16 has the mantissa to compare by, and every type goes through the same casts."""
    plain, half = (load(head, precision=precision, dtype=dtype) for dtype in (None, 'float16'))
    assert half.model.llm.embed_tokens.weight.dtype == torch.float16
    first, second = (policy.infer(observation(head)).actions for policy in (plain, half))
    low, high = plain.statistics['low'], plain.statistics['high']
    difference = np.abs(first - second) / np.maximum(high - low, 1e-3)
    assert np.median(difference) < 0.02
