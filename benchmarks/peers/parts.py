# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A network's parts in plain float32 PyTorch, which other libraries can trace and compile."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from sqap_vla_ros.bench.sides import Inputs, random_model
from sqap_vla_ros.bench.sizes import BUNDLED, KEEP, size_config
from sqap_vla_ros.model import llama, vit
from sqap_vla_ros.model.vla import VLA, VLAConfig
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
import torch
from torch import nn
from torch.nn import functional as F

TEXT_LENGTH = 15  # so that a prefill has 280 tokens
SELECTION = SelectionConfig(KEEP, ties='even')


def peer_config(size: str, layers: int = 0) -> VLAConfig:
    """Return a size's configuration; layers: of the decoder, 0 for as many as it has."""
    config = size_config(size)
    if size != BUNDLED:
        config = dataclasses.replace(config, text_length=TEXT_LENGTH)
    if layers:
        config = dataclasses.replace(
            config, llm=dataclasses.replace(config.llm, num_layers=layers))
    return config


def seeded_inputs(config: VLAConfig) -> Inputs:
    """Return the same random inputs in every process."""
    torch.manual_seed(1)
    return Inputs.random(config)


def plain_model(config: VLAConfig) -> VLA:
    """Return the network with the same random weights in every process, and no kernel of ours."""
    llama.attend = vit.attend = plain_attention
    llama.HAS_RMS_NORM = False  # which not every library can trace
    torch.manual_seed(0)
    return random_model(config)


def plain_attention(q, k, v, is_causal: bool = False, seen=None):
    """Do what kernels.attention.attend does, by torch's product alone; seen: not served."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    if not is_causal or q.shape[2] == k.shape[2]:
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Vision(nn.Module):
    """Pixels [1, C, H, W] to visual tokens [1, N, D]."""

    def __init__(self, model: VLA):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        """Encode and project."""
        return self.model.encode_image(pixels)


class Backbone(nn.Module):
    """Visual tokens to what the head answers, nothing selected."""

    def __init__(self, model: VLA, inputs: Inputs):
        """Take the prompt and the state as they are in `inputs`."""
        super().__init__()
        self.model, self.ids, self.state = model, inputs.token_ids, inputs.state

    def forward(self, visual):
        """Return raw [1, T, A]."""
        x, _ = self.model.prefill_full(
            self.model.embed(visual, self.ids, self.state), scored=False)
        return self.model.answer(self.model.prefill_kept(x, None), x.shape[1])


class First(Backbone):
    """Visual tokens through the blocks that see all of them."""

    def forward(self, visual):
        """Return x [1, S, D] and scores [1, N]."""
        return self.model.prefill_full(self.model.embed(visual, self.ids, self.state))


class Second(Backbone):
    """The remaining blocks and the head, for the tokens that are kept."""

    def forward(self, x, kept):
        """Return raw [1, T, A] for x of First and int64 [K]."""
        return self.model.answer(self.model.prefill_kept(x, kept), x.shape[1])


def parts(model: VLA, given: Given, has_vision: bool, selects: bool) -> dict[str, tuple]:
    """
    Return {name: (module, example inputs)} of a network.

    has_vision: with the encoder; selects: in two parts, between which tokens are chosen.
    """
    found = {'vision': (Vision(model), (given.inputs.pixels,))} if has_vision else {}
    first = First(model, given.inputs)
    if selects:
        found |= {'first': (first, (given.visual,)),
                  'second': (Second(model, given.inputs), (first(given.visual)[0], given.kept))}
    else:
        found['backbone'] = Backbone(model, given.inputs), (given.visual,)
    return {name: (module.eval(), example) for name, (module, example) in found.items()}


@dataclass(frozen=True)
class Given:
    """What every side is given, and what plain float32 answers [1, T, A] to it."""

    inputs: Inputs
    features: torch.Tensor  # [1, N, E] of the encoder, in front of the projector
    visual: torch.Tensor    # [1, N, D]
    kept: torch.Tensor      # int64 [K]
    raw: dict[bool, torch.Tensor]  # by whether only `kept` are kept

    @classmethod
    @torch.no_grad()
    def of(cls, model: VLA) -> Given:
        """Return what a plain network is given and answers."""
        config, inputs = model.config, seeded_inputs(model.config)
        features = torch.randn(1, config.num_visual, config.vision.width)
        visual = model.project(features)
        x, scores = First(model, inputs)(visual)
        kept = choose(scores[0].numpy(), config)
        return cls(inputs, features, visual, kept, {
            False: Backbone(model, inputs)(visual), True: Second(model, inputs)(x, kept)})


def choose(scores: np.ndarray, config: VLAConfig) -> torch.Tensor:
    """Return the visual tokens int64 [K] that are kept, by scores [N]."""
    far = np.full(config.num_visual, np.inf, np.float32)
    return torch.from_numpy(select_tokens(scores, far, config.vision.grid, SELECTION).kept)
