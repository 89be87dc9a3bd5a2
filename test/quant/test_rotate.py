# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""In full precision the rotated model is the plain one."""
import copy

import pytest
from small_models import make_input, make_vla, relative
from sqap_vla_ros.quant.rotate import ResidualStream, rotate_model, vla_stream
import torch
from torch import nn


@pytest.mark.parametrize(('heads', 'kv_heads', 'width', 'state_dim'), [
    (4, 4, 64, 8), (4, 2, 64, 8), (4, 1, 64, 0), (3, 3, 72, 8), (6, 2, 96, 8)])
@torch.inference_mode()
def test_rotated_equals_plain(heads, kv_heads, width, state_dim):
    plain = make_vla(heads, kv_heads, width, state_dim)
    rotated = copy.deepcopy(plain)
    record = rotate_model(vla_stream(rotated), seed=5)
    inputs = make_input(plain)
    assert relative(rotated(*inputs)[0], plain(*inputs)[0]) < 1e-4
    kind = 'hadamard' if width == 64 else 'orthogonal'
    assert record == {'residual': kind, 'seed': 5, 'unrotated_final': False,
                      'value_block': (width // heads) & -(width // heads)}


@torch.inference_mode()
def test_every_stage_is_rotated_and_the_scores_are_not():
    plain = make_vla()
    rotated = copy.deepcopy(plain)
    rotate_model(vla_stream(rotated))
    pixels, token_ids, state = make_input(plain)
    x = {}
    for name, model in (('plain', plain), ('rotated', rotated)):
        x[name] = model.embed(model.encode_image(pixels), token_ids, state)
    assert relative(x['rotated'], x['plain']) > 0.5
    assert torch.allclose(x['rotated'].norm(dim=-1), x['plain'].norm(dim=-1), rtol=1e-4)
    after, scores = plain.prefill_full(x['plain'])
    after_rotated, scores_rotated = rotated.prefill_full(x['rotated'])
    assert torch.allclose(scores_rotated, scores, rtol=1e-3, atol=1e-6)
    kept = torch.tensor([0, 3, 4, 9])
    found = rotated.head(rotated.prefill_kept(after_rotated, kept))
    assert relative(found, plain.head(plain.prefill_kept(after, kept))) < 1e-4


@torch.inference_mode()
def test_a_head_that_is_not_linear_gets_the_unrotated_vector():
    plain = make_vla()
    rotated = copy.deepcopy(plain)
    stream = vla_stream(rotated)
    stream.readers = None
    assert rotate_model(stream)['unrotated_final']
    inputs = make_input(plain)
    _, _, expected = plain(*inputs)
    actions, _, found = rotated(*inputs)
    assert relative(found, expected) < 1e-4
    assert relative(actions, plain(*inputs)[0]) < 1e-4


@pytest.mark.parametrize(('kv_heads', 'tied', 'bias'), [
    (4, False, False), (2, True, False), (1, False, True)])
@torch.inference_mode()
def test_transformers_llama_gives_the_same_logits(kv_heads, tied, bias):
    transformers = pytest.importorskip('transformers', reason='the oracle is transformers')
    plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=40, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=kv_heads, tie_word_embeddings=tied,
        attention_bias=bias, mlp_bias=bias)).eval()
    for parameter in plain.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    ids = torch.randint(0, 40, (2, 11))
    expected = plain(ids).logits
    rotated = copy.deepcopy(plain)
    rotate_model(ResidualStream(
        rotated.model.layers, rotated.model, 'norm', 16, [rotated.model.embed_tokens],
        [rotated.lm_head]))
    assert relative(rotated(ids).logits, expected) < 1e-4


@torch.inference_mode()
def test_rotation_spreads_outliers_of_the_residual_stream():
    model = make_vla()
    model.llm.embed_tokens.weight.data[:, 7] += 30.0
    x = model.llm.embed_tokens.weight.data.clone()
    rotate_model(vla_stream(model))
    y = model.llm.embed_tokens.weight.data
    assert y.abs().max() < 0.6 * x.abs().max()


def test_reading_layers_that_are_tied_are_untied():
    embedding, head = nn.Embedding(10, 16), nn.Linear(16, 10, bias=False)
    head.weight = embedding.weight
    owner = nn.Module()
    owner.norm = nn.RMSNorm(16)
    rotate_model(ResidualStream([], owner, 'norm', 4, [embedding], [head]))
    assert head.weight is not embedding.weight
