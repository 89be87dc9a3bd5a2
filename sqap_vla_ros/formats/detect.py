# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Tell the three formats apart by config.json."""

from __future__ import annotations

from pathlib import Path

from .checkpoint import read_config, read_json
from .cogact import open_cogact
from .openvla import open_openvla
from .own import open_own
from .source import Source
from ..errors import CheckpointError


def open_checkpoint(path, tokenizer=None) -> Source:
    """
    Open a checkpoint of any format without reading its weights.

    path: a directory, or a CogACT .pt file in its run directory's checkpoints/.  tokenizer:
    directory of the tokenizer, instead of the checkpoint's own.
    Raises CheckpointError for what is missing, damaged or unknown.
    """
    path = Path(path)
    directory = path.parent.parent if path.suffix == '.pt' and path.is_file() else path
    if not (directory / 'config.json').is_file():
        read_config(directory)  # says what a checkpoint consists of
    content = read_json(directory / 'config.json')
    if 'format' in content:
        return open_own(directory, tokenizer)
    if content.get('model_type') == 'openvla':
        return open_openvla(directory, content, tokenizer)
    if 'vla' in content:
        return open_cogact(path, directory, content, tokenizer)
    raise CheckpointError(
        f'{directory / "config.json"}: architecture {content.get("architectures")}, model_type '
        f'{content.get("model_type")!r}, is unknown: this engine loads OpenVLA directories, '
        'CogACT run directories and its own')
