# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks against transformers' own, and pruning against not pruning."""
import dataclasses

import pytest
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.kernels import attention
from sqap_vla_ros.model.heads import ChunkHeadConfig
from sqap_vla_ros.model.llama import Llama, LlamaConfig
from sqap_vla_ros.model.prompt import Prompt, word_tokenizer
from sqap_vla_ros.model.vit import ViT, ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch

TINY = VLAConfig(
    vision=ViTConfig(image_size=56, patch_size=14, width=64, depth=2, heads=2, mlp_width=128),
    llm=LlamaConfig(vocab_size=16, hidden_size=64, intermediate_size=128, num_layers=4,
                    num_heads=4, num_kv_heads=2),
    head=ChunkHeadConfig(chunk_length=3, action_dim=7), text_length=5, state_dim=8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VLA(TINY).eval()


def make_input(model, batch=2):
    generator = torch.Generator().manual_seed(1)
    size = model.config.vision.image_size
    pixels = torch.randn(batch, 3, size, size, generator=generator)
    token_ids = torch.randint(0, 16, (batch, 1 + model.config.text_length), generator=generator)
    return pixels, token_ids, torch.randn(batch, 8, generator=generator)


@pytest.mark.parametrize(('kv_heads', 'causal'), [(1, True), (2, True), (4, True), (2, False)])
@torch.inference_mode()
def test_decoder_equals_transformers_llama(kv_heads, causal):
    transformers = pytest.importorskip('transformers', reason='the oracle is transformers')
    config = LlamaConfig(vocab_size=50, hidden_size=64, intermediate_size=96, num_layers=3,
                         num_heads=4, num_kv_heads=kv_heads, rms_norm_eps=1e-5,
                         rope_theta=5000.0)
    oracle = transformers.LlamaModel(transformers.LlamaConfig(
        vocab_size=50, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=kv_heads, rms_norm_eps=1e-5,
        rope_parameters={'rope_type': 'default', 'rope_theta': 5000.0},
        attn_implementation='eager')).eval()
    for parameter in oracle.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = Llama(config, causal).eval()
    ours.load_state_dict(oracle.state_dict())
    ids, nothing_hidden = torch.randint(0, 50, (2, 17)), torch.zeros(2, 1, 17, 17)
    expected = oracle(ids, attention_mask=None if causal else nothing_hidden,
                      output_attentions=True)
    x = ours.embed_tokens(ids)
    assert torch.allclose(ours(x, torch.arange(17)), expected.last_hidden_state, atol=2e-5)
    # the rows that pruning reads are rows of transformers' attention map
    for rows in (range(12, 13), range(9, 17)):
        _, scores = ours.run(x, torch.arange(17), 0, 2, score_rows=rows)
        exact = expected.attentions[1][:, :, rows.start:rows.stop].mean((1, 2))
        assert torch.allclose(scores, exact, atol=1e-6)


@torch.inference_mode()
def test_vision_transformer_equals_transformers_siglip():
    transformers = pytest.importorskip('transformers', reason='the oracle is transformers')
    oracle = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(
        hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4,
        image_size=56, patch_size=14, hidden_act='gelu', layer_norm_eps=1e-6,
        vision_use_head=False)).eval()
    for parameter in oracle.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = ViT(ViTConfig(56, 14, 64, 2, 4, 112)).eval()
    ours.load_state_dict(_timm_names(oracle.state_dict()))
    pixels = torch.randn(2, 3, 56, 56)
    assert torch.allclose(ours(pixels), oracle(pixels).last_hidden_state, atol=2e-5)


def _timm_names(state):
    """Rename transformers' SigLIP parameters to timm's."""
    state = {name.removeprefix('vision_model.'): value for name, value in state.items()}
    out = {'patch_embed.proj.weight': state['embeddings.patch_embedding.weight'],
           'patch_embed.proj.bias': state['embeddings.patch_embedding.bias'],
           'pos_embed': state['embeddings.position_embedding.weight'][None]}
    pairs = {'layer_norm1': 'norm1', 'layer_norm2': 'norm2', 'self_attn.out_proj': 'attn.proj',
             'mlp.fc1': 'mlp.fc1', 'mlp.fc2': 'mlp.fc2'}
    for kind in ('weight', 'bias'):
        out[f'norm.{kind}'] = state[f'post_layernorm.{kind}']
        for block in range(2):
            theirs, ours = f'encoder.layers.{block}.', f'blocks.{block}.'
            for old, new in pairs.items():
                out[f'{ours}{new}.{kind}'] = state[f'{theirs}{old}.{kind}']
            out[f'{ours}attn.qkv.{kind}'] = torch.cat(
                [state[f'{theirs}self_attn.{part}_proj.{kind}'] for part in 'qkv'])
    return out


