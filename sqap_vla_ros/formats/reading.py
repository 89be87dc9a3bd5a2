# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Bytes of a checkpoint's files, read so that a disk that fails is an error that says so.

A mapped file has no errors: where its disk or network fails the process ends by SIGBUS, without a
word and without what it has done.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import CheckpointError, UnreadableError

_PIECE = 2 ** 20  # bytes, which stay in the cache of one core
_MOST_HEADER = 10 ** 8  # bytes, the format's own limit


def unreadable(path: Path, error: OSError) -> UnreadableError:
    """Return what to raise for a file that the system does not give."""
    return UnreadableError(f'{path} cannot be read ({error.strerror or error}): see to the disk '
                           'or network that it is on')


def read_through(path: Path, first: int, last: int) -> None:
    """
    Read bytes first..last-1 of a file once, before a mapping of it is touched.

    Where a disk fails, or the file was cut meanwhile, a mapping ends the process by SIGBUS; this
    raises UnreadableError or CheckpointError.
    """
    piece = memoryview(bytearray(min(_PIECE, last - first)))
    try:
        with path.open('rb', buffering=0) as file:
            file.seek(first)
            while first < last:
                count = file.readinto(piece[:last - first])
                if not count:
                    raise CheckpointError(f'{path} ends at byte {first}, its header promises '
                                          f'{last}: it has changed meanwhile, copy it again')
                first += count
    except OSError as error:
        raise unreadable(path, error) from error


def safetensors_header(path: Path) -> tuple[dict, int]:
    """Return a safetensors file's header, {} for a damaged one, and where its values begin."""
    try:
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            text = file.read(length) if length <= _MOST_HEADER else b''
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        header = json.loads(text)
    except ValueError:  # safe_open says what is wrong with it
        header = {}
    return header if isinstance(header, dict) else {}, 8 + length
