# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Tell the formats apart by their files and config.json, and refuse others by name."""

from __future__ import annotations

from pathlib import Path

from .checkpoint import read_config, read_json
from .cogact import open_cogact
from .deployment import FILE
from .foreign import check_known, SUPPORTED
from .oft import is_oft, open_oft
from .openvla import open_openvla
from .places import check_place
from .source import find_tokenizer, Source
from .tensors import RenamedReader, SafetensorsReader
from ..errors import CheckpointError


def open_checkpoint(path, tokenizer=None) -> Source:
    """
    Open a checkpoint of any format without reading its weights.

    path: a directory, or a CogACT .pt file in its run directory's checkpoints/.  tokenizer:
    directory of the tokenizer, instead of the checkpoint's own.
    Raises CheckpointError for what is missing, damaged or unknown.
    """
    path = Path(path)
    check_place(path)
    directory = path if path.is_dir() else path.parent.parent
    has_config = (directory / 'config.json').is_file()
    content = read_json(directory / 'config.json') if has_config else {}
    if path != directory and 'vla' not in content:
        raise CheckpointError(f'{path} is a .pt file, and the config.json of {directory} is not '
                              'that of a CogACT: name the directory that is meant')
    if 'format' in content:
        return _open_own(directory, tokenizer)
    has_heads = is_oft(directory)
    if content or not has_heads:
        check_known(directory, content)
    if has_heads:
        return open_oft(directory, content, tokenizer)
    if content.get('model_type') == 'openvla':
        return open_openvla(directory, content, tokenizer)
    if 'vla' in content:
        return open_cogact(path, directory, content, tokenizer)
    names = [f'{name} {content[name]!r}' for name in ('architectures', 'model_type')
             if name in content]
    raise CheckpointError(
        f'{directory / "config.json"}: {", ".join(names) or f"a config of {sorted(content)[:5]}"}'
        f', is unknown; {SUPPORTED}')


def _open_own(directory: Path, tokenizer) -> Source:
    """Open a directory that training or conversion wrote; raise CheckpointError."""
    config = read_config(directory)
    if (directory / FILE).is_file():
        raise CheckpointError(
            f'{directory / FILE} lies beside a checkpoint of this package (converted or trained), '
            'of which only config.json counts: write what it says there, under action_space, '
            'unnorm_key, cameras, state_names and image, and move this file elsewhere')
    tensors = RenamedReader(SafetensorsReader(directory))
    return Source(
        'sqap_vla_ros', directory, config, tensors, read_json(directory / 'norm_stats.json'),
        'norm_stats.json', find_tokenizer(directory, tokenizer), tensors.notes)
