# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Blocks in one native call in full precision: their weights lie in memory once."""
import copy
import gc
import logging
import weakref

from kernel_layers import needs_level
import pytest
from small_models import answer, make_model
from sqap_vla_ros.kernels.float_layers import PlainLinear
from sqap_vla_ros.kernels.native_float import NativeFloat
from sqap_vla_ros.model import native_layers
from sqap_vla_ros.model.llama import LlamaConfig, MLP, RMSNorm
from sqap_vla_ros.model.native_blocks import use_native_blocks
from sqap_vla_ros.model.native_layers import kernel_of, VARIABLE
from sqap_vla_ros.model.native_vision import use_native_vision
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
import torch
from torch import nn


@pytest.fixture(autouse=True)
def needs_native():
    needs_level()


def linears(model, kind):
    return [module for module in model.llm.layers.modules() if type(module) is kind]


def x_of(rows=20, seed=2):
    return torch.randn(1, rows, 64, generator=torch.Generator().manual_seed(seed))


def run(model, x):
    return model.llm.run(x, torch.arange(x.shape[1]), 0, 3)[0]


@torch.no_grad()
def test_plain_weights_are_gone_once_they_are_packed():
    model = make_model('chunk')
    plain = [weakref.ref(layer.weight) for layer in linears(model, nn.Linear)]
    assert len(plain) == 21 and use_native_blocks(model.llm) == 3
    assert not any(weight() is not None for weight in plain)
    held = linears(model, PlainLinear)
    assert len({layer.multiply.weight.data_ptr() for layer in held}) == len(held) == 21


@torch.no_grad()
def test_a_dropped_model_takes_its_weights_along_without_a_garbage_collection():
    model = make_model('chunk')
    use_native_blocks(model.llm)
    use_native_vision(model)
    blocks = model.llm.layers[0], model.vision.blocks[0]
    assert all(block.native is not None for block in blocks)
    weights = [weakref.ref(layer.multiply.weight) for layer in model.modules()
               if type(layer) is PlainLinear]
    gc.collect()
    gc.disable()
    try:
        del model, blocks
        assert not any(weight() is not None for weight in weights)
    finally:
        gc.enable()


@torch.no_grad()
def test_packed_layers_give_the_same_one_by_one_and_so_does_a_copy():
    model, x = make_model('chunk'), x_of()
    expected = run(model, x)
    use_native_blocks(model.llm)
    found, twin = run(model, x), copy.deepcopy(model)
    assert all(layer.native is None for layer in twin.llm.layers)
    one_by_one = run(twin, x)
    assert use_native_blocks(twin.llm) == 3 and torch.equal(run(twin, x), found)
    for each in (found, one_by_one):
        assert (each - expected).abs().max() < 1e-5 * expected.abs().max()


def bfloat16_norm(layer):
    layer.input_layernorm.bfloat16()


def bfloat16_layer(layer):
    layer.mlp.down_proj.bfloat16()


def layer_elsewhere(layer):
    layer.mlp.down_proj.to('meta')


def other_layer(layer):
    layer.self_attn.o_proj = nn.Sequential(layer.self_attn.o_proj)


@pytest.mark.parametrize('change, reason', [
    (bfloat16_norm, 'a norm is not an RMSNorm in float32'),
    (bfloat16_layer, 'a layer is in torch.bfloat16 on cpu'),
    (layer_elsewhere, 'a layer is in torch.float32 on meta'),
    (other_layer, r'a layer is a Sequential without a native kernel')])
@torch.no_grad()
def test_a_block_of_another_form_keeps_its_plain_weights_and_the_log_says_why(
        change, reason, caplog):
    model = make_model('chunk')
    change(model.llm.layers[1])
    with caplog.at_level(logging.DEBUG, native_layers.__name__):
        assert use_native_blocks(model.llm) == 2
    assert f'block 1 of the decoder runs layer by layer: {reason}' in caplog.text
    assert '2 of 3 blocks of the decoder run in one native call each' in caplog.text
    assert model.llm.layers[1].native is None and len(linears(model, nn.Linear)) == 7


