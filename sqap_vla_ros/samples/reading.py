# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One way to recorded observations, whatever they lie in.

    samples = read_samples('runs/data', 32, source.config)

A source is either of
- a directory of images with `instructions.jsonl`, see listed.py;
- a directory of shards of `sqap-vla collect`, see collected.py;
- a bag or LeRobot data set, which is opened and described by a Recorded, see recorded.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from .collected import collected
from .listed import LIST, listed
from .recorded import Recorded, recorded
from .sample import Opened, Sample, Samples
from ..errors import ConfigError
from ..formats.checkpoint import CheckpointConfig
from ..geometry.image_transform import ImageTransform
from ..geometry.patches import distances_of_views
from ..support.files import listing, nearest_path
from ..support.progress import Progress

RADIUS_PATCHES = 2.0  # what PolicyOptions has


def read_samples(source, count: int, config: CheckpointConfig | None = None,
                 radius_patches: float = RADIUS_PATCHES, flag: str = '--calibration') -> Samples:
    """
    Return `count` samples, evenly chosen, or all if there are fewer.

    source: a directory, or a Recorded.  config: of the checkpoint that they are for, None for one
    of one image and our own state.  radius_patches: see PolicyOptions, for Sample.distance.
    flag: the option that named the source, for messages.
    Raises ConfigError, or ObservationError of a recording, for a source without samples, or with
    such as cannot be read or are not for this checkpoint.
    """
    config = config or CheckpointConfig()
    if count < 1:
        raise ConfigError(f'{count} samples: take at least one')
    found = (recorded(source, count, config) if isinstance(source, Recorded)
             else _opened(Path(source), count, config, flag))
    samples = []
    with Progress('reading images', min(count, found.total), 'image') as progress:
        for sample in found.samples:
            samples.append(_with_distance(sample, config, radius_patches))
            progress.advance()
    return Samples(found.name, tuple(samples), found.source, found.total, found.notes)


def _opened(directory: Path, count: int, config: CheckpointConfig, flag: str) -> Opened:
    if not directory.is_dir():
        raise ConfigError(f'{flag} {directory} is no directory{nearest_path(directory)}')
    if (directory / LIST).is_file():
        return listed(directory, count, config)
    if any(directory.glob('*.npz')):
        return collected(directory, count, config, flag)
    raise ConfigError(f'{flag} {directory} holds neither {LIST} with images nor shards of '
                      '`sqap-vla collect`, and is no bag or LeRobot data set; there: '
                      f'{listing(directory)}')


def _with_distance(sample: Sample, config: CheckpointConfig, radius_patches: float) -> Sample:
    """Return a sample with the distance of its tokens to what is protected."""
    if sample.protected is None:
        return sample
    vision = config.model.vision
    transform = ImageTransform(**{'size': (vision.image_size,) * 2, **config.image})
    distance = distances_of_views(
        [(points.pixels, points.radii_px, image.shape[:2])
         for image, points in zip(sample.images, sample.protected)],
        transform, vision.grid, radius_patches)
    return dataclasses.replace(sample, distance=distance)
