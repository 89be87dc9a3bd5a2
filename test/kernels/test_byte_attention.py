# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Attention of bytes, where VNNI multiplies them, against that of floats."""
import itertools

from kernel_layers import force_level
import pytest
from sqap_vla_ros.kernels import levels
from sqap_vla_ros.kernels.attention import native_attention
import torch

LEVELS = [levels.NAMES.index(name) for name in ('avx_vnni', 'avx512_vnni')]
# batch, heads, key-value heads, queries, keys, width, causal: of whole panels, parts, and several
FORMS = [(1, 4, 4, 256, 256, 64, False), (2, 6, 2, 70, 70, 48, True), (1, 2, 1, 65, 130, 80, True),
         (1, 1, 1, 100, 67, 133, False), (1, 3, 3, 64, 321, 72, True)]


@pytest.fixture(params=LEVELS, ids=lambda level: levels.NAMES[level], autouse=True)
def level(request, monkeypatch):
    force_level(monkeypatch, request.param)


def drawn(batch, heads, kv_heads, queries, keys, width):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, count, length, width, generator=generator)
            for count, length in ((heads, queries), (kv_heads, keys), (kv_heads, keys))]


def distance(found, exact):
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize('form', FORMS)
def test_it_is_near_that_of_floats(form):
    *shape, causal = form
    q, k, v = drawn(*shape)
    exact = native_attention(q, k, v, causal)
    found = native_attention(q, k, v, causal, bits=16)
    assert 1e-4 < distance(found, exact) < 0.012
    queries, keys = shape[3:5]
    seen = torch.arange(keys - queries + 1, keys + 1, dtype=torch.int32)
    if causal:
        assert torch.equal(native_attention(q, k, v, False, seen=seen, bits=16), found)


def test_what_all_keys_share_costs_nothing_and_rows_and_channels_have_scales_of_their_own():
    q, k, v = drawn(1, 2, 2, 128, 128, 64)
    shift = torch.zeros(64)
    shift[5] = 300.0  # as a trained key's bias
    sizes = torch.logspace(-3, 3, 64)
    exact = native_attention(q, k + shift, v * sizes, False)
    found = native_attention(q, k + shift, v * sizes, False, bits=16)
    for channel in range(64):
        assert distance(found[..., channel], exact[..., channel]) < 0.02
    q[:, :, 7] *= 1e-3
    exact, found = (native_attention(q, k, v, False, bits=bits) for bits in (32, 16))
    assert distance(found[:, :, 7], exact[:, :, 7]) < 0.02


def test_keys_of_little_weight_beside_a_large_one_are_not_lost():
    """One key has 512 times the weight of each other, which have a third of all together."""
    q, k, v = torch.ones(1, 1, 64, 64), torch.zeros(1, 1, 256, 64), torch.ones(1, 1, 256, 64)
    k[0, 0, 0] = torch.log(torch.tensor(512.0)) / 8
    v[0, 0, 0] = 0
    exact, found = (native_attention(q, k, v, False, bits=bits) for bits in (32, 16))
    assert 0.3 < float(exact[0, 0, 0, 0]) < 0.35
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0)


def test_hidden_keys_weigh_nothing_and_nan_is_told():
    q, k, v = drawn(1, 1, 1, 80, 80, 64)
    v[:] = torch.arange(80.0)[:, None]
    found = native_attention(q, k * 8, v, True, bits=16)
    assert (found[0, 0].amax(1) <= torch.arange(80) + 0.4).all()  # of 79 in 127 steps
    assert found[0, 0, 0].abs().max() == 0
    for name, where in itertools.product('qkv', (0, 79)):
        spoilt = {'q': q.clone(), 'k': k.clone(), 'v': v.clone()}
        spoilt[name][0, 0, where, 3] = float('nan')
        answer = native_attention(spoilt['q'], spoilt['k'], spoilt['v'], False, bits=16)
        assert answer[0, 0, where].isnan().any(), f'a NaN in {name} is gone'


def test_a_large_key_and_value_that_a_query_does_not_see_round_it_more_and_no_worse():
    q, k, v = drawn(1, 1, 1, 80, 80, 64)
    k[0, 0, -1], v[0, 0, -1] = 8 * k[0, 0, -1], 8 * v[0, 0, -1]
    exact, found = (native_attention(q, k, v, True, bits=bits) for bits in (32, 16))
    assert distance(found[:, :, :-1], exact[:, :, :-1]) < 0.06


def test_threads_change_no_bit_and_few_queries_stay_floats():
    q, k, v = drawn(1, 4, 2, 200, 200, 64)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(native_attention(q, k, v, True, bits=16))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    few = q[:, :, -60:]
    assert torch.equal(native_attention(few, k, v, True, bits=16),
                       native_attention(few, k, v, True))
