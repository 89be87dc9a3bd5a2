# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Small networks of random weights with each kind of head, and inputs for them."""
from sqap_vla_ros.model.dit import DiffusionHeadConfig
from sqap_vla_ros.model.heads import ChunkHeadConfig, TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.vit import ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch

HEADS = {
    'chunk': ChunkHeadConfig(chunk_length=3),
    'tokens': TokenHeadConfig(action_dim=4, bins=32, vocab_end=90),
    'diffusion': DiffusionHeadConfig(chunk_length=5, width=32, depth=2, heads=2, mlp_width=64,
                                     guidance=1.5),
}


def make_model(kind, kv_heads=2, heads=4, width=64, vocab_size=96, state_dim=0):
    """Return a small VLA with that head, whose norms, biases and condition are not trivial."""
    torch.manual_seed(0)
    model = VLA(VLAConfig(
        vision=ViTConfig(image_size=56, width=32, depth=1, heads=2, mlp_width=64),
        llm=LlamaConfig(vocab_size=vocab_size, hidden_size=width, intermediate_size=96,
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
