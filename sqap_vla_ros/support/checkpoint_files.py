# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint it is, and whether it still is the same: of any format and size."""

from __future__ import annotations

from collections.abc import Iterable
import hashlib
from pathlib import Path

ENCODER_ERROR = 'encoder_error.json'  # what was measured: no part of a checkpoint's contents
READ_SUFFIXES = ('.json', '.pt', '.safetensors')  # files that a checkpoint is loaded from
WHOLE_BYTES = 2 ** 26  # up to which a file is read whole
SAMPLES, SAMPLE_BYTES = 64, 2 ** 16  # of a larger one


def checkpoint_files(checkpoint) -> list[Path]:
    """Return the files of a checkpoint: a directory, or a .pt file with what lies around it."""
    path = Path(checkpoint)
    if path.suffix == '.pt' and path.is_file():
        found = [path, *sorted(path.parent.parent.glob('*.json'))]
    else:
        found = sorted(file for file in path.rglob('*')
                       if file.is_file() and file.suffix in READ_SUFFIXES)
    return [file for file in found if file.name != ENCODER_ERROR]


def fingerprint(*checkpoints) -> tuple:
    """Return what changes when a checkpoint's files, or another one's, are written again."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns)
                 for checkpoint in checkpoints for path in checkpoint_files(checkpoint))


def digest(checkpoint) -> str:
    """Return a SHA-256 of the files' contents; of large ones the size and samples count."""
    return _digest_of(checkpoint_files(checkpoint))


def weights_digest(tensors) -> str:
    """Return the same of the files that weights are read from, wherever they lie."""
    return _digest_of(sorted(tensors.files, key=lambda path: path.name))


def _digest_of(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        if size <= WHOLE_BYTES:
            found.update(path.read_bytes())
            continue
        found.update(size.to_bytes(8, 'little'))
        with path.open('rb') as file:
            for number in range(SAMPLES):
                file.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
                found.update(file.read(SAMPLE_BYTES))
    return found.hexdigest()
