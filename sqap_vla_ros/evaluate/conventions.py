# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What public checkpoints for LIBERO take for granted, and whether one is evaluated so."""

from __future__ import annotations

from collections.abc import Iterator

from ..geometry.image_transform import ImageTransform

UPRIGHT = '"image": {"preset": "libero", "rotate_180": false, "mirror": true}'


def takes_the_benchmarks_frames(transform: ImageTransform) -> bool:
    """Return whether images are turned as public clients turn LIBERO's, which are upside down."""
    return bool(transform.client) and transform.rotate_180 and not transform.mirror


def image_doubts(config, turned: bool = True) -> Iterator[str]:
    """
    Yield why the pictures of an evaluation may not be those that a checkpoint was trained on.

    config: a CheckpointConfig.  Checkpoints that this package trained take its upright frames.
    turned: whether frames are upside down for those that take the benchmark's own, as evaluation
    has them; the simulator's ROS node has upright ones alone, for a mirrored camera is none.
    """
    transform = ImageTransform(**{'size': (1, 1), **config.image})
    if config.prompt == 'words' or transform.mirror and not transform.rotate_180:
        return
    if takes_the_benchmarks_frames(transform):
        if not turned:
            yield ("the simulator's frames are upright here, and this checkpoint turns the "
                   "benchmark's own, which are upside down: write " + UPRIGHT + ' into its '
                   'deployment.json, which `sqap-vla eval` takes alike')
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
