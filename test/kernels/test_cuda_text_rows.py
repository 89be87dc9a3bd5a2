# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Activation bits by kind of row on the GPU's kernels, in Triton's interpreter."""
import copy
import dataclasses

import cuda_interpreter  # noqa: F401, I100, I202
from kernel_layers import random_layer
import pytest
from small_models import answer, make_model, relative
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.cuda.linear import TritonKernel
from sqap_vla_ros.kernels.cuda.quantize import quantize_rows
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.model import fused_blocks
from sqap_vla_ros.model.llama import LayerCache
from sqap_vla_ros.numerics.int4 import quantize_activation
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch

ROWS = (VisualRows(12, 1, 9), VisualRows(6, 1, 4), VisualRows(6, 0, 6), VisualRows(40, 1, 32),
        None)


def randoms(*shape, seed=0):
    """Return values with outliers, as a decoder's are."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    values[:, 3] *= 30
    return values


def mask_of(visual, rows):
    return torch.zeros(rows, dtype=torch.bool) if visual is None else visual.mask(rows)


@pytest.mark.parametrize('visual', ROWS, ids=str)
@pytest.mark.parametrize('form', ['plain', 'norm', 'gate', 'Hadamard'])
def test_a_row_has_the_bits_that_its_kind_alone_would_give(form, visual):
    """To the last bit: norm, gate and Hadamard are the same for both kinds."""
    x, other = randoms(12, 64), randoms(12, 64, seed=1)
    options = {'plain': {}, 'norm': {'norm_weight': other[0], 'eps': 1e-5},
               'gate': {'gate': other}, 'Hadamard': {'block': 16}}[form]
    integers, scale = quantize_rows(x, 4, text_bits=8, visual=visual, **options)
    few, many = (quantize_rows(x, bits, **options) for bits in (4, 8))
    visible = mask_of(visual, 12)
    assert torch.equal(integers, torch.where(visible[:, None], few[0], many[0]))
    assert torch.equal(scale, torch.where(visible, few[1], many[1]))
    if form == 'plain':
        kept = (quantize_activation(x, bits) for bits in (4, 8))
        first, second = (torch.cat([found.float(), by.float()], 1) for found, by in kept)
        assert torch.equal(torch.cat([integers.float(), scale[:, None]], 1),
                           torch.where(visible[:, None], first, second))


@pytest.mark.parametrize(('rows', 'visual'), [
    (3, VisualRows(3, 1, 1)), (1, None), (10, VisualRows(5, 1, 3))], ids=str)
@torch.inference_mode()
def test_layers_have_the_bits_of_layers_of_one_kind(rows, visual):
    spec = LinearSpec(64, 8, 4, 4, text_bits=8)
    layer, x = random_layer(spec), randoms(rows, 64)
    few, many = (TritonKernel(dataclasses.replace(spec, act_bits=bits, text_bits=0), *layer)
                 for bits in (4, 8))
    visible = mask_of(visual, rows)[:, None]
    kernel, residual = TritonKernel(spec, *layer), randoms(rows, 8)
    found = kernel(x, visual)
    assert torch.equal(found, torch.where(visible, few(x), many(x)))
    assert torch.allclose(found, ReferenceKernel(spec, *layer)(x, visual), rtol=1e-6, atol=1e-4)
    assert torch.allclose(kernel(x, visual, residual), found + residual, atol=1e-4)


def both_ways(model):
    """Return a model quantized to w4a4t8 with reference kernels, and with fused blocks."""
    quantize_model(model, 'w4a4t8')
    fused = copy.deepcopy(model)
    prepare_kernels(model, backend='reference')
    prepare_kernels(fused, backend='triton')
    assert fused_blocks.fuse_blocks(fused) == len(fused.llm.layers)
    return model, fused


@torch.no_grad()
def test_every_product_of_a_fused_block_is_told_which_rows_are_visual(monkeypatch):
    """Those of a batch of two, and of a token that is decoded behind a prompt: none."""
    plain, fused = both_ways(make_model('chunk'))
    calls, working = [], fused_blocks.quantize_rows
    monkeypatch.setattr(fused_blocks, 'quantize_rows', lambda *given, **options: (
        calls.append((options['text_bits'], options['visual'])) or working(*given, **options)))
    x = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(1))
    visual, found = VisualRows(5, 1, 3), []
    for model in (plain, fused):
        cache = LayerCache(1)
        for first, last, seen in ((0, 5, visual), (5, 6, None)):
            rotary = (table[first:last] for table in plain.llm.rotary(6, x))
            found.append(model.llm.layers[0](x[:, first:last], *rotary, None, cache, seen)[0])
    assert calls == 4 * [(8, visual)] + 4 * [(8, None)]
    assert relative(found[2], found[0]) < 0.003 and relative(found[3], found[1]) < 0.003


def test_an_answer_of_kept_tokens_is_the_same_from_fused_blocks():
    plain, fused = both_ways(make_model('chunk'))
    keep = torch.tensor([0, 3, 4, 9])
    assert relative(answer(fused, keep=keep)[0], answer(plain, keep=keep)[0]) < 0.03
