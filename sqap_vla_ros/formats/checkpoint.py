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
import errno
import json
import os
from pathlib import Path
import re
import shutil

from safetensors import SafetensorError
from safetensors.torch import save_file

from .downloads import damage
from .undeclared import UndeclaredActionSpace
from ..control.action_space import ActionSpace
from ..control.states import check_kept_names
from ..errors import CheckpointError, ConfigError
from ..geometry.image_transform import ImageTransform
from ..model.heads import HEADS
from ..model.llama import LlamaConfig
from ..model.vit import FusedViTConfig, ViTConfig
from ..model.vla import VLAConfig
from ..support.files import listing, nearest_path
from ..support.validation import is_number

FORMAT = 'sqap_vla_ros/1'
CAMERAS = {2: ('full', 'wrist'), 3: ('full', 'left_wrist', 'right_wrist')}  # by their number
NORMALIZATIONS = ('q01_q99', 'min_max')  # bounds that -1 and 1 stand for
FILES = ('config.json', 'model.safetensors', 'norm_stats.json', 'tokenizer.json')


@dataclass(frozen=True)
class CheckpointConfig:
    """
    All of config.json.

    prompt: 'words' for those of fixed length, or one of prompt.ENDINGS.  pixel_mean and
    pixel_std: three values an encoder.  quantization: empty for full precision.  ensemble:
    how many of the last chunks are blended into one action, 0 for none (see control/blending.py).
    conversion: what `sqap-vla convert` made the checkpoint of, empty for others.  cameras: names
    of the cameras that it was trained on, as many as model.images and in that order; empty for
    any one, and several get default_cameras.  state_names: what the values of its state are, see
    control/states.py; empty for those of observation.STATE_NAMES where it takes a state.
    normalization: what -1 and 1 of its actions, and of OpenVLA-OFT's state, stand for, see
    NORMALIZATIONS.  origins: what no file of the original says and was taken from elsewhere, and
    from where, {name: words}.
    """

    model: VLAConfig = field(default_factory=VLAConfig)
    action_space: ActionSpace | UndeclaredActionSpace = ActionSpace(execute_steps=4)
    instructions: tuple[str, ...] = ()
    unnorm_key: str = ''
    image: dict = field(default_factory=dict)
    pixel_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    pixel_std: tuple[float, ...] = (0.5, 0.5, 0.5)
    quantization: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    prompt: str = 'words'
    ensemble: int = 0
    conversion: dict = field(default_factory=dict)
    cameras: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    normalization: str = 'q01_q99'
    origins: dict = field(default_factory=dict)

    def __post_init__(self):
        """Raise ConfigError for image options, deviations, names or a record without sense."""
        if not isinstance(self.image, dict) or not isinstance(self.quantization, dict):
            raise ConfigError(f'image and quantization must be objects, found {self.image!r} and '
                              f'{self.quantization!r}')
        if not self.cameras:
            object.__setattr__(self, 'cameras', default_cameras(self.model.images))
        check_cameras(self.cameras, self.model.images)
        check_kept_names(self.state_names, self.model.state_dim)
        if not isinstance(self.origins, dict) or not all(
                isinstance(text, str) for text in self.origins.values()):
            raise ConfigError(f'origins is {self.origins!r}, expected an object of texts')
        if self.normalization not in NORMALIZATIONS:
            raise ConfigError(f'normalization is {self.normalization!r}, expected one of '
                              f'{NORMALIZATIONS}')
        try:
            ImageTransform(**{'size': (1, 1), **self.image})
        except (TypeError, ValueError) as error:
            raise ConfigError(f'image: {error}') from error
        if not all(map(is_number, (*self.pixel_mean, *self.pixel_std))) \
                or min(self.pixel_std, default=0) <= 0:
            raise ConfigError(f'pixel_mean {self.pixel_mean} and pixel_std {self.pixel_std} must '
                              'be numbers, and the latter above 0')

    @property
    def declares_actions(self) -> bool:
        """Whether it is known what the actions mean to a robot."""
        return isinstance(self.action_space, ActionSpace)


def camera_names(value) -> tuple[str, ...]:
    """Return `cameras` of a file as a tuple; raise ConfigError unless it is a list of texts."""
    if not isinstance(value, (list, tuple)) or not all(
            isinstance(name, str) and name for name in value):
        raise ConfigError(f'cameras is {value!r}, expected a list of names, such as ["wrist"]')
    return tuple(value)


def default_cameras(images: int) -> tuple[str, ...]:
    """Return names for the cameras of so many images; none for one, which may be of any."""
    if images == 1:
        return ()
    return CAMERAS.get(images, tuple(f'camera_{index}' for index in range(1, images + 1)))


def check_cameras(names: tuple, images: int = 1) -> None:
    """Raise ConfigError unless there is a name for each image, or none at all."""
    if names and (len(names) != images or len(set(names)) != len(names)):
        raise ConfigError(f'cameras names {len(names)}, {list(names)}: the network takes '
                          f'{images} image{"s, each of" if images > 1 else " of"} a camera of '
                          'its own')


def config_to_dict(config: CheckpointConfig) -> dict:
    """Return config.json's content."""
    if not config.declares_actions:
        config = dataclasses.replace(config, action_space=None)
    return {'format': FORMAT, **dataclasses.asdict(config)}


