# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A block in one native call does what the plain block of model/llama.py does."""
from block_answers import attend_in_floats, close, quantized, random
from kernel_layers import force_level, needs_level
import pytest
from small_models import answer, make_model, make_oft, oft_answer
from sqap_vla_ros.kernels import levels
from sqap_vla_ros.model.followers import active_rows
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.model.native_blocks import use_native_blocks
from sqap_vla_ros.model.native_layers import kernel_of
from sqap_vla_ros.numerics.visual_rows import VisualRows
import torch

KEEP = torch.tensor([0, 3, 4, 9])
PRECISIONS = ('w4a4', 'w4a8', 'w4a4t8', 'w4a16', 'fp')
INNER = 96, 128  # gate and up of one layer share a panel, or meet panel by panel


@pytest.fixture(autouse=True)
def needs_native(monkeypatch):
    needs_level()
    attend_in_floats(monkeypatch)


@torch.no_grad()
def both(model, run):
    """Return what run() gives with native blocks, all of which must serve, and before them."""
    expected, layers = run(), model.llm.layers
    assert use_native_blocks(model.llm) == len(layers)
    assert all(layer.native.serves(random(1, 1, 64)) for layer in layers)
    return run(), expected


@pytest.mark.parametrize('inner', INNER)
@pytest.mark.parametrize('precision', (*PRECISIONS, 'w8a8'))
@pytest.mark.parametrize('kind', ['chunk', 'tokens'])
def test_every_precision_answers_as_by_plain_blocks(kind, precision, inner):
    model = quantized(make_model(kind, inner=inner), precision)
    for keep in (None, KEEP):
        for found, expected in zip(*both(model, lambda: answer(model, keep=keep))):
            close(found, expected)


@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@pytest.mark.parametrize('precision', ['w4a8', 'w8a8', 'w4a16', 'fp'])
@pytest.mark.parametrize('inner', INNER)
def test_every_level_answers_as_plain_blocks_of_it(monkeypatch, level, precision, inner):
    force_level(monkeypatch, level)
    model = quantized(make_model('chunk', inner=inner), precision)
    for found, expected in zip(*both(model, lambda: answer(model, keep=KEEP))):
        close(found, expected)
    assert {kernel_of(linear)._layer.level for layer in model.llm.layers
            for linear in (layer.self_attn.q_proj, layer.mlp.down_proj)} == {level}


@pytest.mark.parametrize('precision', ['w4a8', 'fp'])
@pytest.mark.parametrize('heads, kv_heads', [(4, 4), (2, 1)])
def test_heads_may_be_shared_by_any_number(heads, kv_heads, precision):
    model = quantized(make_model('chunk', kv_heads, heads), precision)
    for found, expected in zip(*both(model, lambda: answer(model))):
        close(found, expected)


@pytest.mark.parametrize('precision', ['w4a8', 'fp'])
def test_heads_and_feed_forward_may_have_odd_widths(precision):
    """Heads of 6 channels and 20 inner ones: no whole vectors."""
    model = quantized(make_model('chunk', 2, 2, 12, inner=20), precision)
    for found, expected in zip(*both(model, lambda: answer(model))):
        close(found, expected)


@pytest.mark.parametrize('reads', ['regression', 'diffusion', 'tokens'])
def test_openvla_oft_answers_as_by_plain_blocks(reads):
    model = quantized(make_oft(reads), 'w4a4t8')
    found, expected = both(model, lambda: oft_answer(model, KEEP))
    for name in expected:
        close(found[name], expected[name])


@pytest.mark.parametrize('bits, rotate', [(8, True), (4, True), (8, False)])
def test_queries_and_keys_are_rounded_alike(bits, rotate):
    model = quantized(make_model('tokens'), 'w4a8', qk_bits=bits, rotate=rotate)
    for found, expected in zip(*both(model, lambda: answer(model))):
        close(found, expected)


@pytest.mark.parametrize('precision', ['w4a4t8', 'fp'])
@pytest.mark.parametrize('causal', [True, False])
@pytest.mark.parametrize('read', [None, range(4, 9), range(0, 2), range(2, 20)], ids=str)
def test_rows_that_are_read_and_their_scores_are_the_plain_ones(read, causal, precision):
    """In two sequences side by side; 5 and 2 rows are multiplied without packing, 18 with it."""
    model = quantized(make_model('chunk', inner=128), precision)
    for layer in model.llm.layers:
        layer.self_attn.causal = causal
    x, places = random(2, 20, 64), torch.arange(20)
    scored = None if read is None else range(read.stop - 2, read.stop)
    found, expected = both(model, lambda: model.llm.run(
        x, places, 0, 3, scored, visual=VisualRows(20, 1, 6), read=read))
    for one, other in zip(found, expected):
        close(one, other)


