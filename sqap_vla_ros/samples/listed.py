# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Images and `instructions.jsonl`, one line a sample.

    {"image": "000.png", "instruction": "put the bowl on the stove", "state": [0.1, ...]}

The state is there only for policies that are told one; for those of several images "image" is a
list in the order of their cameras, or an object by the cameras' names.  "episode", a number, says
which lines were recorded together; without it each line counts as an episode of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import json
from pathlib import Path

from .sample import chosen, Opened, Sample
from ..errors import ConfigError, ObservationError
from ..formats.checkpoint import CheckpointConfig
from ..ingest.images import read_image
from ..ingest.state import state_of
from ..ingest.told_state import told_state
from ..observation import STATE_NAMES

LIST = 'instructions.jsonl'


def listed(directory: Path, count: int, config: CheckpointConfig) -> Opened:
    """Open samples whose images are read when they are asked for; raise ConfigError for none."""
    path = directory / LIST
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:  # also text that is not UTF-8
        raise ConfigError(f'{path} cannot be read: {error}') from error
    if not lines:
        raise ConfigError(f'{path} is empty: write one line an image')
    return Opened(directory.resolve().name, f'images and {LIST}', len(lines),
                  _samples(path, lines, count, config))


def _samples(path: Path, lines, count: int, config: CheckpointConfig) -> Iterator[Sample]:
    for index in chosen(len(lines), count):
        try:
            yield _sample(path.parent, json.loads(lines[index]), index, config)
        except (ConfigError, ObservationError) as error:
            raise ConfigError(f'{path}, line {index + 1}: {error}') from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f'{path}, line {index + 1}: {type(error).__name__} {error}: '
                              'expected an object with image and instruction') from error


def _sample(directory: Path, entry: dict, index: int, config: CheckpointConfig) -> Sample:
    state, names = entry.get('state'), state_of(config) or STATE_NAMES
    return Sample(
        tuple(read_image(directory / file) for file in _files(entry['image'], config)),
        _text(entry['instruction']), None if state is None else told_state(state, names),
        episode=int(entry.get('episode', index)))


def _text(value) -> str:
    if not isinstance(value, str):
        raise ConfigError(f'"instruction" is {json.dumps(value)}, expected a text')
    return value


def _files(value, config: CheckpointConfig) -> Sequence[str]:
    """Return the names of a sample's images in the order of the checkpoint's cameras."""
    cameras, count = config.cameras, config.model.images
    if isinstance(value, dict) and set(value) == set(cameras):
        return [value[name] for name in cameras]
    names = [value] if isinstance(value, str) else list(value)
    if isinstance(value, dict) or len(names) != count:
        example = ', '.join(f'"{name}.png"' for name in cameras)
        raise ConfigError(
            f'{len(names)} image{"s" * (len(names) != 1)} {names}, the checkpoint takes '
            + (f'those of {", ".join(cameras)}: write "image": [{example}]' if cameras
               else f'{count}'))
    return names
