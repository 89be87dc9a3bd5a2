# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoint directories: the only place in `model/` that knows of files.

    config.json         sizes, image preprocessing, action space, instructions, quantization
    model.safetensors   weights (fp16/fp32, or packed int4/int8 with scales)
    norm_stats.json     per data set: q01/q99/mask of the actions, mean/std of the state
    tokenizer.json      a `tokenizers` file
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
import json
import os
from pathlib import Path

import numpy as np

from .heads import ChunkHeadConfig
from .llama import LlamaConfig
from .vit import ViTConfig
from .vla import VLA, VLAConfig
from ..actions import ActionSpace
from ..errors import CheckpointError

FORMAT = 'sqap_vla_ros/1'
FILES = ('config.json', 'model.safetensors', 'norm_stats.json', 'tokenizer.json')


@dataclass(frozen=True)
class CheckpointConfig:
    """All of config.json; `quantization` is empty for full precision."""

    model: VLAConfig = field(default_factory=VLAConfig)
    action_space: ActionSpace = field(default_factory=ActionSpace)
    instructions: tuple[str, ...] = ()
    unnorm_key: str = ''
    image: dict = field(default_factory=dict)
    pixel_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, ...] = (0.5, 0.5, 0.5)
    quantization: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)


def config_to_dict(config: CheckpointConfig) -> dict:
    """Return config.json's content."""
    return {'format': FORMAT, **dataclasses.asdict(config)}


def config_from_dict(content: dict, source: str) -> CheckpointConfig:
    """Rebuild the dataclasses; raise CheckpointError naming `source` for anything unknown."""
    content = dict(content)
    found = content.pop('format', None)
    if found != FORMAT:
        raise CheckpointError(f'{source}: format {found!r} is not {FORMAT!r}')
    try:
        model = dict(content.pop('model'))
        parts = {'vision': ViTConfig, 'llm': LlamaConfig, 'head': ChunkHeadConfig}
        for name, kind in parts.items():
            model[name] = kind(**model[name])
        space = ActionSpace.from_config(content.pop('action_space'))
        for name in ('instructions', 'pixel_mean', 'pixel_std'):
            content[name] = tuple(content[name])
        config = CheckpointConfig(model=VLAConfig(**model), action_space=space, **content)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    if len(space.names) != config.model.head.action_dim:
        raise CheckpointError(f'{source}: the head gives {config.model.head.action_dim} values, '
                              f'action_space names {len(space.names)}: {space.names}')
    return config


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:  # also text that is not UTF-8
        raise CheckpointError(f'{path} is not valid JSON ({error}): copy it again') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, expected an object')
    return content


def read_config(directory) -> CheckpointConfig:
    """Read and check config.json; raise CheckpointError if the directory is not one of ours."""
    directory = Path(directory)
    missing = [name for name in FILES if not (directory / name).is_file()]
    if missing:
        raise CheckpointError(
            f'{directory} is not a checkpoint: {", ".join(missing)} missing '
            f'(expected {", ".join(FILES)})')
    return config_from_dict(
        _read_json(directory / 'config.json'), str(directory / 'config.json'))


def read_norm_stats(directory, unnorm_key: str, model: VLAConfig) -> dict:
    """
    Return the statistics of one data set as arrays, checked against the model's sizes.

    Keys: low, high float32 [A], mask bool [A] of the actions; state_mean, state_std float32
    [S].  Raises CheckpointError for an unknown key (listing the known ones), for another
    number of values than the model has, and for values that are not finite or not in order.
    """
    stats = _read_json(Path(directory) / 'norm_stats.json')
    if unnorm_key not in stats:
        raise CheckpointError(
            f'{directory}: unnorm_key {unnorm_key!r} is not in norm_stats.json, '
            f'which has {sorted(stats)}')
    source = f'{directory}/norm_stats.json, {unnorm_key}'
    try:
        action, state = stats[unnorm_key]['action'], stats[unnorm_key].get('state', {})
        width = model.head.action_dim
        found = {
            'low': _numbers(action['q01'], width, source, 'q01'),
            'high': _numbers(action['q99'], width, source, 'q99'),
            'mask': _numbers(action.get('mask', [True] * width), width, source, 'mask') != 0}
        if model.state_dim:
            for name in ('mean', 'std'):
                found[f'state_{name}'] = _numbers(
                    state[name], model.state_dim, source, f'state {name}')
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    std = found.get('state_std', np.ones(1))
    if (found['low'] > found['high']).any() or (std <= 0).any():
        raise CheckpointError(f'{source}: q01 must not exceed q99 and state std must be above 0')
    return found


def _numbers(values, width: int, source: str, name: str) -> np.ndarray:
    """Return float32 [width]; raise CheckpointError naming what was found."""
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{source}: {name} holds no numbers ({error})') from error
    if array.shape != (width,) or not np.isfinite(array).all():
        raise CheckpointError(
            f'{source}: {name} must be {width} finite numbers, found {values}')
    return array


def read_tokenizer(directory):
    """Return the `tokenizers.Tokenizer` of a checkpoint; raise CheckpointError if damaged."""
    from tokenizers import Tokenizer
    path = Path(directory) / 'tokenizer.json'
    _read_json(path)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(f'{path} is not a tokenizers file ({error})') from error


def read_weights(directory) -> dict:
    """Return the tensors by name; raise CheckpointError for a truncated file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    path = Path(directory) / 'model.safetensors'
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path} cannot be read ({error}): it is truncated or damaged, copy it again'
        ) from error


def load_into(model: VLA, weights: dict, source: str) -> None:
    """Load tensors into a module; raise CheckpointError naming what does not fit."""
    own = model.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [f'{name}: file {tuple(weights[name].shape)}, model {tuple(own[name].shape)}'
              for name in own.keys() & weights.keys() if weights[name].shape != own[name].shape]
    if missing or extra or shapes:
        raise CheckpointError(
            f'{source} does not fit its config.json: missing {missing[:3]}, unexpected '
            f'{extra[:3]}, other shapes {sorted(shapes)[:3]}')
    model.load_state_dict(weights)


def save(directory, config: CheckpointConfig, weights: dict, norm_stats: dict, tokenizer):
    """
    Write a checkpoint directory, config.json last: a killed run leaves none that loads.

    weights: tensors by name.  norm_stats: content by unnorm_key.
    """
    from safetensors.torch import save_file
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'config.json').unlink(missing_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()},
              directory / 'model.safetensors', metadata={'format': 'pt'})
    (directory / 'norm_stats.json').write_text(json.dumps(norm_stats, indent=1) + '\n')
    (directory / 'tokenizer.json').write_text(tokenizer.to_str(pretty=True) + '\n')
    partial = directory / 'config.json.part'
    partial.write_text(json.dumps(config_to_dict(config), indent=1) + '\n')
    os.replace(partial, directory / 'config.json')
