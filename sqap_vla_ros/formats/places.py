# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Paths that name no checkpoint: what is there instead, and what to name."""

from __future__ import annotations

from pathlib import Path
import re

from .cogact import what_lacks
from .downloads import download_advice
from .foreign import HEAD_FILES, SUPPORTED, UNQUANTIZED
from .pickles import PickleReader
from ..errors import CheckpointError
from ..support.files import nearest_path
from ..support.resources import bundled_models, is_there
from ..support.validation import nearest

HUB = re.compile(r'(?:https?:/+(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:/*)?'
                 r'([\w.-]+/[\w.-]+?)(?:/(?:tree|blob|resolve)/.*)?')
# whose repositories are named for the folders that people have, too
PUBLISHERS = ('openvla', 'moojink', 'CogACT', 'Stanford-ILIAD', 'lerobot', 'nvidia', 'TRI-ML',
              'physical-intelligence', 'Haozhan72', 'RLinf')

KINDS = {
    '.gguf': f'for llama.cpp: {UNQUANTIZED}; {SUPPORTED}',
    **dict.fromkeys(('.bin', '.pth', '.ckpt'), (
        'that can run code when it is read, and is not: load it where you trust it and save it by '
        f'save_pretrained(..., safe_serialization=True); {SUPPORTED}')),
    **dict.fromkeys(('.zip', '.tar', '.gz', '.tgz', '.xz', '.zst'), (
        'an archive: unpack it, and name the directory that was in it'))}


def check_place(path: Path) -> None:
    """Raise CheckpointError for a path that is no directory, nor a .pt in its run directory."""
    if is_there(path) and path.is_dir():
        return
    if is_there(path):
        reason = _of_file(path)
        if not reason:
            return
    else:
        reason = _of_nothing(path)
    name = re.sub('^(https?|hf):/+', r'\1://', str(path))
    raise CheckpointError(f'{name} {reason}')


def _of_file(path: Path) -> str:
    """Return why a file is no checkpoint, '' for one that is looked into as a CogACT's."""
    if any(path.match(pattern) for pattern in HEAD_FILES):
        return (f'is a file of an OpenVLA-OFT, expected its directory: name {path.parent}, with '
                'the shards and config.json that the file came with')
    if path.suffix in KINDS:
        return f'is a file, {KINDS[path.suffix]}'
    if path.suffix != '.pt':
        inside = path.parent if (path.parent / 'config.json').is_file() else 'the one it is in'
        return f'is a file, expected a directory: name {inside}{download_advice(path)}'
    if (path.parent.parent / 'config.json').is_file():
        return ''
    return f'is a .pt file outside its run directory: {_lone(path)}'


def _lone(path: Path) -> str:
    """Return what a .pt file is that has no config.json two levels above, and what to do."""
    try:
        other = what_lacks(PickleReader(path))
    except CheckpointError as error:
        return f'{error}; {SUPPORTED}'
    if other:
        return f'it {other}; {SUPPORTED}'
    if (path.parent / 'config.json').is_file():
        return f'move it into {path.parent / "checkpoints"}, and name {path.parent}'
    return ('download the config.json and dataset_statistics.json of its repository too, put the '
            'file into checkpoints/ beside them and name it there')


def _of_nothing(path: Path) -> str:
    """Return that a path does not exist, what is near, and what else the text may mean."""
    known = bundled_models() if len(path.parts) == 1 else []
    near = nearest_path(path) or nearest(path, known)
    reason = f'does not exist{near}'
    if known and not near:
        reason += f', nor has a bundled model this name; there: {", ".join(known)}'
    hub = HUB.fullmatch(str(path))
    if hub and (hub[1].split('/')[0] in PUBLISHERS or not near and not path.parent.is_dir()):
        name = hub[1].split('/')[1]
        reason += (f'; if {hub[1]} is a Hugging Face repository, download that first: '
                   f'hf download {hub[1]} --local-dir {name}, and name the directory {name}')
    return reason
