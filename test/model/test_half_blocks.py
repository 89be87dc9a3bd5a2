# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Blocks whose attention multiplies bfloat16, with AMX, stay near those that attend in floats."""
from block_answers import attend_in_floats, quantized, random
import pytest
from small_models import answer, make_model, make_oft, oft_answer
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.kernels.native_bfloat16 import multiplies_halves
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.model.native_blocks import use_native_blocks
import torch

KEEP = torch.tensor([0, 3, 4, 9])


@pytest.fixture(autouse=True)
def needs_tiles():
    if native_reason() or not multiplies_halves():
        pytest.skip('native kernels multiply bfloat16 with AMX only, which is not to be had here')


@torch.no_grad()
def both(model, run, monkeypatch):
    """Return what run() gives with attention in bfloat16 and in floats, all blocks native."""
    use_native_blocks(model.llm)
    halves = run()
    with monkeypatch.context() as patched:
        attend_in_floats(patched)
        use_native_blocks(model.llm)
    assert all(layer.native is not None for layer in model.llm.layers)
    return halves, run()


def near(halves, floats, least=1e-6, most=0.03):
    assert halves.shape == floats.shape
    assert least < float((halves - floats).norm() / floats.norm()) < most


@pytest.mark.parametrize('keep', [None, KEEP], ids=['all', 'kept'])
@pytest.mark.parametrize('kind', ['chunk', 'tokens'])
@pytest.mark.parametrize('precision', ['w4a8', 'w4a4t8', 'w8a8'])
def test_every_precision_stays_near(precision, kind, keep, monkeypatch):
    model = quantized(make_model(kind), precision)
    (halves, _), (floats, _) = both(model, lambda: answer(model, keep=keep), monkeypatch)
    near(halves, floats, most=0.08 if precision == 'w4a4t8' else 0.03)


def test_openvla_oft_whose_rows_see_each_other_stays_near(monkeypatch):
    model = quantized(make_oft('regression'), 'w8a8')
    halves, floats = both(model, lambda: oft_answer(model), monkeypatch)
    near(halves['hidden'], floats['hidden'])


@torch.no_grad()
def test_rows_behind_a_cache_see_what_it_holds(monkeypatch):
    model = quantized(make_model('chunk'), 'w8a8')
    layer, x = model.llm.layers[0], random(1, 40, 64)
    cos, sin = (table[:40] for table in model.llm.rotary(40, x))

    def run():
        cache = LayerCache(40)
        first, _ = layer(x[:, :20].contiguous(), cos[:20], sin[:20], cache=cache)
        then, _ = layer(x[:, 20:].contiguous(), cos[20:], sin[20:], cache=cache)
        return torch.cat([first, then], dim=1)

    halves, floats = both(model, run, monkeypatch)
    near(halves, floats)
    whole, _ = layer(x, cos, sin)
    near(whole, floats, least=-1.0, most=1e-3)


@pytest.mark.parametrize('precision', ['w4a16', 'fp'])
def test_floats_are_left_floats(precision, monkeypatch):
    model = quantized(make_model('chunk'), precision)
    (halves, _), (floats, _) = both(model, lambda: answer(model), monkeypatch)
    assert torch.equal(halves, floats)
