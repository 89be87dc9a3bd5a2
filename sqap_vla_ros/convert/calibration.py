# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What GPTQ learns from: recorded observations, as the decoder gets them.

The encoder and the projector run over many samples at once, one layer in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ..errors import ConfigError, ObservationError
from ..formats import Source
from ..inference.inputs import noise_shape
from ..loading.units import empty_model
from ..model.diffusion import leading_times, noise_schedule
from ..samples.doubts import model_inputs
from ..samples.sample import Samples

AT_ONCE = 32  # images that the encoders see together


def decoder_inputs(source: Source, calibration: Samples) -> list[torch.Tensor]:
    """
    Return what the plain model's decoder gets for each sample, float32 [1, S, D].

    Raises ConfigError for samples that the model cannot take.
    """
    inputs = model_inputs(source)
    try:
        pixels = torch.cat([inputs.pixels(*sample.images) for sample in calibration.samples])
        rest = [(inputs.token_ids(sample.instruction), inputs.state(sample.state))
                for sample in calibration.samples]
    except ObservationError as error:
        raise ConfigError(f'calibration {calibration.name}: {error}') from error
    return _embedded(source, pixels, rest)


@torch.no_grad()
def _embedded(source: Source, pixels, rest) -> list[torch.Tensor]:
    model = empty_model(source.config.model)
    others = [name for name in model.state_dict() if name.startswith(
        ('llm.embed_tokens', 'state_embed', 'head.queries', 'head.noisy'))]
    weights = {name: source.tensors.copy(name, torch.float32) for name in others}
    model.load_state_dict(weights, strict=False, assign=True)
    with _lent(model.vision, 'vision', source), _lent(model.projector, 'projector', source):
        visual = torch.cat(_encoded(model, pixels, [token_ids for token_ids, _ in rest]))
    return [model.embed(visual[index:index + 1], token_ids, state,
                        *_noisy(model.config.head, index, len(rest))).contiguous()
            for index, (token_ids, state) in enumerate(rest)]


def _encoded(model, pixels, prompts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the visual tokens [n, N, D] of a few samples after another."""
    images, found = model.config.images, []
    for first in range(0, len(pixels), max(1, AT_ONCE // images)):
        part = slice(first, first + max(1, AT_ONCE // images))
        conditions = [model.condition(token_ids) for token_ids in prompts[part]]
        condition = (torch.cat(conditions).repeat_interleave(images, dim=0)
                     if model.config.film else None)
        found.append(model.encode_image(pixels[part], condition=condition))
    return found


def _noisy(head, index: int, count: int) -> tuple:
    """
    Return a noisy chunk [1, T, A] and a step for sample `index` of `count`; () for other heads.

    The steps are spread over the samples; the chunk is mixed, as in that step, of noise and of
    values that are even over -1..1, which stand for actions that nobody knows.
    """
    if head.kind != 'oft' or not head.diffuses:
        return ()
    rng, step = np.random.default_rng(index), index * head.ddim_steps // count
    time = leading_times(head.training_steps, head.ddim_steps)[step]
    kept, shape = noise_schedule(head.training_steps)[1][time], (1, *noise_shape(head))
    mixed = (kept ** 0.5 * rng.uniform(-1.0, 1.0, shape)
             + (1.0 - kept) ** 0.5 * rng.standard_normal(shape))
    return torch.from_numpy(mixed).float(), step


@contextmanager
def _lent(part: nn.Module, prefix: str, source: Source):
    """Let each module of `part`, on 'meta', have its own weights only while it runs."""
    handles = []
    for name, module in part.named_modules(prefix=prefix):
        own = dict(module.named_parameters(recurse=False))
        if own:
            handles += [
                module.register_forward_pre_hook(
                    lambda module, _, own=own, name=name: _fill(module, name, own, source)),
                module.register_forward_hook(
                    lambda module, _, output, own=own: _empty(module, own))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _fill(module: nn.Module, name: str, own: dict, source: Source) -> None:
    for parameter in own:
        weight = source.tensors.copy(f'{name}.{parameter}', torch.float32)
        setattr(module, parameter, nn.Parameter(weight, False))


def _empty(module: nn.Module, own: dict) -> None:
    for parameter, on_meta in own.items():
        setattr(module, parameter, on_meta)
