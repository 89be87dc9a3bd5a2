# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A block in one native call does what the plain block of model/llama.py does."""
import copy
import logging

from kernel_layers import force_level, needs_level
import pytest
from small_models import answer, make_model, make_oft, oft_answer
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels import levels
from sqap_vla_ros.kernels.native_block import Queries
from sqap_vla_ros.model import native_layers
from sqap_vla_ros.model.followers import active_rows
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.model.native_blocks import use_native_blocks
from sqap_vla_ros.model.native_layers import kernel_of, VARIABLE
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch

KEEP = torch.tensor([0, 3, 4, 9])
PRECISIONS = ('w4a4', 'w4a8', 'w4a4t8', 'w4a16', 'fp')


@pytest.fixture(autouse=True)
def needs_native():
    needs_level()


def quantized(model, precision='w4a8', **options):
    if precision != 'fp':
        quantize_model(model, precision, **options)
        prepare_kernels(model)
    return model


@torch.no_grad()
def both(model, run):
    """Return what run() gives with native blocks, all of which must serve, and before them."""
    expected, layers = run(), model.llm.layers
    assert use_native_blocks(model.llm) == len(layers)
    assert all(layer.native.serves(random(1, 1, 64)) for layer in layers)
    return run(), expected


def random(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(found, expected, limit=1e-5):
    if expected is None or expected.dtype == torch.int64:
        assert found is expected or torch.equal(found, expected)
    else:
        assert (found - expected).abs().max() <= limit * expected.abs().max().clamp(min=1.0)


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('kind', ['chunk', 'tokens'])
def test_every_precision_answers_as_by_plain_blocks(kind, precision):
    model = quantized(make_model(kind), precision)
    for keep in (None, KEEP):
        for found, expected in zip(*both(model, lambda: answer(model, keep=keep))):
            close(found, expected)


@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@pytest.mark.parametrize('precision', ['w4a8', 'w8a8', 'w4a16', 'fp'])
def test_every_level_answers_as_plain_blocks_of_it(monkeypatch, level, precision):
    force_level(monkeypatch, level)
    model = quantized(make_model('chunk'), precision)
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
    model = quantized(make_model('chunk', 2, 2, 12), precision)
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
    model = quantized(make_model('chunk'), precision)
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


@pytest.mark.parametrize('precision', ['w4a4t8', 'fp'])
@torch.no_grad()
def test_threads_change_no_bit(precision):
    model = quantized(make_model('chunk'), precision)
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
