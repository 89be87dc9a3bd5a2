# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Small networks of random weights with each kind of head, and inputs for them."""
from sqap_vla_ros.model.dit import DiffusionHeadConfig
from sqap_vla_ros.model.heads import ChunkHeadConfig, TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vit import ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch

HEADS = {
    'chunk': ChunkHeadConfig(chunk_length=3),
    'tokens': TokenHeadConfig(action_dim=4, bins=32, vocab_end=90),
    'diffusion': DiffusionHeadConfig(chunk_length=5, width=32, depth=2, heads=2, mlp_width=64,
                                     guidance=1.5),
}


def make_model(kind, kv_heads=2, heads=4, width=64, vocab_size=96, state_dim=0, inner=96):
    """Return a small VLA with that head, whose norms, biases and condition are not trivial."""
    torch.manual_seed(0)
    model = VLA(VLAConfig(
        vision=ViTConfig(image_size=56, width=32, depth=1, heads=2, mlp_width=64),
        llm=LlamaConfig(vocab_size=vocab_size, hidden_size=width, intermediate_size=inner,
                        num_layers=3, num_heads=heads, num_kv_heads=kv_heads),
        head=HEADS[kind], text_length=5, state_dim=state_dim)).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return model


def make_vla(heads=4, kv_heads=2, width=64, state_dim=8):
    """Return a small VLA as this package trains them, of few words."""
    return make_model('chunk', kv_heads, heads, width, 16, state_dim)


def make_input(model, batch=2):
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(batch, 8, generator=generator) if model.config.state_dim else None
    return (torch.randn(batch, 3, 56, 56, generator=generator),
            torch.randint(0, 16, (batch, 6), generator=generator), state)


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


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


def make_oft(reads, film=False, state_dim=8, width=64, heads=4, kv_heads=2):
    """Return a small OpenVLA-OFT of two images, of 4 x 4 patches each, none of it trivial."""
    torch.manual_seed(0)
    model = VLA(VLAConfig(
        vision=ViTConfig(image_size=56, width=32, depth=2, heads=2, mlp_width=64),
        llm=LlamaConfig(vocab_size=96, hidden_size=width, intermediate_size=96, num_layers=4,
                        num_heads=heads, num_kv_heads=kv_heads),
        head=OFTHeadConfig(3, 4, reads, 48, training_steps=6, ddim_steps=3, bins=32, vocab_end=90),
        text_length=0, state_dim=state_dim, images=2, attention='full',
        state_hidden=width if state_dim else 0, film=film)).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return model


@torch.no_grad()
def oft_answer(model, keep=None):
    """Return visual tokens, scores, the first step's hidden states and the raw answer, by name."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 6, 56, 56, generator=generator)
    token_ids, noise = torch.arange(1, 9)[None], torch.randn(1, 3, 4, generator=generator)
    state = torch.randn(1, 8, generator=generator) if model.config.state_dim else None
    visual = model.encode_image(pixels, condition=model.condition(token_ids))

    def run(noisy, step):
        x = model.embed(visual, token_ids, state, noisy, step)
        x, scores = model.prefill_full(x)
        return model.prefill_kept(x, keep), scores, x.shape[1]
    hidden, scores, length = run(noise, 0)
    raw = model.answer(hidden, length, None, noise, lambda noisy, step: run(noisy, step)[0])
    found = {'visual': visual, 'scores': scores, 'hidden': hidden, 'raw': raw}
    return {**found, 'logits': model.head.lm_head(hidden)} if raw.dtype == torch.int64 else found
