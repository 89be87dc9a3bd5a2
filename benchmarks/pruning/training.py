# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the network of OpenVLA-OFT, a very small one, on drawn scenes.

Beside the actions it is told which patches show the disc that is asked for, from the states in
front of block 2, for the first part of the training only: so it finds them in minutes.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vit import ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
from sqap_vla_ros.support.progress import Progress
import torch
from torch import nn
from torch.nn import functional as F

from . import task

WIDTH, BLOCKS, TOLD_BLOCK = 64, 5, 2
STEPS, BATCH, RATE, WARM_UP, TOLD_SHARE, LEAST_RATE = 700, 32, 3e-3, 50, 0.7, 0.05
CONFIG = VLAConfig(
    vision=ViTConfig(image_size=task.SIDE, patch_size=task.PATCH, width=WIDTH, depth=1, heads=2,
                     mlp_width=2 * WIDTH, stem='conv'),
    llm=LlamaConfig(vocab_size=task.VOCABULARY, hidden_size=WIDTH, intermediate_size=2 * WIDTH,
                    num_layers=BLOCKS, num_heads=4, num_kv_heads=4),
    head=OFTHeadConfig(chunk_length=task.CHUNK, action_dim=3, width=WIDTH, blocks=1),
    text_length=0, state_dim=2, state_hidden=WIDTH, images=2, attention='full')


def trained(path: Path | None = None) -> VLA:
    """Return the model; path: of its weights, written where there are none."""
    torch.manual_seed(0)
    model = VLA(CONFIG)
    if path is not None and path.is_file():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    with Progress('training on drawn scenes', total=STEPS, unit='step') as progress:
        _train(model, progress)
    if path is not None:
        torch.save(model.state_dict(), path)
    return model.eval()


def _train(model: VLA, progress: Progress) -> None:
    probe, generator = nn.Linear(WIDTH, 1), np.random.default_rng(0)
    weights = [*model.parameters(), *probe.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.01, betas=(0.9, 0.95))
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group['lr'] = _rate(step)
        batch = task.batch(BATCH, generator)
        actions, states = _run(model, batch)
        error = (actions - batch.actions).abs().mean()
        told = F.binary_cross_entropy_with_logits(probe(states)[..., 0], batch.asked)
        optimiser.zero_grad()
        (error + 2 * max(0.0, 1 - step / (TOLD_SHARE * STEPS)) * told).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        progress.advance(note=f'error {error.item():.3f}')


def _rate(step: int) -> float:
    """Return the learning rate: a warm-up, then a cosine."""
    falling = 0.5 * (1 + math.cos(math.pi * step / STEPS))
    return RATE * min(1.0, (step + 1) / WARM_UP) * (LEAST_RATE + (1 - LEAST_RATE) * falling)


def _run(model: VLA, batch: task.Batch):
    """Return the actions [B, T, A], and the states [B, N, D] of the patches in TOLD_BLOCK."""
    x = model.embed(model.encode_image(batch.pixels), batch.ids, batch.state)
    places = torch.arange(x.shape[1])
    x, _ = model.llm.run(x, places, 0, TOLD_BLOCK)
    patches = x[:, CONFIG.prefix:CONFIG.prefix + CONFIG.num_visual]
    x, _ = model.llm.run(x, places, TOLD_BLOCK, BLOCKS)
    rows = CONFIG.head_rows(x.shape[1])
    return model.head(model.llm.norm(x[:, rows.start:rows.stop])), patches


@torch.no_grad()
def test_error(model: VLA, count: int = 256) -> float:
    """Return the mean absolute error on scenes that training did not see."""
    batch = task.batch(count, np.random.default_rng(task.TEST_SEED))
    return float((_run(model, batch)[0] - batch.actions).abs().mean())