@pytest.mark.parametrize('rows', [range(19, 20), range(3, 9)], ids=str)
def test_scores_are_probabilities_of_all_keys(rows):
    model = quantized(make_model('chunk'))
    x = random(2, 20, 64)
    found, expected = both(model, lambda: model.llm.run(x, torch.arange(20), 0, 2, rows)[1])
    close(found, expected)
    assert torch.allclose(found.sum(dim=1), torch.ones(2)) and (found[:, rows.stop:] == 0).all()


@pytest.mark.parametrize('precision', ['w4a4t8', 'fp'])
@pytest.mark.parametrize('full', [False, True])
def test_dropped_tokens_may_follow(full, precision):
    model = quantized(make_oft('regression') if full else make_model('chunk'), precision)
    images, count = model.config.images, model.config.num_visual
    x = random(2, count + 9, 64)
    rows = active_rows(KEEP, x.shape[1], 1, (4, 4), images, not full)
    found, expected = both(model, lambda: model.llm.run(
        x, torch.arange(x.shape[1]), 0, len(model.llm.layers), rows=rows,
        visual=VisualRows(x.shape[1], 1, count))[0])
    close(found, expected)


@pytest.mark.parametrize('precision', ['w4a8', 'fp'])
def test_a_cache_holds_what_plain_blocks_put_there_and_grows(precision):
    """A prompt of two sequences, then three tokens one by one."""
    model = quantized(make_model('tokens'), precision)
    tokens, (cos, sin) = random(2, 12, 64), model.llm.rotary(12, torch.empty(0))

    def run():
        caches, found = [LayerCache(3) for _ in model.llm.layers], []
        for first, last in ((0, 9), (9, 10), (10, 11), (11, 12)):
            found.append(model.llm.run(tokens[:, first:last], (cos[first:last], sin[first:last]),
                                       0, 3, caches=caches)[0])
        return [*found, *(part for cache in caches for part in cache.filled)]
    for found, expected in zip(*both(model, run)):
        close(found, expected)


@pytest.mark.parametrize('others', [('w4a8', 'w4a16', 'w4a4t8'), ('fp', 'fp', 'fp')], ids=str)
@pytest.mark.parametrize('override', ['q_proj', 'v_proj', 'up_proj', 'o_proj', 'down_proj'])
def test_layers_of_another_precision_have_rows_of_their_own(override, others):
    place = 'mlp' if override in ('up_proj', 'down_proj') else 'self_attn'
    overrides = {f'llm.layers.{index}.{place}.{override}': precision
                 for index, precision in enumerate(others)}
    model = quantized(make_model('chunk'), 'w4a4', overrides=overrides)
    for found, expected in zip(*both(model, lambda: answer(model, keep=KEEP))):
        close(found, expected)


@pytest.mark.parametrize('precision', ['w4a8', 'fp'])
@torch.no_grad()
def test_no_sequences_at_all_give_none(precision):
    model = quantized(make_model('chunk'), precision)
    assert use_native_blocks(model.llm)
    found = model.llm.run(random(0, 20, 64), torch.arange(20), 0, 3)[0]
    assert found.shape == (0, 20, 64)


@pytest.mark.parametrize('precision', ['w4a4t8', 'fp'])
@torch.no_grad()
def test_threads_change_no_bit(precision):
    model = quantized(make_model('chunk', inner=192), precision)
    assert use_native_blocks(model.llm)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(answer(model, keep=KEEP)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@pytest.mark.parametrize('precision', ['w4a8', 'fp'])
@torch.no_grad()
def test_a_value_that_is_not_finite_stays_in_sight(precision):
    model = quantized(make_model('chunk'), precision)
    assert use_native_blocks(model.llm)
    x = random(1, 20, 64)
    x[0, 3, 5] = float('nan')
    found, _ = model.llm.run(x, torch.arange(20), 0, 3)
    assert found[0, 3:].isnan().all()
