# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What GPTQ learns from: pairs of image and instruction, as the decoder gets them.

A calibration directory holds either of
- images and `instructions.jsonl`, one line an image:
      {"image": "000.png", "instruction": "put the bowl on the stove", "state": [0.1, ...]}
  with the state only for policies that are told one;
- shards of `sqap-vla collect`.

The encoder and the projector run over many samples at once, one layer in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from ..inference.inputs import ModelInputs
from ..ingest.images import read_image
from ..ingest.told_state import told_state
from ..loading.units import empty_model
from ..model.prompt import make_prompt
from ..support.files import nearest_path
from ..train.shards import load_shards

LIST = 'instructions.jsonl'
AT_ONCE = 32  # images that the encoders see together


@dataclass(frozen=True)
class Sample:
    """One image uint8 [H, W, 3], what to do, and the state [8] or None."""

    image: np.ndarray
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
            digest.update(repr((sample.image.shape, sample.instruction)).encode())
            digest.update(np.ascontiguousarray(sample.image).data)
            digest.update(b'' if sample.state is None else np.asarray(sample.state).tobytes())
        return digest.hexdigest()[:16]

    @property
    def record(self) -> dict:
        """Return what config.json keeps."""
        return {'name': self.name, 'samples': len(self.samples), 'digest': self.fingerprint}


def read_calibration(directory, count: int) -> Calibration:
    """
    Return `count` samples of a directory, evenly chosen, or all if there are fewer.

    Raises ConfigError for a directory without any, or samples that cannot be read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ConfigError(f'--calibration {directory} is no directory{nearest_path(directory)}')
    if count < 1:
        raise ConfigError(f'{count} calibration samples: take at least one')
    if (directory / LIST).is_file():
        samples = _listed(directory, count)
    elif any(directory.glob('*.npz')):
        samples = _collected(directory, count)
    else:
        raise ConfigError(f'--calibration {directory} holds neither {LIST} with images nor '
                          'shards of `sqap-vla collect`')
    return Calibration(directory.resolve().name, tuple(samples))


def chosen(total: int, count: int) -> list[int]:
    """Return at most `count` evenly spread indices below total."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(count, total))})


def _listed(directory: Path, count: int) -> Iterator[Sample]:
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
            state = entry.get('state')
            yield Sample(read_image(directory / entry['image']), str(entry['instruction']),
                         None if state is None else told_state(state))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f'{path}, line {index + 1}: {type(error).__name__} {error}: '
                              'expected an object with image and instruction') from error


def _collected(directory: Path, count: int) -> Iterator[Sample]:
    data = load_shards(directory)
    for index in chosen(len(data), count):
        yield Sample(data.frame(index), data.instructions[data.instruction[index]],
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
        pixels = torch.cat([inputs.pixels(sample.image) for sample in calibration.samples])
        rest = [(inputs.token_ids(sample.instruction), inputs.state(sample.state))
                for sample in calibration.samples]
    except ObservationError as error:
        raise ConfigError(f'calibration {calibration.name}: {error}') from error
    return _embedded(source, pixels, rest)


@torch.no_grad()
def _embedded(source: Source, pixels, rest) -> list[torch.Tensor]:
    model = empty_model(source.config.model)
    with _lent(model.vision, 'vision', source), _lent(model.projector, 'projector', source):
        visual = torch.cat([model.encode_image(part) for part in pixels.split(AT_ONCE)])
    others = [name for name in model.state_dict()
              if name.startswith(('llm.embed_tokens', 'state_embed', 'head.queries'))]
    weights = {name: source.tensors.copy(name, torch.float32) for name in others}
    model.load_state_dict(weights, strict=False, assign=True)
    return [model.embed(visual[index:index + 1], token_ids, state).contiguous()
            for index, (token_ids, state) in enumerate(rest)]


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
