# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What public checkpoints for LIBERO take for granted, and whether one is evaluated so."""

from __future__ import annotations

from collections.abc import Iterator

from ..geometry.image_transform import ImageTransform


def takes_the_benchmarks_frames(transform: ImageTransform) -> bool:
    """Return whether images are turned as public clients turn LIBERO's, which are upside down."""
    return bool(transform.client) and transform.rotate_180 and not transform.mirror


def image_doubts(config) -> Iterator[str]:
    """
    Yield why the pictures of an evaluation may not be those that a checkpoint was trained on.

    config: a CheckpointConfig.  Checkpoints that this package trained take its upright frames.
    """
    transform = ImageTransform(**{'size': (1, 1), **config.image})
    if config.prompt == 'words' or transform.mirror or takes_the_benchmarks_frames(transform):
        return
    shown = 'upside down' if transform.rotate_180 else 'with left and right as they are'
    yield (f'the simulated frames are upright, and this checkpoint is shown them {shown}; those '
           "published for LIBERO were trained on the benchmark's own, upside-down frames turned "
           'by 180 degrees and cropped: if it is one of them, write "image": "libero" into its '
           'deployment.json')


def middle_state(statistics: dict):
    """
    Return a state [S] that tells nothing, None for a policy without proprioception.

    statistics: as Policy.statistics.  It is the mean of the training data or, where a checkpoint
    knows only its range, the middle of that.
    """
    if 'state_low' in statistics:
        return (statistics['state_low'] + statistics['state_high']) / 2
    return statistics.get('state_mean')
