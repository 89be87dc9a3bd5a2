# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
OpenVLA-OFT directories: those of an OpenVLA, with heads in files of their own beside it.

config.json and the shards do not tell one from a plain OpenVLA: the files of oft_parts do.  What
no file says is chosen in oft_constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import dataclasses
from dataclasses import dataclass
from functools import lru_cache
import logging
from pathlib import Path

from .checkpoint import CheckpointConfig, read_json, settle_rows
from .deployment import Deployment, FILE, named_cameras, read_deployment
from .fused import image_options, UNUSED_NOTE
from .norm_stats import by_data_set, width_of
from .oft_body import Body, open_body
from .oft_constants import choose, Constants, name_origins, origin_notes, state_names
from .oft_driving import Found, image_doubts, obstacles
from .oft_parts import check_parts, find_parts, head_reading, head_sizes, with_heads
from .openvla import (
    check_architecture, model_config, prefixes, preprocessor, statistics, token_head, vision_ids)
from .sizes import Shapes
from .source import find_tokenizer, Source
from .tensors import RenamedReader
from ..control.states import is_undeclared
from ..errors import CheckpointError, ConfigError
from ..model.oft import OFTHeadConfig
from ..model.vla import VLAConfig

_LOG = logging.getLogger(__name__)
STATISTICS = 'dataset_statistics.json'
MAX_POSITIONS = 2048  # that the decoder was trained for
MIN_WORDS = 32  # room for the shortest instructions
PRUNE_LAYER = 3  # the placeholders are zeros in front of block 0: their rows have no content yet


def is_oft(directory: Path) -> bool:
    """Whether there are files of its heads, or deployment.json says so; raises CheckpointError."""
    path = directory / FILE
    return bool(find_parts(directory)) or path.is_file() and 'oft' in read_json(path)


def open_oft(directory: Path, content: dict, tokenizer=None) -> Source:
    """
    Open an OpenVLA-OFT directory.

    content: of its config.json, empty where the base model's is meant.  Raises CheckpointError.
    """
    deployment, parts = read_deployment(directory), find_parts(directory)
    check_parts(directory, parts, deployment.oft)
    body = open_body(directory, content, deployment.oft.base, 'vision_backbone' in parts)
    source = str(body.directory / 'config.json')
    _check_model(body.content, parts, source)
    tensors = with_heads(body.reader, parts, _prefixes(body.content, parts, source))
    tensors.without(r'lm_head\.')
    stats, default_key = _statistics(directory, body.content, parts)
    given = tokenizer or deployment.tokenizer
    found = find_tokenizer(directory, given) or find_tokenizer(body.directory, given)
    with _blamed_on(source):
        model = model_config(directory, body.content, tensors, source)
    opened = _Opened(directory, body, model, tensors, parts, deployment, stats, found)
    return opened.source(deployment.unnorm_key or default_key)


def _check_model(content: dict, parts: Mapping[str, Path], source: str) -> None:
    """Raise CheckpointError unless config.json is of an OpenVLA that this engine runs."""
    if not content:
        raise CheckpointError(f'{source} is missing: copy the directory again, whole')
    if content.get('model_type') != 'openvla':
        found = ', '.join(path.name for path in parts.values()) or f'"oft" in {FILE}'
        raise CheckpointError(f'{source}: model_type is {content.get("model_type")!r}, and {found}'
                              ' can only be of an OpenVLA-OFT, whose is "openvla": download the '
                              'config.json that came with its weights')
    check_architecture(content, source)


def _prefixes(content: dict, parts: Mapping[str, Path], source: str) -> dict[str, str]:
    """Return the prefixes of an OpenVLA's names; its output layer is the head's, or unused."""
    unused = {} if 'action_head' not in parts else {'language_model.lm_head.': 'lm_head.'}
    return {**prefixes(content, source), **unused}


