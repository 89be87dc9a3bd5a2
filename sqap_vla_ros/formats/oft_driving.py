# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Why no robot may be driven by an OpenVLA-OFT, though it answers: what is guessed, what is lost.

A constant that was guessed, or a file that was not copied, gives answers that look like any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import re

from .deployment import Deployment, FILE
from .lora import WEIGHTS as ADAPTER_WEIGHTS
from .norm_stats import width_of
from .oft_body import ADAPTER
from .oft_constants import Constants
from .tensors import SafetensorsReader
from ..errors import CheckpointError

_FILM_BLOCK = re.compile(r'\.blocks\.\d+\.block\.')
_PICTURES = {'libero': 'turned by 180 degrees and ', 'aloha': ''}


@dataclass(frozen=True)
class Found:
    """
    What lies in a directory.

    parts: its files, see find_parts.  deployment: what the user says.  entry: the statistics of
    the data set, of any where none is chosen yet.
    """

    directory: Path
    parts: Mapping[str, Path]
    deployment: Deployment
    entry: object


def obstacles(found: Found, constants: Constants) -> tuple[str, ...]:
    """Return why no robot may be driven, each with what to do; empty if it may."""
    texts = (_guess(found, constants), _lost_state(found, constants),
             _lost_film(found, constants))
    return tuple(filter(None, texts))


def image_doubts(found: Found, constants: Constants) -> tuple[str, ...]:
    """Return what is doubtful of the images where deployment.json says nothing of them."""
    name = constants.platform.name if constants.platform else ''
    if found.deployment.image or name not in _PICTURES:
        return ()
    return (f'{found.directory}: by {constants.told} it was trained on crops of 0.9 of frames '
            f'that were {_PICTURES[name]}written as JPEG files, and nothing is said of images: '
            f'write "image": "{name}" into {FILE}, or what else is done to them',)


def _guess(found: Found, constants: Constants) -> str:
    """Return what is only guessed, or ''."""
    if not constants.guessed:
        return ''
    guess = {name: getattr(constants, name) for name in constants.guessed}
    return (f'{found.directory}: {", ".join(guess)} are guessed from sizes alone '
            f'({constants.told}), and no robot is driven by a guess: if it is right, write '
            f'{json.dumps({"oft": guess})} into {FILE}, else what is')


def _lost_state(found: Found, constants: Constants) -> str:
    """Return that the file of the state is not there, though it is usual or has statistics."""
    usual, told = constants.usual, found.deployment.oft.proprio
    if 'proprio_projector' in found.parts or told is not None:
        return ''
    if usual is not None and usual.state_dim:
        return _missing(found, 'proprio_projector', 'proprio',
                        f'which checkpoints of {usual.name} usually have')
    if width_of(found.entry, 'proprio') is not None:
        return _missing(found, 'proprio_projector', 'proprio',
                        'and its statistics have those of a state (proprio)')
    return ''


def _lost_film(found: Found, constants: Constants) -> str:
    """Return that FiLM's file is not there, though it is usual or the adapter is of one."""
    if 'vision_backbone' in found.parts or found.deployment.oft.film is not None:
        return ''
    if constants.usual is not None and constants.usual.film:
        return _missing(found, 'vision_backbone', 'film',
                        f'which checkpoints of {constants.usual.name} usually have')
    name = film_name(found.directory / ADAPTER)
    return _missing(found, 'vision_backbone', 'film',
                    f'and {ADAPTER}/ has {name}, as only one with FiLM has') if name else ''


def film_name(folder: Path) -> str:
    """Return a name in the adapter's header that tells of FiLM; '' if none, or if unreadable."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        return ''
    try:
        names = SafetensorsReader(folder, ADAPTER_WEIGHTS).shapes
    except CheckpointError:  # it is not read beside whole shards, so it may be a pointer
        return ''
    return next(filter(_FILM_BLOCK.search, names), '')


def _missing(found: Found, part: str, flag: str, reason: str) -> str:
    return (f'{found.directory} has no {part}--*_checkpoint.pt, {reason}: download it, or, if it '
            f'was trained without, write {{"oft": {{"{flag}": false}}}} into {FILE}')
