# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Shards of `sqap-vla collect`: one image each, with the hand in it and what the expert did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .listed import LIST
from .sample import chosen, Opened, Sample
from ..errors import ConfigError
from ..formats.checkpoint import CheckpointConfig
from ..observation import ProtectedPoints
from ..support.progress import Progress
from ..train.shards import Demonstrations, load_shards

END_EFFECTOR = 'end_effector'  # of shards.POINT_NAMES: what the demo protects


def collected(directory: Path, count: int, config: CheckpointConfig, flag: str) -> Opened:
    """Open samples whose images are decoded when asked for; raise ConfigError for none."""
    if config.model.images != 1:
        raise ConfigError(f'{flag} {directory} holds shards of one camera, and the checkpoint '
                          f'takes {config.model.images} images: write a {LIST}')
    with Progress(f'reading the shards in {directory.name}'):
        data = load_shards(directory)
    return Opened(directory.resolve().name, 'shards of sqap-vla collect', len(data),
                  _samples(data, count, config))


def _samples(data: Demonstrations, count: int, config: CheckpointConfig) -> Iterator[Sample]:
    _, episodes = np.unique(data.seed, return_inverse=True)
    for index in chosen(len(data), count):
        yield Sample(
            (data.frame(index),), data.instructions[data.instruction[index]], data.state[index],
            _protected(data, index),
            action=data.chunks([index], config.model.head.chunk_length)[0],
            episode=int(episodes[index]))


def _protected(data: Demonstrations, index: int) -> tuple[ProtectedPoints, ...] | None:
    if END_EFFECTOR not in data.point_names:
        return None
    pixels = data.points_px[index][data.point_names.index(END_EFFECTOR)]
    return ProtectedPoints(pixels[None].astype(np.float64), np.zeros(1), (END_EFFECTOR,)),
