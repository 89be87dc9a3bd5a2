# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotation and quantization of models with each kind of head, pruned and through the cache."""
import copy

import pytest
from sqap_vla_ros.model.dit import DiffusionHeadConfig
from sqap_vla_ros.model.heads import ChunkHeadConfig, TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.vit import ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
from sqap_vla_ros.quant import (
    packed_state, prepare_kernels, quantize_model, QuantLinear, restore_quantized)
from test_quant_rotate import relative
import torch

HEADS = {
    'chunk': ChunkHeadConfig(chunk_length=3),
    'tokens': TokenHeadConfig(action_dim=4, bins=32, vocab_end=90),
    'diffusion': DiffusionHeadConfig(chunk_length=5, width=32, depth=2, heads=2, mlp_width=64,
                                     guidance=1.5),
}


def make_model(kind, kv_heads=2):
    """Return a small VLA with that head, whose norms and condition are not trivial."""
    torch.manual_seed(0)
    model = VLA(VLAConfig(
        vision=ViTConfig(image_size=56, width=32, depth=1, heads=2, mlp_width=64),
        llm=LlamaConfig(vocab_size=96, hidden_size=64, intermediate_size=96, num_layers=3,
                        num_heads=4, num_kv_heads=kv_heads),
        head=HEADS[kind], text_length=5, state_dim=0)).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return model


@torch.no_grad()
def answer(model, seed=0, keep=None):
    """Return the head's input and raw output for a random image, as inference computes them."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(1, 3, 56, 56, generator=generator)
    token_ids = torch.arange(1, 7)[None]
    noise = torch.randn(1, 5, 7, generator=torch.Generator().manual_seed(9))
    caches = model.make_caches()
    x = model.embed(model.encode_image(pixels), token_ids)
    length = x.shape[1]
    x, _ = model.prefill_full(x, caches)
    hidden = model.prefill_kept(x, keep, caches)
    return hidden, model.answer(hidden, length, caches, noise)


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('kv_heads', [4, 2])
@pytest.mark.parametrize('keep', [None, [0, 3, 4, 9]])
@torch.no_grad()
def test_in_full_precision_the_rotated_model_is_the_plain_one(kind, kv_heads, keep):
    plain = make_model(kind, kv_heads)
    rotated = copy.deepcopy(plain)
    record = quantize_model(rotated, 'fp')
    assert record['rotation']['unrotated_final'] is (kind == 'diffusion')
    keep = None if keep is None else torch.tensor(keep)
    hidden, expected = answer(plain, keep=keep)
    found_hidden, found = answer(rotated, keep=keep)
    if kind == 'tokens':
        assert torch.equal(found, expected)
        assert relative(rotated.head(found_hidden), plain.head(hidden)) < 1e-4
    else:
        assert relative(found, expected) < 1e-4
    if kind == 'diffusion':  # its learned condition is not rotated, so neither is the vector
        assert relative(found_hidden, hidden) < 1e-4


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('options', [
    {'precision': 'w4a4', 'qk_bits': 4}, {'precision': 'w4a16', 'group_size': 16},
    {'precision': 'fp', 'overrides': {'vision': 'w8a8', 'projector': 'w8a8', 'head': 'w8a8'}}])
def test_every_head_comes_back_from_packed_weights(kind, options):
    model = make_model(kind)
    record = quantize_model(model, **options)
    with torch.device('meta'):
        again = VLA(model.config).eval()
    restore_quantized(again, record, packed_state(model))
    for one in (model, again):
        prepare_kernels(one, backend='reference')
    assert torch.equal(answer(again)[1], answer(model)[1])
    assert any(isinstance(module, QuantLinear) for module in again.modules())


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('precision', ['w8a8', 'w4a8', 'w4a4'])
def test_two_images_give_two_answers_after_quantization(kind, precision):
    model = make_model(kind)
    quantize_model(model, precision)
    hidden, raw = answer(model, seed=0)
    other_hidden, other = answer(model, seed=1)
    assert relative(other_hidden, hidden) > 1e-3
    if kind != 'tokens':  # four tokens of a random model may well be the same
        assert relative(other, raw) > 1e-4


@pytest.mark.parametrize('kind', HEADS)
def test_8_bits_are_near_full_precision(kind):
    plain = make_model(kind)
    model = copy.deepcopy(plain)
    quantize_model(model, 'w8a8', rotate=False, overrides={'vision': 'w8a8'})
    assert relative(answer(model)[0], answer(plain)[0]) < 0.1
