# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""This package's own checkpoint directories; see model/checkpoint.py."""

from __future__ import annotations

from pathlib import Path

from .checkpoint import read_config, read_json
from .source import find_tokenizer, Source
from .tensors import RenamedReader, SafetensorsReader


def open_own(directory: Path, tokenizer=None) -> Source:
    """Open a directory that training or conversion wrote; raise CheckpointError."""
    config = read_config(directory)
    tensors = RenamedReader(SafetensorsReader(directory))
    return Source(
        'sqap_vla_ros', directory, config, tensors, read_json(directory / 'norm_stats.json'),
        'norm_stats.json', find_tokenizer(directory, tokenizer), tensors.notes)