def config_from_dict(content: dict, source: str) -> CheckpointConfig:
    """Rebuild the dataclasses; raise CheckpointError naming `source` for anything unknown."""
    content = dict(content)
    found = content.pop('format', None)
    if found != FORMAT:
        raise CheckpointError(f'{source}: format {found!r} is not {FORMAT!r}')
    try:
        model = _model_from_dict(content.pop('model'))
        space = content.pop('action_space')
        if isinstance(space, dict):
            space.setdefault('rotation', None)  # absent in what earlier versions wrote
        space = UndeclaredActionSpace(source) if space is None else ActionSpace.from_config(space)
        for name in ('instructions', 'pixel_mean', 'pixel_std'):
            content[name] = tuple(content[name])
        content['cameras'] = camera_names(content.get('cameras', ()))
        names = content.get('state_names', ())
        content['state_names'] = tuple(names) if isinstance(names, list) else names
        config = CheckpointConfig(model=model, action_space=space, **content)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    return check_actions(config, source)


def check_actions(config: CheckpointConfig, source: str,
                  is_final: bool = False) -> CheckpointConfig:
    """
    Return the config with as many execute_steps as its head can serve; see ActionSpace.with_rows.

    is_final: whether no option can say any more how many that are.  Raises CheckpointError,
    naming source, unless the head gives as many values as the action space names, and at least
    as many rows as are to be executed.
    """
    width = config.model.head.action_dim
    names = config.action_space.names if config.declares_actions else None
    if names is not None and len(names) != width:
        raise CheckpointError(f'{source}: the head gives {width} values, action_space names '
                              f'{len(names)}: {names}')
    return settle_rows(config, source, is_final)


def settle_rows(config: CheckpointConfig, source: str, is_final: bool = False) -> CheckpointConfig:
    """Return the config with execute_steps settled; raise CheckpointError naming source."""
    if not config.declares_actions:
        return config
    rows = 1 if config.ensemble else config.model.head.chunk_length
    if (config.action_space.execute_steps is None and not is_final
            and config.model.head.chunk_length > 1):
        return config
    try:
        space = config.action_space.with_rows(rows)
    except ConfigError as error:
        raise CheckpointError(f'{source}: {error}') from error
    return dataclasses.replace(config, action_space=space)


def _model_from_dict(content: dict) -> VLAConfig:
    vision, head = content['vision'], dict(content['head'])
    if 'dino' in vision:
        vision = FusedViTConfig(**{name: ViTConfig(**part) for name, part in vision.items()})
    else:
        vision = ViTConfig(**vision)
    head = HEADS[head.get('kind', 'chunk')](**head)
    llm = {name: value for name, value in content['llm'].items() if name != 'qk_bits'}  # unused
    return VLAConfig(**{**content, 'vision': vision, 'head': head, 'llm': LlamaConfig(**llm)})


def read_json(path: Path) -> dict:
    """Return the object in a JSON file; raise CheckpointError if there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise CheckpointError(
            f'{path} is not valid JSON{damage(path, error, "copy it again")}') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, expected an object: copy '
                              'it again')
    return content


def read_config(directory) -> CheckpointConfig:
    """Read and check config.json; raise CheckpointError if the directory is not one of ours."""
    directory = Path(directory)
    missing = [name for name in FILES if not (directory / name).is_file()]
    if missing:
        if not directory.is_dir():
            raise CheckpointError(f'{directory} is not a checkpoint: no such directory'
                                  f'{nearest_path(directory)}')
        raise CheckpointError(f'{directory} is not a checkpoint: {", ".join(missing)} missing, it '
                              f'holds {listing(directory)}: copy it again, whole')
    return config_from_dict(
        read_json(directory / 'config.json'), str(directory / 'config.json'))


def read_tokenizer(directory):
    """
    Return the `tokenizers.Tokenizer` of a checkpoint; raise CheckpointError if damaged.

    directory: holds tokenizer.json, or is such a file under another name.
    """
    from tokenizers import Tokenizer
    path = Path(directory)
    path = path if path.is_file() else path / 'tokenizer.json'
    read_json(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(f'{path} is not a tokenizers file ({error})') from error
    tokenizer.no_truncation()  # a file may hold both; they are what its batches were made with
    tokenizer.no_padding()
    return tokenizer


def file_contents(config: CheckpointConfig, norm_stats: dict, tokenizer) -> dict[str, str]:
    """Return the text of all files but the weights by name, config.json last."""
    return {'norm_stats.json': json.dumps(norm_stats, indent=1) + '\n',
            'tokenizer.json': tokenizer.to_str(pretty=True) + '\n',
            'config.json': json.dumps(config_to_dict(config), indent=1) + '\n'}


def save(directory, config: CheckpointConfig, weights: dict, norm_stats: dict, tokenizer):
    """
    Write a checkpoint directory; other files in it are left alone.

    Everything is on the disk before the first file of an older checkpoint is replaced, so an
    OSError (a full disk) leaves that one whole.  config.json comes last: a run killed while
    files are renamed leaves none that loads.

    weights: tensors by name.  norm_stats: content by unnorm_key.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    contents = file_contents(config, norm_stats, tokenizer)
    parts = {name: directory / f'{name}.part' for name in FILES}
    try:
        _write_weights(weights, parts['model.safetensors'])
        for name, text in contents.items():
            parts[name].write_text(text)
        shutil.copymode(parts['config.json'], parts['model.safetensors'])  # it came as 0600
        (directory / 'config.json').unlink(missing_ok=True)
        for name in ('model.safetensors', *contents):
            os.replace(parts[name], directory / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _write_weights(weights: dict, path: Path) -> None:
    """Write tensors by name; raise OSError, as every other file would, if that fails."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path,
                  metadata={'format': 'pt'})
    except SafetensorError as error:  # holds the operating system's error as text
        number = re.search(r'os error (\d+)', str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
