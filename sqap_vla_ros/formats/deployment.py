# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What OpenVLA and CogACT checkpoints do not say, and a robot needs: deployment.json.

A user writes it beside the checkpoint's config.json, since guessing could break an arm:

    {"unnorm_key": "bridge_orig",
     "action_space": {"preset": "bridge", "execute_steps": 1},
     "image": {"crop_area": 0.9, "rotate_180": false},
     "ensemble": 0, "tokenizer": "/path/to/llama-2", "cameras": ["front"],
     "state": ["x", "y", "z", "roll", "pitch", "yaw", "gripper"], "oft": {"images": 1}}

Every key may be absent; without action_space the checkpoint answers, but drives nothing.  An
action_space is an object with the fields of ActionSpace, or a preset's name, see
control/presets.py.  image: what happens to one in front of the processor, an object with
IMAGE_KEYS or a preset's name, see geometry/image_presets.py.  ensemble: how many of the last
chunks are blended (CogACT: 7 for WidowX, 2 for the Google robot).  cameras: the names, among the
node's cameras, of those it was trained on, in its order.  state: the names of the values of its
state, or of a preset.  oft: what no file of an OpenVLA-OFT says, see OFTOptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import logging
from pathlib import Path

from .checkpoint import camera_names, check_cameras, read_json
from .oft_options import OFTOptions, read_oft_options
from .undeclared import UndeclaredActionSpace
from ..control.action_report import describe
from ..control.action_space import ActionSpace
from ..control.presets import preset_name
from ..control.states import state_names
from ..errors import CheckpointError, ConfigError
from ..geometry import image_presets
from ..geometry.image_transform import ImageTransform
from ..support.validation import unknown_names

FILE = 'deployment.json'
KEYS = {'action_space', 'unnorm_key', 'image', 'ensemble', 'tokenizer', 'cameras', 'state',
        'oft'}
IMAGE_KEYS = ('crop_area', 'rotate_180', 'mirror', 'client', 'first_size')
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deployment:
    """The content of deployment.json, checked."""

    action_space: ActionSpace | UndeclaredActionSpace
    unnorm_key: str = ''
    image: dict = field(default_factory=dict)
    ensemble: int = 0
    tokenizer: Path | None = None
    cameras: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    oft: OFTOptions = OFTOptions()


def read_deployment(directory: Path) -> Deployment:
    """Read deployment.json if it is there; raise CheckpointError for what makes no sense."""
    path = Path(directory) / FILE
    content = _with_image(read_json(path) if path.is_file() else {}, path)
    _check_keys(content, path)
    space = UndeclaredActionSpace(str(path))
    if 'action_space' in content:
        given = content['action_space']
        try:
            space = ActionSpace.from_config(given)
        except ConfigError as error:
            raise CheckpointError(f'{path}: {error}') from error
        if preset_name(given):
            _LOG.info('%s: preset %s stands for %s', path, preset_name(given), describe(space))
    tokenizer = content.get('tokenizer')
    return Deployment(
        space, content.get('unnorm_key', ''), content.get('image', {}),
        content.get('ensemble', 0), None if tokenizer is None else path.parent / tokenizer,
        *_told(content, path))


def _told(content: dict, path: Path) -> tuple:
    """Return cameras, state and oft; raise CheckpointError for what makes no sense."""
    try:
        return (camera_names(content.get('cameras', ())),
                state_names(content.get('state', ())), read_oft_options(content.get('oft', {})))
    except ConfigError as error:
        raise CheckpointError(f'{path}: {error}') from error


def named_cameras(deployment: Deployment, images: int, directory: Path) -> tuple[str, ...]:
    """Return the cameras; raise CheckpointError unless they are as many as images, or none."""
    try:
        check_cameras(deployment.cameras, images)
    except ConfigError as error:
        raise CheckpointError(f'{directory / FILE}: {error}') from error
    return deployment.cameras


def _with_image(content: dict, path: Path) -> dict:
    """Return the content with an image's preset filled in; say what it stands for."""
    given = content.get('image', {})
    try:
        image = image_presets.expanded(given)
    except ConfigError as error:
        raise CheckpointError(f'{path}: {error}') from error
    if image is not given:
        _LOG.info('%s: image %s stands for %s', path, given, image)
    return {**content, 'image': image}


def _check_keys(content: dict, path: Path) -> None:
    image, ensemble = content.get('image', {}), content.get('ensemble', 0)
    unknown = unknown_names(content, KEYS)
    if unknown:
        raise CheckpointError(f'{path}: unknown keys {unknown}, known are {sorted(KEYS)}')
    if not isinstance(image, dict) or set(image) - set(IMAGE_KEYS):
        raise CheckpointError(f'{path}: image is {image!r}, expected an object with '
                              f'{", ".join(("preset", *IMAGE_KEYS))}, or the name of a preset')
    try:
        ImageTransform((1, 1), **image)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f'{path}: image: {error}') from error
    for name in ('unnorm_key', 'tokenizer'):
        if not isinstance(content.get(name, ''), str):
            raise CheckpointError(f'{path}: {name} is {content[name]!r}, expected a text')
    if type(ensemble) is not int or ensemble < 0:
        raise CheckpointError(f'{path}: ensemble is {ensemble!r}, expected a whole number >= 0')