@torch.no_grad()
def test_nothing_is_packed_where_native_kernels_are_missing_or_plain_ones_are_wanted(monkeypatch):
    model = make_model('chunk')
    monkeypatch.setattr(native_layers, 'native_reason', lambda: 'no compiler')
    assert use_native_blocks(model.llm) == 0 and len(linears(model, nn.Linear)) == 21
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, 'plain')
    assert use_native_blocks(model.llm) == 0 and len(linears(model, nn.Linear)) == 21


def test_a_loaded_policy_multiplies_natively_unless_the_variable_says_plain(tiny, monkeypatch):
    for way, native in (('native', True), ('plain', False)):
        monkeypatch.setenv(VARIABLE, way)
        held = linears(load_policy(tiny, PolicyOptions(precision='fp')).model, PlainLinear)
        assert len(held) == 28
        assert {isinstance(layer.multiply, NativeFloat) for layer in held} == {native}


@torch.no_grad()
def test_biases_are_added_and_another_one_is_noticed():
    model, x = make_model('chunk'), x_of()
    for layer in model.llm.layers:
        for linear in (layer.self_attn.k_proj, layer.mlp.gate_proj, layer.mlp.down_proj):
            linear.bias = nn.Parameter(torch.linspace(-1, 1, linear.out_features))
    expected = run(model, x)
    assert use_native_blocks(model.llm) == 3
    assert (run(model, x) - expected).abs().max() < 1e-5 * expected.abs().max()
    layer = model.llm.layers[0]
    layer.mlp.gate_proj.bias.zero_()
    assert layer.native.serves(x) and (run(model, x) - expected).abs().max() > 1e-3
    layer.mlp.gate_proj.bias = nn.Parameter(torch.zeros(layer.mlp.gate_proj.out_features))
    assert not layer.native.serves(x)


@pytest.mark.parametrize('change', [
    lambda layer: setattr(layer.mlp.up_proj, 'multiply', NativeFloat(torch.ones(96, 64))),
    lambda layer: setattr(layer.self_attn, 'q_proj', nn.Linear(64, 64)),
    lambda layer: setattr(layer, 'mlp', MLP(LlamaConfig(64, 64, 96))),
    lambda layer: setattr(layer, 'input_layernorm', RMSNorm(64, 1e-6)),
    lambda layer: setattr(layer.self_attn, 'qk_transform', nn.Identity()),
    lambda layer: setattr(layer.self_attn, 'causal', False),
    lambda layer: layer.to(torch.float64),
    lambda layer: setattr(layer.input_layernorm, 'eps', 0.1)])
@torch.no_grad()
def test_a_block_with_another_part_is_not_served_by_the_old_one(change):
    model = make_model('chunk')
    use_native_blocks(model.llm)
    layer, x = model.llm.layers[0], x_of()
    assert layer.native.serves(x)
    change(layer)
    assert not layer.native.serves(x)


@torch.no_grad()
def test_other_types_and_gradients_are_not_served():
    model = make_model('chunk')
    use_native_blocks(model.llm)
    serves, x = model.llm.layers[0].native.serves, x_of()
    assert serves(x) and not serves(x.double()) and not serves(x.to('meta'))
    with torch.enable_grad():
        assert serves(x) and not serves(x.requires_grad_())


@torch.no_grad()
def test_answers_of_a_whole_policy_are_the_plain_ones(tiny):
    model = make_model('tokens')
    expected = answer(model)
    use_native_blocks(model.llm)
    for found, plain in zip(answer(model), expected):
        assert torch.allclose(found.float(), plain.float(), rtol=1e-5, atol=1e-5)
    assert {type(kernel_of(layer)) for layer in linears(model, PlainLinear)} == {NativeFloat}


@pytest.mark.parametrize('place', [torch.float64, torch.bfloat16, 'meta'], ids=str)
@torch.no_grad()
def test_weights_of_another_type_are_an_error_before_the_library_reads_them(place):
    bad = torch.ones(4, 4).to(place)
    with pytest.raises(RuntimeError, match='native kernels take float32 on the cpu'):
        NativeFloat(bad)
    with pytest.raises(RuntimeError, match='native kernels take float32 on the cpu'):
        NativeFloat(torch.ones(4, 4), bad[0])
