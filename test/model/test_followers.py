# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Dropped tokens that are still seen, against blocks that compute every row with a dense mask."""
import numpy as np
import pytest
from small_models import make_input, make_model, make_oft
from sqap_vla_ros.model.followers import active_rows, nearness
from sqap_vla_ros.model.llama import apply_rotary
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch
from torch.nn import functional as F

KEPT = torch.tensor([1, 6, 7, 13])


def leaders(kept, rows, cols, images=1):
    """Return of each patch the nearest kept one of its image, of equally near ones the first."""
    size = rows * cols

    def far(one, other):
        across = abs(one % cols - other % cols)
        down = abs(one % size // cols - other % size // cols)
        return one // size != other // size, across ** 2 + down ** 2, other
    return [min(kept.tolist(), key=lambda other: far(one, other)) for one in range(images * size)]


@torch.no_grad()
def dense(model, x, kept):
    """Return what the head reads if all rows are computed, and those of dropped patches undone."""
    config, length = model.config, x.shape[1]
    first, count = config.prefix, config.num_visual
    follows = torch.arange(length)
    follows[first:first + count] = first + torch.tensor(
        leaders(kept, *config.vision.grid, config.images))
    cos, sin = (table[:length] for table in model.llm.rotary(length, x))
    mask = torch.ones(length, length, dtype=torch.bool)
    mask = mask.tril() if config.attention == 'causal' else mask
    for layer in list(model.llm.layers)[config.prune_layer:]:
        attention, visual = layer.self_attn, VisualRows(length, first, count)
        y = layer.input_layernorm(x)
        q, k, v = (_called(part, y, visual).unflatten(-1, (-1, cos.shape[1])).transpose(1, 2)
                   for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], 1) for part in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        after = x + _called(attention.o_proj, out.transpose(1, 2).flatten(2), visual)
        after = after + layer.mlp(layer.post_attention_layernorm(after), visual)
        x = x + (after - x)[:, follows]
    rows = config.head_rows(length)
    return model.llm.norm(x[:, rows.start:rows.stop])


def _called(layer, x, visual):
    return layer(x, visual) if hasattr(layer, 'spec') else layer(x)


def embedded(model):
    """Return what stands before the first block that is pruned."""
    pixels, ids, state = make_input(model)
    pixels = pixels.repeat(1, model.config.images, 1, 1)
    noisy = torch.zeros(2, 3, 4) if model.config.attention == 'full' else None
    with torch.no_grad():
        return model.prefill_full(model.embed(model.encode_image(pixels), ids, state, noisy))[0]


MODELS = {'heads that share keys': lambda: make_model('chunk', state_dim=8),
          'heads of their own': lambda: make_model('chunk', kv_heads=4),
          'two images, all see all': lambda: make_oft('regression')}


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('kept', [KEPT, torch.tensor([5]), torch.tensor([0, 15])], ids=str)
@torch.no_grad()
def test_active_rows_see_all_and_the_others_follow_the_nearest(name, kept):
    model = MODELS[name]()
    x = embedded(model)
    found = model.prefill_kept(x, kept, follow=True)
    assert (found - dense(model, x, kept)).abs().max() < 2e-5
    assert (found - model.prefill_kept(x, kept)).abs().max() > 1e-2, 'they might as well be gone'


@pytest.mark.parametrize('name', MODELS)
@torch.no_grad()
def test_where_all_are_kept_nothing_changes(name):
    model = MODELS[name]()
    x = embedded(model)
    everything = torch.arange(model.config.num_visual)
    found = model.prefill_kept(x, everything, follow=True)
    assert (found - model.prefill_kept(x, None)).abs().max() < 1e-5


@pytest.mark.parametrize('precision', ['w8a8', 'w4a4t8', 'w4a16'])
@pytest.mark.parametrize('joint', [True, False])
@torch.no_grad()
def test_quantized_blocks_know_which_active_rows_are_visual(precision, joint):
    model = make_model('chunk', state_dim=8)
    quantize_model(model, precision)
    if joint:
        prepare_kernels(model)
    x = embedded(model)
    found = model.prefill_kept(x, KEPT, follow=True)
    assert (found - dense(model, x, KEPT)).abs().max() < 2e-4


@pytest.mark.parametrize('precision', [None, 'w4a4t8'])
@pytest.mark.parametrize('follow', [True, False])
@torch.no_grad()
def test_a_decoded_token_is_what_one_token_more_would_have_been(follow, precision):
    """Dropped tokens that follow are among what it sees, as the blocks left their keys."""
    model = make_model('tokens')
    if precision:
        quantize_model(model, precision)
        prepare_kernels(model)
    caches, token = model.make_caches(), torch.tensor([5])
    pixels, ids, _ = make_input(model, 1)
    start = model.embed(model.encode_image(pixels), ids)
    length = start.shape[1]
    model.prefill_kept(model.prefill_full(start, caches)[0], KEPT, caches, follow=follow)
    kept = length - (0 if follow else model.config.num_visual - len(KEPT))
    before, behind = model.config.prune_layer, model.config.llm.num_layers
    assert [cache.length for cache in caches] == [length] * before + [kept] * (behind - before)
    found = model._next_hidden(token, length, caches)
    longer = torch.cat([start, model.llm.embed_tokens(token)[:, None]], 1)
    expected = model.prefill_kept(model.prefill_full(longer)[0], KEPT, follow=follow)[:, -1]
    other = model.prefill_kept(model.prefill_full(longer)[0], KEPT, follow=not follow)[:, -1]
    assert (found - expected).abs().max() < 2e-5 < 1e-2 < (found - other).abs().max()


def test_the_nearest_is_of_the_same_image_and_of_equally_near_ones_the_first():
    kept = torch.tensor([0, 5, 10, 15, 20])  # a grid of 3 x 4 twice
    found = kept[nearness(3, 4, 2, kept.device)[:, kept].argmin(1)]
    assert found.tolist() == leaders(kept, 3, 4, 2)
    alone = torch.tensor([2])
    rows = active_rows(alone, 30, 1, (3, 4), 2, True)
    assert rows.index.tolist() == [0, 3, *range(25, 30)]
    assert rows.leader.tolist() == [0] + [1] * 24 + [2, 3, 4, 5, 6]
    assert rows.seen.tolist() == [1, 4, *range(26, 31)]
    assert rows.visual == VisualRows(7, 1, 1)


def test_active_rows_are_taken_to_the_last_bit():
    rows = active_rows(torch.tensor([1, 3]), 6, 1, (2, 2), 1, True)
    x = torch.randn(1, 6, 8, dtype=torch.bfloat16)
    before = rows.of(x)
    after = before * 3 + 1
    spread = rows.spread(x, before, after)
    assert torch.equal(rows.of(spread), after)
    dropped = [1, 3]  # rows of the patches 0 and 2, which follow 1 and 3
    np.testing.assert_allclose(
        spread[0, dropped].float(), (x + (after - before)[:, rows.leader])[0, dropped].float(),
        atol=0.1)
