# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The plain side of `sqap-vla bench`, a fair baseline: at its fastest, and the same answers."""
from kernel_layers import needs_level
import pytest
from sqap_vla_ros.bench import sides, sizes
from sqap_vla_ros.kernels.float_layers import PlainLinear, use_fastest_linears
from sqap_vla_ros.model.native_layers import VARIABLE
from sqap_vla_ros.quant import QuantLinear
import torch
from torch import nn


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(sizes._DECODERS, 'tiny', (64, 128, 3, 2, 1))
    return sizes.size_config('tiny')


def test_the_fast_plain_model_computes_what_the_plain_one_does(tiny):
    model, inputs = sides.random_model(tiny), sides.Inputs.random(tiny)
    with torch.inference_mode():
        expected = model.encode_image(inputs.pixels)
        use_fastest_linears(model)
        assert torch.allclose(model.encode_image(inputs.pixels), expected, atol=1e-5)
    assert not any(type(module) is nn.Linear for module in model.modules())


def test_fast_plain_layers_replace_float32_ones_only():
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4).bfloat16(),
                          QuantLinear(4, 4, 'w4a4'))
    use_fastest_linears(model, rows=2)
    assert [type(module) for module in model] == [PlainLinear, nn.Linear, QuantLinear]
    assert model[0](torch.ones(2, 3, 8)).shape == (2, 3, 4)


@pytest.mark.parametrize('wins', [True, False])
def test_a_benchmark_takes_the_faster_product_of_every_shape(wins, monkeypatch):
    asked = []
    monkeypatch.setattr(sides, 'onednn_wins', lambda *key: asked.append(key) or wins)
    model = nn.Sequential(nn.Linear(256, 128), nn.Linear(128, 256))
    x = torch.randn(7, 256)
    with torch.inference_mode():
        expected = model(x)
        use_fastest_linears(model, 7, sides.fastest_product)
        assert torch.allclose(model(x), expected, atol=1e-5)
    assert [key[:3] for key in asked] == [(128, 256, 7), (256, 128, 7)]
    assert all(('onednn' in module.multiply.__qualname__) == wins for module in model)


def test_a_product_is_timed_once_a_shape():
    sides.onednn_wins.cache_clear()
    for _ in range(2):
        assert sides.onednn_wins(64, 32, 4, 1) in (True, False)
    assert sides.onednn_wins.cache_info().misses == 1


@pytest.mark.parametrize('wins', [True, False])
def test_the_plain_side_takes_blocks_in_one_call_where_they_are_faster(tiny, monkeypatch, wins):
    needs_level()
    inputs, asked = sides.Inputs.random(tiny), []
    monkeypatch.setattr(sides, 'native_block_wins', lambda *key: asked.append(key) or wins)
    torch.manual_seed(0)
    with torch.inference_mode():
        plain = sides.Side('plain', sides.random_model(tiny), inputs)
        torch.manual_seed(0)
        side = sides.Side('float32', sides.float32_model(tiny), inputs)
        assert [layer.native is not None for layer in side.model.llm.layers] == [wins] * 3
        assert not any(type(module) is nn.Linear for module in side.model.modules())
        found, expected = (each.model.llm(torch.ones(1, 9, 64), torch.arange(9))
                           for each in (side, plain))
        assert torch.allclose(found, expected, atol=1e-5)
    assert [key[0] for key in asked] == [tiny.llm]


@pytest.mark.parametrize('native_ms, wins', [(1.0, True), (3.0, False)])
def test_a_block_is_timed_once_a_shape_both_ways(tiny, monkeypatch, native_ms, wins):
    needs_level()
    sides.native_block_wins.cache_clear()
    timed = []

    def seconds(network, x, positions):
        timed.append(network.layers[0].native is not None)
        assert network(x, positions).shape == (1, 7, tiny.llm.hidden_size)
        return native_ms if timed[-1] else 2.0
    monkeypatch.setattr(sides, 'best_seconds', seconds)
    monkeypatch.setattr(sides, 'onednn_wins', lambda *key: True)
    for _ in range(2):
        assert sides.native_block_wins(tiny.llm, 7, 1) == wins
    assert sorted(timed) == [False, True]
    monkeypatch.setenv(VARIABLE, 'plain')
    assert not sides.native_block_wins(tiny.llm, 8, 1) and len(timed) == 2
