# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotation and quantization of models with each kind of head, pruned and through the cache."""
import copy

import pytest
from small_models import answer, HEADS, make_model, relative
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.quant import (
    packed_state, prepare_kernels, quantize_model, quantized_shell, QuantLinear)
import torch


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
        again = VLA(model.config).eval().requires_grad_(False)
    quantized_shell(again, record)
    again.load_state_dict(packed_state(model), assign=True)
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
