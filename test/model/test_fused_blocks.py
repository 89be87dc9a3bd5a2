# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Fused blocks against the plain ones with reference kernels, in Triton's interpreter."""
import copy
import gc
import logging
import weakref

import cuda_interpreter  # noqa: F401, I100, I202
import pytest
from small_models import answer, make_model, make_oft, oft_answer, relative
from sqap_vla_ros.model.fused_blocks import _PlainProduct, fuse_blocks, FusedDecoderLayer, rotate
from sqap_vla_ros.model.llama import apply_rotary, LayerCache, rotary_tables
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch
from torch import nn


def both_ways(precision, kind='chunk', dtype=torch.float32, **options):
    """Return a quantized model with reference kernels, and one with fused blocks."""
    plain = make_model(kind)
    if precision != 'fp':
        quantize_model(plain, precision, **options)
    if dtype != torch.float32:
        plain.to(dtype)
    fused = copy.deepcopy(plain)
    prepare_kernels(plain, backend='reference')
    prepare_kernels(fused, backend='triton')
    return plain, fused, fuse_blocks(fused)


@pytest.mark.parametrize(('kind', 'keep'), [
    ('chunk', [0, 3, 4, 9]), ('tokens', [0, 3, 4, 9]), ('diffusion', None)])
def test_plain_blocks_give_the_same_answer_fused(kind, keep):
    plain, fused, count = both_ways('fp', kind)
    assert count == len(fused.llm.layers) == 3
    assert all(isinstance(layer, FusedDecoderLayer) for layer in fused.llm.layers)
    keep = None if keep is None else torch.tensor(keep)
    for expected, found in zip(answer(plain, keep=keep), answer(fused, keep=keep)):
        assert torch.allclose(found.float(), expected.float(), atol=1e-4)


@pytest.mark.parametrize('options', [
    {'precision': 'w4a16'}, {'precision': 'w8a8', 'per_token': False, 'rotate': False},
    {'precision': 'w4a4', 'qk_bits': 8, 'overrides': {'o_proj': 'w8a8', 'down_proj': 'fp'}}],
    ids=str)
def test_quantized_blocks_give_nearly_the_same_answer_fused(options):
    """Integers on the edge between two may fall either way, and later ones follow them."""
    plain, fused, count = both_ways(**options)
    assert count == 3
    expected, found = answer(plain)[0], answer(fused)[0]
    assert relative(found, expected) < 0.03


@torch.no_grad()
def test_blocks_in_which_every_token_sees_every_token_are_fused_too():
    """With two images, a state, placeholders of zeros, scores and dropped tokens."""
    plain = make_oft('regression')
    fused = copy.deepcopy(plain)
    prepare_kernels(plain, backend='reference')
    prepare_kernels(fused, backend='triton')
    assert fuse_blocks(fused) == 4
    assert not any(layer.layer.self_attn.causal for layer in fused.llm.layers)
    keep = torch.tensor([0, 3, 4, 9, 17, 30])
    expected, found = oft_answer(plain, keep), oft_answer(fused, keep)
    for name in ('scores', 'hidden', 'raw'):
        assert relative(found[name], expected[name]) < 1e-5, name


@torch.no_grad()
def test_dropped_tokens_follow_behind_fused_blocks_as_behind_plain_ones():
    plain, fused, _ = both_ways('w8a8')
    x, kept = torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(1)), [0, 3, 9]
    expected, found, gone = (
        model.prefill_kept(x, torch.tensor(kept), follow=follow)
        for model, follow in ((plain, True), (fused, True), (fused, False)))
    assert relative(found, expected) < 0.03 < relative(gone, expected)


def test_causal_and_full_blocks_are_tried_apart():
    forms = set()
    for model in (make_model('chunk'), make_oft('regression')):
        prepare_kernels(model)
        layer = model.llm.layers[0]
        layer.self_attn.config = make_model('chunk').llm.layers[0].self_attn.config
        forms.add(FusedDecoderLayer(layer).form)
    assert len(forms) == 2


@torch.no_grad()
def test_a_quantized_block_decodes_through_its_cache():
    plain, fused, _ = both_ways('w8a8', qk_bits=8)
    x = torch.randn(1, 12, 64, generator=torch.Generator().manual_seed(1))
    rotary, found = plain.llm.rotary(12, x), []
    for model in (plain, fused):
        cache = LayerCache(3)
        for first, last in ((0, 10), (10, 11), (11, 12)):
            y, _ = model.llm.layers[0](
                x[:, first:last], *(table[first:last] for table in rotary), cache=cache)
            found.append(y)
        assert cache.length == 12
    for one, other in zip(found[:3], found[3:]):
        assert relative(other, one) < 0.02


@torch.no_grad()
@pytest.mark.parametrize('options', [
    {'precision': 'fp'}, {'precision': 'w4a4t8', 'qk_bits': 8}], ids=str)
def test_a_fused_block_computes_the_rows_that_are_read(options):
    """In the last block, whose queries are apart, and in one that has them beside keys."""
    _, fused, _ = both_ways(**options)
    x = torch.randn(2, 12, 64, generator=torch.Generator().manual_seed(1))
    rotary = [table[:12] for table in fused.llm.rotary(12, x)]
    for index, read in ((1, range(4, 6)), (2, range(9, 12))):
        every, scores = fused.llm.layers[index](x, *rotary, read, visual=VisualRows(12, 2, 3))
        cache = LayerCache(1)
        some, found = fused.llm.layers[index](x, *rotary, read, cache, VisualRows(12, 2, 3), read)
        assert fused.llm.layers[index].is_last == (index == 2) and cache.length == 12
        assert relative(some, every[:, read.start:read.stop]) < 1e-6
        assert torch.allclose(found, scores, atol=1e-7)


