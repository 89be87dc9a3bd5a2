# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Scales in front of o_proj and down_proj: the same function, and the exponent that errs least."""
import copy
import json

import pytest
from quantizer import scaling
from quantizer.ways import SCHEME
import quantizer_search
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.numerics.hadamard import Rotation
import torch


@pytest.fixture
def plain(tiny):
    return load_network(open_checkpoint(tiny), 'fp', prepare=False)


@pytest.fixture
def inputs(plain):
    """Return decoder inputs in which one channel of sixteen is large."""
    width, generator = plain.config.llm.hidden_size, torch.Generator().manual_seed(0)
    x = torch.randn(4, 40, width, generator=generator)
    x[..., ::16] *= 8
    return x


def answer(model, inputs):
    with torch.no_grad():
        return model.llm.run(inputs, torch.arange(inputs.shape[1]), 0, len(model.llm.layers))[0]


@pytest.mark.parametrize('index, name', [(0, 'o_proj'), (1, 'down_proj')])
def test_a_scale_changes_weights_and_no_answer(plain, inputs, index, name):
    before, layer = answer(plain, inputs), scaling.reader(plain, index, name)
    weight = layer.weight.detach().clone()
    shared = scaling.largest_shared(plain, index, name, torch.ones(layer.in_features))
    values = torch.linspace(0.5, 2, len(shared))
    scaling.scale(plain, index, name, values)
    torch.testing.assert_close(answer(plain, inputs), before, rtol=1e-4, atol=1e-4)
    ratio = scaling.reader(plain, index, name).weight / weight
    assert not torch.allclose(ratio, torch.ones_like(ratio)) and ratio.max() <= 2.001


@torch.no_grad()
def test_the_exponent_that_errs_least_is_taken(plain, inputs, monkeypatch):
    rotation, tried, kept = Rotation(inputs.shape[-1], 0), {}, {}
    error, scale = scaling.output_error, scaling.scale

    def noted_error(model, index, name, *rest):
        tried.setdefault((index, name), []).append(error(model, index, name, *rest))
        return tried[index, name][-1]

    def noted_scale(model, index, name, values):
        if model is plain:
            kept[index, name] = values
        scale(model, index, name, values)
    monkeypatch.setattr(scaling, 'output_error', noted_error)
    monkeypatch.setattr(scaling, 'scale', noted_scale)
    monkeypatch.setattr(scaling, 'EXPONENTS', (0.0, 0.5, 1.0))
    keys = [(0, 'o_proj'), (1, 'down_proj')]
    monkeypatch.setattr(scaling, 'readers', lambda model: iter(keys))
    begun = copy.deepcopy(plain)
    means = scaling.of_inputs(begun, inputs, lambda x: x.abs().mean((0, 1)))
    scaling.activation_aware(plain, inputs, rotation, SCHEME)
    assert list(tried) == keys
    for key, errors in tried.items():
        assert len(errors) == len(scaling.EXPONENTS) and len(set(errors)) > 1
        exponent = scaling.EXPONENTS[errors.index(min(errors))]
        values = scaling.largest_shared(begun, *key, means[key[0]][key[1]]) ** exponent
        if key == (0, 'o_proj'):  # the first: nothing in front of it was scaled
            torch.testing.assert_close(kept[key], values / (values.max() * values.min()).sqrt())
            assert error(copy.deepcopy(begun), *key, inputs, rotation, SCHEME) == pytest.approx(
                errors[0])
    torch.testing.assert_close(answer(plain, inputs), answer(begun, inputs), rtol=1e-3, atol=1e-3)


def test_heads_that_share_a_value_share_the_largest_of_activations_and_of_weights(plain, inputs):
    """By hand: max |x|^e / max |w|^(1 - e), each maximum over the heads of a group first."""
    config, layer = plain.config.llm, scaling.reader(plain, 0, 'o_proj')
    groups = config.num_heads // config.num_kv_heads
    assert groups > 1
    seen = scaling.of_inputs(plain, inputs, lambda x: x.abs().amax((0, 1)))[0]['o_proj']
    before = plain.llm.layers[0].self_attn.v_proj.weight.detach().clone()
    weight = layer.weight.detach().abs().amax(0)
    scaling.smooth(plain, inputs, 0.5)
    ratio = before / plain.llm.layers[0].self_attn.v_proj.weight
    heads = [range(head * config.head_dim, (head + 1) * config.head_dim)
             for head in range(config.num_heads)]
    for place, channel in ((0, 3), (config.num_kv_heads - 1, 5)):
        mine = [heads[place * groups + member][channel] for member in range(groups)]
        expected = (max(float(seen[one]) for one in mine)
                    / max(float(weight[one]) for one in mine)) ** 0.5
        assert ratio[place * config.head_dim + channel, 0].item() == pytest.approx(expected, 1e-3)


def test_a_search_goes_on_with_rows_of_its_own_checkpoint_alone(tmp_path):
    place = tmp_path / 'found.json'
    assert quantizer_search.found_before(None, 'a') == {}
    assert quantizer_search.found_before(place, 'a') == {}
    place.write_text(json.dumps({'checkpoint_sha256': 'a', 'rows': [1], 'seeds': [2], 'other': 3}))
    assert quantizer_search.found_before(place, 'a') == {'rows': [1], 'seeds': [2]}
    with pytest.raises(SystemExit, match='is of another checkpoint: give another --out'):
        quantizer_search.found_before(place, 'b')
