# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which blocks run in one native call, and what makes one leave its place to the plain block."""
import copy
import logging

from block_answers import attend_in_floats, close, quantized, random
from kernel_layers import needs_level
import pytest
from small_models import answer, make_model
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.native_block import Queries
from sqap_vla_ros.model import native_layers
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.model.native_blocks import use_native_blocks
from sqap_vla_ros.model.native_layers import VARIABLE
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch


@pytest.fixture(autouse=True)
def needs_native(monkeypatch):
    needs_level()
    attend_in_floats(monkeypatch)


@torch.no_grad()
def test_a_block_of_another_form_stays_plain_and_the_log_says_why(caplog):
    model = quantized(make_model('chunk'), 'w4a8', per_token=False)
    expected = answer(model)
    with caplog.at_level(logging.DEBUG, native_layers.__name__):
        assert use_native_blocks(model.llm) == 0
    assert 'block 1 of the decoder runs layer by layer: a layer has one scale' in caplog.text
    for found, plain in zip(answer(model), expected):
        close(found, plain)


@torch.no_grad()
def test_a_kernel_that_serves_another_layer_too_leaves_the_block_as_it_is(caplog):
    model = quantized(make_model('chunk'))
    attention = model.llm.layers[1].self_attn
    attention.k_proj = torch.nn.Linear(64, attention.k_proj.spec.out_features, bias=False)
    with caplog.at_level(logging.DEBUG, native_layers.__name__):
        assert use_native_blocks(model.llm) == 2
    assert 'have kernels that serve others too' in caplog.text
    assert type(attention.k_proj) is torch.nn.Linear


@torch.no_grad()
def test_kernels_of_another_backend_stay_plain(caplog):
    model = make_model('chunk')
    quantize_model(model, 'w4a8')
    prepare_kernels(model, backend='reference')
    with caplog.at_level(logging.DEBUG, native_layers.__name__):
        assert use_native_blocks(model.llm) == 0
    assert "backend 'reference'" in caplog.text or 'backend reference' in caplog.text


@torch.no_grad()
def test_new_kernels_and_copies_are_never_served_by_old_weights():
    model = quantized(make_model('chunk'))
    use_native_blocks(model.llm)
    twin = copy.deepcopy(model)
    assert all(layer.native is None for layer in twin.llm.layers)
    assert torch.equal(answer(twin)[0], answer(twin)[0])
    layer, x = model.llm.layers[0], random(1, 20, 64)
    assert layer.native.serves(x)
    layer.to(torch.float64)
    assert not layer.native.serves(x)


def test_gradients_are_left_to_the_plain_block():
    model = quantized(make_model('chunk'))
    use_native_blocks(model.llm)
    x = random(1, 20, 64).requires_grad_()
    assert not model.llm.layers[0].native.serves(x)
    with torch.no_grad():
        assert model.llm.layers[0].native.serves(x)


@pytest.mark.parametrize('precision', ['w4a4', 'fp'])
def test_a_loaded_policy_has_them_unless_the_variable_says_plain(tiny, monkeypatch, precision):
    for way, served in (('', True), ('native', True), ('plain', False)):
        monkeypatch.setenv(VARIABLE, way)
        policy = load_policy(tiny, PolicyOptions(precision=precision))
        assert [layer.native is not None for layer in policy.model.llm.layers] == (
            [served] * len(policy.model.llm.layers))
    monkeypatch.setenv(VARIABLE, 'fast')
    with pytest.raises(ConfigError, match=f"{VARIABLE} is 'fast': use one of"):
        load_policy(tiny, PolicyOptions(precision='w4a4'))


@pytest.mark.parametrize('change', [
    lambda layer: setattr(layer.input_layernorm, 'weight', torch.nn.Parameter(torch.ones(64))),
    lambda layer: setattr(layer.post_attention_layernorm.weight, 'data', torch.ones(64)),
    lambda layer: setattr(layer.self_attn, 'qk_transform', torch.nn.Identity()),
    lambda layer: setattr(layer.self_attn, 'causal', not layer.self_attn.causal),
    lambda layer: setattr(layer.post_attention_layernorm, 'eps', 0.1)])
@torch.no_grad()
def test_a_block_with_another_part_is_not_served_by_the_old_one(change):
    model = quantized(make_model('chunk'))
    use_native_blocks(model.llm)
    layer, x = model.llm.layers[0], random(1, 20, 64)
    assert layer.native.serves(x)
    change(layer)
    assert not layer.native.serves(x)


@torch.no_grad()
def test_a_norm_that_is_changed_in_place_is_seen():
    model = quantized(make_model('chunk'))
    use_native_blocks(model.llm)
    before = answer(model)[0]
    model.llm.layers[0].input_layernorm.weight.mul_(0.5)
    found = answer(model)[0]
    assert not torch.equal(found, before)
    for layer in model.llm.layers:
        layer.native = None
    close(found, answer(model)[0])


@pytest.mark.parametrize('change, said', [
    ({'x': random(1, 20, 48)}, 'width 64'),
    ({'x': random(20, 64)}, 'width 64'),
    ({'x': random(1, 20, 64).double()}, 'float32 on the cpu'),
    ({'x': random(1, 20, 128)[:, :, ::2]}, 'float32 on the cpu'),
    ({'cos': random(19, 16)}, 'tables'), ({'sin': random(20, 8)}, 'tables'),
    ({'cos': random(20, 16).double()}, 'float32 on the cpu'),
    ({'queries': Queries(range(3, 21))}, 'within each other'),
    ({'queries': Queries(range(0))}, 'within each other'),
    ({'queries': Queries(range(4, 8)), 'scored': range(3, 6)}, 'within each other')])
@torch.no_grad()
def test_what_does_not_fit_is_an_error_before_the_library_reads_it(change, said):
    model = quantized(make_model('chunk'))
    use_native_blocks(model.llm)
    block = model.llm.layers[0].native._kernel
    given = {'x': random(1, 20, 64), 'cos': random(20, 16), 'sin': random(20, 16),
             'causal': True, 'queries': Queries(range(20))}
    assert block(**given)[0].shape == (1, 20, 64)
    with pytest.raises(RuntimeError, match=said):
        block(**{**given, **change})


@pytest.mark.parametrize('native', [True, False])
@pytest.mark.parametrize('shape', [(1, 5, 64), (2, 1, 64)], ids=['no room', 'another batch'])
@torch.no_grad()
def test_a_cache_without_a_place_is_an_error_and_stays_as_it_is(native, shape):
    model = quantized(make_model('chunk'))
    use_native_blocks(model.llm)
    layer, cache = model.llm.layers[0], LayerCache(4)
    layer.native = layer.native if native else None
    tables = random(20, 16), random(20, 16)
    layer(random(1, 16, 64), *(table[:16] for table in tables), cache=cache)
    with pytest.raises(RuntimeError, match='that holds 16 tokens has no place for'):
        layer(random(*shape), *(table[:shape[1]] for table in tables), cache=cache)
    assert cache.length == 16