@torch.no_grad()
def test_the_attention_that_pruning_reads_is_the_same_fused():
    plain, fused, _ = both_ways('fp')
    x = torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(1))
    before, scores = plain.prefill_full(x)
    after, found = fused.prefill_full(x)
    assert torch.allclose(after, before, atol=1e-5)
    assert torch.allclose(found, scores, atol=1e-6) and scores.std() > 0


def test_16_bit_blocks_are_near_the_plain_ones():
    """
    Gross errors only: the interpreter cuts bfloat16 off where a device rounds.

    benchmarks/gpu/checks.py compares the rounding, on a device.
    """
    plain, fused, _ = both_ways('fp', dtype=torch.bfloat16)
    x = torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.no_grad():
        (before, _), (after, _) = plain.prefill_full(x), fused.prefill_full(x)
    assert after.dtype == torch.bfloat16
    assert relative(after.float(), before.float()) < 0.01


@torch.no_grad()
@pytest.mark.parametrize('precision', ['fp', 'w4a4'])
def test_what_a_block_reads_is_left_as_it_was(precision):
    _, fused, _ = both_ways(precision)
    x = torch.randn(1, 12, 64, generator=torch.Generator().manual_seed(1))
    before = x.clone()
    first, _ = fused.llm.layers[0](x, *fused.llm.rotary(12, x))
    second, _ = fused.llm.layers[0](x, *fused.llm.rotary(12, x))
    assert torch.equal(x, before) and torch.equal(first, second)
    assert first.data_ptr() not in (x.data_ptr(), second.data_ptr())


@torch.no_grad()
@pytest.mark.parametrize('may_overwrite', [True, False])
def test_a_plain_product_adds_to_the_residual_in_place_only_where_it_may(may_overwrite):
    layer = nn.Linear(8, 6, bias=False)
    x, residual = torch.randn(5, 8), torch.randn(5, 6)
    expected, before = residual + layer(x), residual.clone()
    found = _PlainProduct([layer])(x, residual=residual, may_overwrite=may_overwrite)
    assert torch.allclose(found, expected, atol=1e-6)
    assert (found is residual) == may_overwrite
    assert torch.equal(residual, before) != may_overwrite


def test_a_block_that_cannot_be_fused_is_left_and_the_reason_is_told(caplog):
    _, fused, count = both_ways('w4a4', overrides={'layers.1.self_attn.q_proj': 'w8a8'})
    assert count == 2 and not isinstance(fused.llm.layers[1], FusedDecoderLayer)
    warnings = [record.getMessage() for record in caplog.records
                if record.levelno == logging.WARNING]
    assert any('1 of 3 decoder blocks run unfused' in text and 'different ways' in text
               for text in warnings)
    assert torch.isfinite(answer(fused)[0]).all()


@pytest.mark.parametrize('precision', ['fp', 'w8a8'])
def test_a_dropped_model_frees_its_weights_at_once(precision):
    plain, fused, _ = both_ways(precision)
    del plain
    block = fused.llm.layers[0]
    products = *block._projections, block._gate_up, block._out, block._down
    held = [weakref.ref(product._transposed if precision == 'fp' else product._kernel.weight)
            for product in products]
    answer(fused)
    gc.disable()
    try:
        del block, products, fused
        assert not any(reference() is not None for reference in held)
    finally:
        gc.enable()


def test_plain_layers_go_on_holding_their_weights_but_not_twice():
    _, fused, _ = both_ways('fp')
    attention = fused.llm.layers[0].layer.self_attn
    starts = {layer.weight.untyped_storage().data_ptr()
              for layer in (attention.q_proj, attention.k_proj, attention.v_proj)}
    assert len(starts) == 1
    expected = make_model('chunk').llm.layers[0].self_attn
    assert torch.equal(attention.k_proj.weight, expected.k_proj.weight)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(('heads', 'groups', 'width'), [(4, 4, 16), (20, 5, 12)])
@pytest.mark.parametrize('cached', [False, True])
def test_rotation_equals_the_plain_one(cached, heads, groups, width, dtype):
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(2, 7, heads + 2 * groups, width, generator=generator).to(dtype)
    cos, sin = (table.to(dtype) for table in rotary_tables(
        torch.tensor([0, 1, 2, 5, 9, 30, 31]), width, 10000.0))
    q, k, v = qkv.clone().transpose(1, 2).split([heads, groups, groups], dim=1)
    expected = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin), v
    cache = LayerCache(3) if cached else None
    found = rotate(qkv, cos, sin, heads, cache)
    # the interpreter cuts bfloat16 off where a GPU rounds it
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 0.06}[dtype]
    for one, other in zip(found, expected):
        assert torch.allclose(one, other, rtol=0, atol=tolerance)
    if cached:
        assert cache.length == 7
        more = torch.randn(2, 1, heads + 2 * groups, width, generator=generator).to(dtype)
        _, keys, values = rotate(more.clone(), cos[3:4], sin[3:4], heads, cache)
        assert keys.shape == values.shape == (2, groups, 8, width) and cache.length == 8
        assert torch.allclose(keys[:, :, :7], expected[1], rtol=0, atol=tolerance)
        assert torch.equal(values[:, :, 7], more[:, 0, heads + groups:])
