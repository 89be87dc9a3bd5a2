# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the clients of public checkpoints do to an image, by name: `"image": "libero"` stands for it.

libero: the benchmark's own frames, which are upside down, turned by 180 degrees; a JPEG file,
Lanczos and a crop of 0.9 of the area (openvla and openvla-oft: experiments/robot/libero).
aloha: bicubic to 256 x 256 on the robot, then the same without the turn (openvla-oft:
experiments/robot/aloha and vla-scripts/deploy.py).
Both for checkpoints that were trained with random crops, as the published ones were; "crop_area":
1.0 beside the preset for others.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigError

PRESETS = {
    'libero': {'client': 'openvla', 'crop_area': 0.9, 'rotate_180': True},
    'aloha': {'client': 'openvla', 'crop_area': 0.9, 'first_size': (256, 256)}}


def expanded(options):
    """
    Return `image` of a file with its preset's values filled in.

    options: a preset's name, or an object whose other keys override those of its `preset`;
    whatever names none is returned as it is.  Raises ConfigError for an unknown preset.
    """
    given = {'preset': options} if isinstance(options, str) else options
    if not isinstance(given, Mapping) or 'preset' not in given:
        return options
    name = given['preset']
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f'image: preset {name!r} is unknown, there are {list(PRESETS)}')
    return {**PRESETS[name], **{key: given[key] for key in given if key != 'preset'}}