def _statistics(directory: Path, content: dict, parts: Mapping[str, Path]) -> tuple[dict, str]:
    """
    Return the statistics by data set, and the key of the only one.

    Those in config.json are of the base model, whose data sets no head was trained on.
    """
    path = directory / STATISTICS
    if not path.is_file() and 'action_head' not in parts:
        return statistics(directory, content)
    if not path.is_file():
        raise CheckpointError(
            f'{path} is missing: the statistics in config.json are those of the base model, and '
            'give no units to heads that were trained on another data set: download it, or write '
            'it with those of that data set')
    stats = by_data_set(read_json(path), path)
    return stats, next(iter(stats)) if len(stats) == 1 else ''


@contextmanager
def _blamed_on(source: str) -> Iterator[None]:
    """Raise CheckpointError, naming the file, for what its content makes impossible."""
    try:
        yield
    except (ConfigError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error


@dataclass(frozen=True)
class _Opened:
    """
    What is the same whatever data set is chosen: the files, and what the user says.

    model: VLAConfig's fields of the OpenVLA in it; those of its tensors that are unused are out.
    """

    directory: Path
    body: Body
    model: dict
    tensors: RenamedReader
    parts: Mapping[str, Path]
    deployment: Deployment
    stats: dict
    tokenizer: Path | None

    def source(self, key: str, is_told: bool = True) -> Source:
        """
        Return the checkpoint for a data set, '' for all of them; raise CheckpointError.

        is_told: whether the log tells what was chosen.
        """
        source = str(self.body.directory / 'config.json')
        with _blamed_on(source):
            config, constants, notes, differing = self._config(key, source)
        entries = [self.stats.get(key)] if key else list(self.stats.values())
        entry = next((each for each in entries if width_of(each, 'proprio') is not None), None)
        found = Found(self.directory, self.parts, self.deployment, entry)
        doubts = image_doubts(found, constants)
        stops = (*obstacles(found, constants), *differing)
        if key and is_told:
            self._log(config, constants)
        return Source(
            'openvla_oft', self.directory, settle_rows(config, f'{self.directory / FILE}'),
            self.tensors, self.stats, STATISTICS, self.tokenizer,
            (*self.body.notes, *notes, UNUSED_NOTE, *self.tensors.notes, *doubts,
             *(f'drives no robot: {text}' for text in stops)), stops, doubts, self.source)

    def _log(self, config: CheckpointConfig, constants: Constants) -> None:
        """Log what was chosen, and from where."""
        for text in origin_notes(config):
            _tell(logging.WARNING if constants.guessed else logging.INFO,
                  f'{self.directory}: {text}')

    def _constants(self, key: str, head: dict, state_dim: int) -> tuple[Constants, tuple]:
        """
        Return the constants and obstacles.

        Where no data set is chosen and all together tell nothing, those of the first that does.
        """
        keys, first_error = [key] if key else sorted(self.stats), None
        for told in (keys, *([one] for one in keys if len(keys) > 1)):
            try:
                found = choose(self.deployment.oft, told, len(self.deployment.cameras),
                               head.get('action_dim'), state_dim, str(self.directory))
            except CheckpointError as error:
                first_error = first_error or error
                continue
            return found, () if told is keys else (
                f'{self.directory}: its data sets differ, and what is said is of {told[0]} alone: '
                f'choose one by unnorm_key, one of {keys}',)
        raise first_error

    def _config(self, key: str, source: str) -> tuple[CheckpointConfig, Constants, tuple, tuple]:
        """Return all that there is to say, what was chosen, notes and obstacles."""
        file, deployment = str(self.directory / FILE), self.deployment
        model, shapes = self.model, Shapes(self.tensors.shapes, self.directory)
        head = _head(shapes, self.tensors, self.parts, self.body.content, model['llm'])
        state = _state_sizes(shapes)
        _check_widths(self.stats, key, self.parts, head, state['state_dim'], STATISTICS)
        constants, differing = self._constants(key, head, state['state_dim'])
        rows, cols = model['vision'].grid
        _check_length(constants, rows * cols, head.get('action_dim') or width_of(
            self.stats.get(key), 'action') or 1, file)
        names, undeclared = state_names(
            constants.platform, deployment.state, state['state_dim'], file)
        config = CheckpointConfig(
            model=VLAConfig(**{
                **model, **state, 'text_length': 0, 'images': constants.images,
                'attention': 'full', 'film': 'vision_backbone' in self.parts,
                'prune_layer': min(PRUNE_LAYER, model['llm'].num_layers),
                'head': _head_config(head, constants, deployment, file)}),
            action_space=deployment.action_space, ensemble=deployment.ensemble,
            cameras=named_cameras(deployment, constants.images, self.directory), prompt='oft',
            state_names=names, normalization=constants.normalization, unnorm_key=key,
            **self._image_options(source))
        origins = name_origins(
            constants, bool(deployment.cameras), bool(config.cameras),
            bool(names) and not deployment.state and not is_undeclared(names))
        return (dataclasses.replace(config, origins={**constants.origins, **origins}), constants,
                undeclared, differing)

    def _image_options(self, source: str) -> dict:
        """Return CheckpointConfig's fields of the preprocessing."""
        content = self.body.content
        saved = preprocessor(self.directory, preprocessor(self.body.directory, content))
        return image_options(saved, self.deployment.image, source,
                             len(vision_ids(content, source)))


@lru_cache
def _tell(level: int, text: str) -> None:
    """Log a text, once: a directory is opened for its config, and again for its weights."""
    _LOG.log(level, '%s', text)


def _head(shapes: Shapes, tensors: RenamedReader, parts: Mapping[str, Path], content: dict,
          llm) -> dict:
    """Return what the tensors say of the head, in OFTHeadConfig's words."""
    if 'action_head' in parts:
        return {'reads': head_reading(tensors, parts), **head_sizes(shapes, parts['action_head'])}
    tokens = token_head(content, llm)
    return {'reads': 'tokens', 'bins': tokens.bins, 'vocab_end': tokens.vocab_end}


def _head_config(head: dict, constants: Constants, deployment: Deployment,
                 file: str) -> OFTHeadConfig:
    """Return the head; Source.with_key gives one of tokens as many values as the data set has."""
    steps = deployment.oft.ddim_steps
    if steps is not None and head['reads'] != 'diffusion':
        raise CheckpointError(f'{file}: oft: ddim_steps is {steps}, and this head does not '
                              'diffuse: take it out')
    try:
        return OFTHeadConfig(chunk_length=constants.chunk_length, **head,
                             **({} if steps is None else {'ddim_steps': steps}))
    except ConfigError as error:
        raise CheckpointError(f'{file}: oft: {error}') from error


def _state_sizes(shapes: Shapes) -> dict:
    """Return VLAConfig's state_dim and state_hidden."""
    if 'state_embed.0.weight' not in shapes:
        return {'state_dim': 0, 'state_hidden': 0}
    hidden, width = shapes.of('state_embed.0.weight', 2)
    return {'state_dim': width, 'state_hidden': hidden}


def _check_length(constants: Constants, patches: int, action_dim: int, file: str) -> None:
    """Raise CheckpointError where images and actions leave no room for words."""
    room = MAX_POSITIONS - MIN_WORDS - constants.images * patches
    if constants.chunk_length * action_dim > room:
        raise CheckpointError(
            f'{file}: {constants.images} images of {patches} tokens and a chunk of '
            f'{constants.chunk_length} actions of {action_dim} values do not fit the decoder, '
            f'which takes {MAX_POSITIONS} tokens with the words: write '
            + (f'a chunk_length of at most {room // action_dim}' if room >= action_dim else
               'fewer images') + ' under "oft"')


def _check_widths(stats: dict, key: str, parts: Mapping[str, Path], head: dict, state_dim: int,
                  source: str) -> None:
    """Raise CheckpointError for heads of another width than the chosen statistics have."""
    for name, part, width in (('action', 'action_head', head.get('action_dim')),
                              ('proprio', 'proprio_projector', state_dim)):
        found = width_of(stats.get(key), name)
        if part in parts and found is not None and found != width:
            raise CheckpointError(
                f'{parts[part]} is for {width} values, and {name} of {key} in {source} has '
                f'{found}: the files belong to different checkpoints: download all files of '
                'one')
