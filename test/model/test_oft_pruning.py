# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Dropping patches of several images where every token sees every token, before and behind it."""
from dataclasses import replace

import numpy as np
import pytest
from sqap_vla_ros.model.llama import apply_rotary, LlamaConfig
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vit import ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch
from torch.nn import functional as F

SIZE, TEXT = 16, 7  # patches of an image; ids behind BOS, the stop token among them
CONFIG = VLAConfig(
    vision=ViTConfig(image_size=16, patch_size=4, width=16, depth=1, heads=2, mlp_width=32),
    llm=LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=64, num_layers=4,
                    num_heads=4, num_kv_heads=2),
    head=OFTHeadConfig(chunk_length=3, action_dim=2, width=16),
    text_length=0, state_dim=3, images=2, attention='full', state_hidden=16)


def made(images=2, reads='regression', prune_layer=2, seed=0):
    torch.manual_seed(seed)
    head = replace(CONFIG.head, reads=reads, training_steps=6, ddim_steps=6)
    model = VLA(replace(CONFIG, images=images, head=head, prune_layer=prune_layer)).eval()
    for weight in model.llm.parameters():
        weight.data.mul_(1.5)  # attention that is far from uniform
    return model


def embedded(model, seed=1):
    """Return the decoder's input of random images, instruction, state and noise."""
    generator = torch.Generator().manual_seed(seed)
    images = model.config.images
    visual = torch.randn(1, images * SIZE, 32, generator=generator)
    ids = torch.randint(3, 40, (1, 1 + TEXT), generator=generator)
    state = torch.randn(1, 3, generator=generator)
    noisy = torch.randn(1, 3, 2, generator=generator) if model.config.head.diffuses else None
    return model.embed(visual, ids, state, noisy)


def some(images, seed=2):
    """Return about half of the patches, sorted: few of the first image, most of the others."""
    draw = np.random.default_rng(seed).random((images, SIZE))
    draw[0] += 0.4
    return torch.from_numpy(np.flatnonzero(draw < 0.6))


def masked(model, x, kept):
    """Return what the head reads if dropped patches stay, and are seen by nobody behind."""
    config, length = model.config, x.shape[1]
    dropped = torch.ones(length, dtype=torch.bool)
    dropped[0] = dropped[1 + config.num_visual:] = False
    dropped[1 + kept] = False
    cos, sin = (table[:length] for table in model.llm.rotary(length, x))
    for index, layer in enumerate(model.llm.layers):
        attention, normed = layer.self_attn, layer.input_layernorm(x)
        q, k, v = (part(normed).view(1, length, -1, config.llm.head_dim).transpose(1, 2)
                   for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        q, k = (apply_rotary(part, cos, sin) for part in (q, k))
        repeats = config.llm.num_heads // config.llm.num_kv_heads
        k, v = (part.repeat_interleave(repeats, dim=1) for part in (k, v))
        logits = q @ k.transpose(2, 3) / config.llm.head_dim ** 0.5
        if index >= config.prune_layer:
            logits[..., dropped] = float('-inf')
        out = (logits.softmax(-1) @ v).transpose(1, 2).reshape(1, length, -1)
        x = x + attention.o_proj(out)
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    rows = config.head.rows(length)
    return F.rms_norm(x[:, rows.start:rows.stop], (32,), model.llm.norm.weight,
                      config.llm.rms_norm_eps)


@pytest.mark.parametrize('images', [1, 2, 3])
@pytest.mark.parametrize('reads', ['regression', 'diffusion'])
@pytest.mark.parametrize('prune_layer', [1, 2, 4])
@torch.no_grad()
def test_dropped_patches_are_as_if_masked_for_every_token(images, reads, prune_layer):
    model = made(images, reads, prune_layer)
    x, kept = embedded(model), some(images)
    half, _ = model.prefill_full(x, scored=False)
    found = model.prefill_kept(half, kept)
    torch.testing.assert_close(found, masked(model, x, kept), rtol=0, atol=2e-5)
    everything = model.prefill_kept(half, torch.arange(images * SIZE))
    torch.testing.assert_close(everything, model.prefill_kept(half, None), rtol=0, atol=1e-6)
    is_near = torch.allclose(found, everything, rtol=0, atol=2e-5)
    assert is_near == (prune_layer == model.config.llm.num_layers)


@torch.no_grad()
def test_scores_are_of_the_prompt_and_of_the_rows_that_are_read():
    model = made()
    x = embedded(model)
    length = x.shape[1]
    rows = model.config.score_rows(length)
    assert rows == range(1 + 2 * SIZE + 1, length - 2)  # behind the state, without the last of 6
    text = x[0, rows.start:length - 7]
    assert (text.abs().amax(1) > 0).all() and not x[0, length - 7:length - 1].any()
    _, found = model.prefill_full(x)
    _, expected = model.llm.run(x, torch.arange(length), 0, 2, rows)
    torch.testing.assert_close(found, expected[:, 1:1 + 2 * SIZE])
    other = x.clone()
    other[0, rows.start] += 1.0  # another word
    assert (model.prefill_full(other)[1] - found).abs().max() > 1e-3


@torch.no_grad()
def test_attention_of_the_placeholders_is_uniform_in_the_first_block():
    model = made(prune_layer=1)
    x = embedded(model)
    length = x.shape[1]
    zeros = range(length - 7, length - 1)
    _, scores = model.llm.run(x, torch.arange(length), 0, 1, zeros)
    torch.testing.assert_close(scores, torch.full_like(scores, 1 / length))
    _, scores = model.prefill_full(x)
    assert scores.max() > 2 * scores.min()
