# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Weights that go to their device unit by unit, packed on the way."""
import dataclasses
import json

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import checkpoint, open_checkpoint
from sqap_vla_ros.loading.network import load_network, stream_network
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state, quantize_model, QuantLinear
from tiny_policies import HEADS, observation
import torch

CPU = torch.device('cpu')


@pytest.mark.parametrize('precision', ['fp', 'w4a4', 'w4a16'])
@pytest.mark.parametrize('head', HEADS)
@torch.inference_mode()
def test_weights_that_are_read_unit_by_unit_are_the_same(tiny, head, precision):
    path = {'openvla': golden_data.openvla, 'cogact': golden_data.cogact,
            'chunk': lambda: tiny}[head]()
    tokenizer = golden_data.openvla() if head == 'cogact' else None

    def source():
        return open_checkpoint(path, tokenizer).with_key(
            'test' if head == 'chunk' else golden_data.KEY)
    expected = load_network(source(), precision).state_dict()
    streamed = stream_network(source(), precision, True, CPU, torch.float32, prepare=False)
    found = streamed.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    prepared = stream_network(source(), precision, True, CPU, torch.float32)
    layers = [module for module in prepared.modules() if isinstance(module, QuantLinear)]
    assert bool(layers) == (precision != 'fp')
    assert all(layer.weight is None and layer.kernel is not None for layer in layers)


def test_a_checkpoint_with_a_quantized_vision_encoder_is_read_unit_by_unit(load, tiny, tmp_path):
    whole = load('chunk', prepare=False)
    record = quantize_model(whole.model, 'w4a4', overrides={'vision': 'w8a8'})
    stats = json.loads((tiny / 'norm_stats.json').read_text())
    checkpoint.save(tmp_path / 'int8', dataclasses.replace(whole.config, quantization=record),
                    packed_state(whole.model), stats, checkpoint.read_tokenizer(tiny))
    plain, half = (load_policy(tmp_path / 'int8', keep=30, dtype=dtype)
                   for dtype in (None, 'float16'))
    layers = [module for module in half.model.vision.modules() if isinstance(module, QuantLinear)]
    assert layers and all(layer.spec.weight_bits == 8 for layer in layers)
    assert all(layer.scale.dtype == torch.float32 for layer in layers)
    assert half.model.vision.pos_embed.dtype == torch.float16
    first, second = (policy.infer(observation('chunk')).actions for policy in (plain, half))
    assert np.median(np.abs(first - second)) < 0.02


@pytest.mark.parametrize('precision', ['fp', 'w4a4'])
def test_the_vision_encoder_can_be_quantized_when_it_is_loaded(load, tiny, precision):
    expected = load('chunk', prepare=False)
    quantize_model(expected.model, precision, rotate=precision != 'fp',
                   overrides={'vision': 'w8a8'})
    whole = load('chunk', precision=precision, int8=['vision'])
    layers = [module for module in whole.model.vision.modules() if isinstance(module, QuantLinear)]
    assert layers and all(layer.spec.weight_bits == 8 for layer in layers)
    assert whole.precision == precision
    first, second = (policy.infer(observation('chunk')).actions for policy in (expected, whole))
    np.testing.assert_allclose(first, second, atol=1e-4)
    unit_by_unit = stream_network(
        open_checkpoint(tiny).with_key(None), precision, True, CPU, torch.float32, False,
        int8=['vision']).state_dict()
    wanted = load('chunk', precision=precision, int8=['vision'], prepare=False).model.state_dict()
    assert unit_by_unit.keys() == wanted.keys()
    assert all(torch.equal(unit_by_unit[name], wanted[name]) for name in wanted)


def test_parts_that_cannot_be_quantized_when_they_are_loaded_are_named(load, tiny, tmp_path):
    with pytest.raises(ConfigError, match='nose.*vision'):
        load('chunk', int8=['nose'])
    whole = load('chunk', prepare=False)
    record = quantize_model(whole.model, 'w4a4')
    checkpoint.save(tmp_path / 'w4a4', dataclasses.replace(whole.config, quantization=record),
                    packed_state(whole.model), json.loads((tiny / 'norm_stats.json').read_text()),
                    checkpoint.read_tokenizer(tiny))
    with pytest.raises(ConfigError, match='converted already.*--int8 vision'):
        load_policy(tmp_path / 'w4a4', int8=['vision'])


def test_weights_of_another_kind_than_the_record_says_are_refused(load, tiny, tmp_path):
    whole = load('chunk', prepare=False)
    record = quantize_model(whole.model, 'w8a8')
    weights = packed_state(whole.model)
    weights['llm.layers.0.mlp.up_proj.weight'] = weights[
        'llm.layers.0.mlp.up_proj.weight'].view(torch.uint8)
    stats = json.loads((tiny / 'norm_stats.json').read_text())
    checkpoint.save(tmp_path / 'odd', dataclasses.replace(whole.config, quantization=record),
                    weights, stats, checkpoint.read_tokenizer(tiny))
    with pytest.raises(CheckpointError, match='up_proj.weight is torch.uint8'):
        load_policy(tmp_path / 'odd', dtype='bfloat16')


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
