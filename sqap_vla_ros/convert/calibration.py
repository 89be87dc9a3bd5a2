# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What GPTQ learns from: pairs of images and instruction, as the decoder gets them.

A calibration directory holds either of
- images and `instructions.jsonl`, one line a sample:
      {"image": "000.png", "instruction": "put the bowl on the stove", "state": [0.1, ...]}
  with the state only for policies that are told one; for those of several images "image" is a list
  in the order of their cameras, or an object by the cameras' names;
- shards of `sqap-vla collect`, which hold one image each.

The encoder and the projector run over many samples at once, one layer in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import ConfigError, ObservationError
from ..formats import Source
from ..formats.checkpoint import CheckpointConfig
from ..inference.inputs import ModelInputs, noise_shape
from ..ingest.images import read_image
from ..ingest.state import state_of
from ..ingest.told_state import told_state
from ..loading.units import empty_model
from ..model.diffusion import leading_times, noise_schedule
from ..model.prompt import make_prompt
from ..observation import STATE_NAMES
from ..support.files import nearest_path
from ..train.shards import load_shards

LIST = 'instructions.jsonl'
AT_ONCE = 32  # images that the encoders see together


@dataclass(frozen=True)
class Sample:
    """Images uint8 [H, W, 3], one a camera, what to do, and the state [S] or None."""

    images: tuple[np.ndarray, ...]
    instruction: str
    state: np.ndarray | None = None


@dataclass(frozen=True)
class Calibration:
    """Samples, and where they are from."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def fingerprint(self) -> str:
        """Return a digest of all samples."""
        digest = hashlib.sha256()
        for sample in self.samples:
            for image in sample.images:
                digest.update(repr((image.shape, sample.instruction)).encode())
                digest.update(np.ascontiguousarray(image).data)
            digest.update(b'' if sample.state is None else np.asarray(sample.state).tobytes())
        return digest.hexdigest()[:16]

    @property
    def record(self) -> dict:
        """Return what config.json keeps."""
        return {'name': self.name, 'samples': len(self.samples), 'digest': self.fingerprint}


def read_calibration(directory, count: int,
                     config: CheckpointConfig | None = None) -> Calibration:
    """
    Return `count` samples of a directory, evenly chosen, or all if there are fewer.

    config: of the checkpoint that is calibrated, None for one of one image and our own state.
    Raises ConfigError for a directory without any, or samples that cannot be read or are not for
    this checkpoint.
    """
    directory, config = Path(directory), config or CheckpointConfig()
    if not directory.is_dir():
        raise ConfigError(f'--calibration {directory} is no directory{nearest_path(directory)}')
    if count < 1:
        raise ConfigError(f'{count} calibration samples: take at least one')
    if (directory / LIST).is_file():
        samples = _listed(directory, count, config)
    elif any(directory.glob('*.npz')) and config.model.images == 1:
        samples = _collected(directory, count)
    elif any(directory.glob('*.npz')):
        raise ConfigError(f'--calibration {directory} holds shards of one camera, and the '
                          f'checkpoint takes {config.model.images} images: write a {LIST}')
    else:
        raise ConfigError(f'--calibration {directory} holds neither {LIST} with images nor '
                          'shards of `sqap-vla collect`')
    return Calibration(directory.resolve().name, tuple(samples))


def chosen(total: int, count: int) -> list[int]:
    """Return at most `count` evenly spread indices below total."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(count, total))})


def _listed(directory: Path, count: int, config: CheckpointConfig) -> Iterator[Sample]:
    path = directory / LIST
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:  # also text that is not UTF-8
        raise ConfigError(f'{path} cannot be read: {error}') from error
    if not lines:
        raise ConfigError(f'{path} is empty: write one line an image')
    for index in chosen(len(lines), count):
        try:
            entry = json.loads(lines[index])
            state, names = entry.get('state'), state_of(config) or STATE_NAMES
            files = _files(entry['image'], config)
            yield Sample(tuple(read_image(directory / file) for file in files),
                         str(entry['instruction']),
                         None if state is None else told_state(state, names))
        except _OtherImages as error:
            raise ConfigError(f'{path}, line {index + 1}: {error}') from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f'{path}, line {index + 1}: {type(error).__name__} {error}: '
                              'expected an object with image and instruction') from error


class _OtherImages(ConfigError):
    """Images that are not those of the checkpoint's cameras."""


def _files(value, config: CheckpointConfig) -> Sequence[str]:
    """Return the names of a sample's images in the order of the checkpoint's cameras."""
    cameras, count = config.cameras, config.model.images
    if isinstance(value, dict) and set(value) == set(cameras):
        return [value[name] for name in cameras]
    names = [value] if isinstance(value, str) else list(value)
    if isinstance(value, dict) or len(names) != count:
        example = ', '.join(f'"{name}.png"' for name in cameras)
        raise _OtherImages(
            f'{len(names)} image{"s" if len(names) > 1 else ""} {names}, the checkpoint takes '
            + (f'those of {", ".join(cameras)}: write "image": [{example}]' if cameras
               else f'{count}'))
    return names


def _collected(directory: Path, count: int) -> Iterator[Sample]:
    data = load_shards(directory)
    for index in chosen(len(data), count):
        yield Sample((data.frame(index),), data.instructions[data.instruction[index]],
                     data.state[index])


def decoder_inputs(source: Source, calibration: Calibration) -> list[torch.Tensor]:
    """
    Return what the plain model's decoder gets for each sample, float32 [1, S, D].

    Raises ConfigError for samples that the model cannot take.
    """
    config = source.config
    prompt = make_prompt(config.prompt, source.read_tokenizer(), config.model.text_length,
                         config.model.llm.vocab_size)
    key = config.unnorm_key or next(iter(source.norm_stats))  # only a state's depend on it
    inputs = ModelInputs(config, source.with_key(key).statistics(), prompt)
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