@torch.inference_mode()
def test_keeping_all_tokens_equals_not_pruning(model):
    pixels, token_ids, state = make_input(model)
    expected, _, _ = model(pixels, token_ids, state)
    x, scores = model.prefill_full(model.embed(model.encode_image(pixels), token_ids, state))
    assert scores.shape == (2, 16) and (scores > 0).all() and (scores.sum(1) < 1).all()
    for kept in (None, torch.arange(16)):
        actions = model.head(model.prefill_kept(x, kept))
        assert torch.allclose(actions, expected, atol=1e-5)


@torch.inference_mode()
def test_tokens_are_scored_by_what_the_head_reads(model):
    pixels, token_ids, state = make_input(model)
    x = model.embed(model.encode_image(pixels), token_ids, state)
    _, scores = model.prefill_full(x)
    positions, queries = torch.arange(x.shape[1]), model.head.num_queries
    rows = range(x.shape[1] - queries, x.shape[1])
    assert queries == 3
    assert torch.equal(scores, model.llm.run(x, positions, 0, 2, rows)[1][:, 1:17])


@torch.inference_mode()
def test_pruned_tokens_have_no_influence_on_later_layers(model):
    pixels, token_ids, state = make_input(model, batch=1)
    x, _ = model.prefill_full(model.embed(model.encode_image(pixels), token_ids, state))
    kept = torch.tensor([0, 3, 9])
    before = model.prefill_kept(x, kept)
    changed = x.clone()
    changed[:, 1 + 5] += 10.0
    assert torch.equal(model.prefill_kept(changed, kept), before)
    changed[:, 1 + 9] += 10.0
    assert not torch.allclose(model.prefill_kept(changed, kept), before, atol=1e-3)


@torch.inference_mode()
def test_kept_tokens_stay_at_their_rotary_positions(model):
    """A decoder with a mask over the pruned keys is the oracle of dropping them."""
    pixels, token_ids, state = make_input(model, batch=1)
    x, _ = model.prefill_full(model.embed(model.encode_image(pixels), token_ids, state))
    kept = torch.tensor([1, 2, 7, 15])
    length, first = x.shape[1], 1
    visible = torch.ones(length, dtype=torch.bool)
    visible[first:first + 16] = False
    visible[first + kept] = True
    mask = torch.tril(torch.ones(length, length, dtype=torch.bool)) & visible[None]
    mask |= torch.eye(length, dtype=torch.bool)
    expected = _masked_run(model, x, mask)
    assert torch.allclose(model.prefill_kept(x, kept), expected, atol=1e-5)


def _masked_run(model, x, mask):
    from unittest import mock
    plain = torch.nn.functional.scaled_dot_product_attention

    def masked(q, k, v, is_causal, enable_gqa):
        return plain(q, k, v, attn_mask=mask, enable_gqa=enable_gqa)
    with mock.patch.object(torch.nn.functional, 'scaled_dot_product_attention', masked), \
            mock.patch.object(attention, 'native_reason', return_value='off'):
        out, _ = model.llm.run(x, torch.arange(x.shape[1]), 2, 4)
    return model.llm.norm(out[:, -3:])


@torch.inference_mode()
def test_two_images_two_instructions_and_two_states_give_different_actions(model):
    pixels, token_ids, state = make_input(model)
    base, _, _ = model(pixels[:1], token_ids[:1], state[:1])
    for other in ((pixels[1:], token_ids[:1], state[:1]), (pixels[:1], token_ids[1:], state[:1]),
                  (pixels[:1], token_ids[:1], state[1:])):
        assert (model(*other)[0] - base).abs().max() > 1e-4


def test_the_coarse_grid_of_training_keeps_the_text_where_it_is(model):
    pixels, token_ids, state = make_input(model)
    actions, visual, summary = model(pixels, token_ids, state, pool=2)
    assert visual.shape == (2, 4, 64) and actions.shape == (2, 3, 7) and summary.shape == (2, 64)


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match='prune_layer 9'):
        dataclasses.replace(TINY, prune_layer=9)
    with pytest.raises(ConfigError, match='num_kv_heads 3'):
        LlamaConfig(hidden_size=64, num_heads=4, num_kv_heads=3)
    with pytest.raises(ConfigError, match='at least patch_size 15'):
        ViTConfig(image_size=14, patch_size=15)
    with pytest.raises(ConfigError, match='width 250 / heads 4'):
        ViTConfig(width=250)
    with pytest.raises(ConfigError, match='stem'):
        ViTConfig(stem='wavelet')


def test_a_prompt_has_one_length_and_ends_with_the_action_token():
    tokenizer = word_tokenizer(['put the bowl on the stove', 'open the drawer'])
    prompt = Prompt(tokenizer, 8)
    ids = prompt.encode('Open the BOWL')
    assert len(ids) == 8 and ids[-1] == tokenizer.token_to_id('<act>')
    assert ids[:3] == [tokenizer.token_to_id(word) for word in ('open', 'the', 'bowl')]
    with pytest.raises(ObservationError, match='empty'):
        prompt.encode('   ')
    with pytest.raises(ObservationError, match="'banana'"):
        prompt.encode('open the banana')
    with pytest.raises(ObservationError, match='8 tokens'):
        prompt.encode('the the the the the the the the')
