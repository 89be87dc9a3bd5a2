# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, and errors of a full disk that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
import errno
import os
from pathlib import Path
import shutil

from sqap_vla_ros.errors import ConfigError

MIB = 2 ** 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path, content: bytes) -> None:
    """
    Write a neighbour and rename it; after an OSError, what was there before is still there.

    A device or pipe is written to as it is.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    part = path.with_name(path.name + '.part')
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def make_directory(path) -> None:
    """Make a directory, if need be; raise ConfigError where that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{path} cannot be a directory for results: {error}') from error


@contextmanager
def saving_to(directory, needed_bytes: int, kept: str):
    """
    Turn an OSError while saving into a ConfigError with the way out.

    needed_bytes: about as much as is being saved.  kept: what is on the disk nevertheless.
    """
    try:
        yield
    except OSError as error:
        cause = f'{directory} cannot be written ({error}): mend that'
        if error.errno in _FULL:
            free = shutil.disk_usage(directory).free
            missing = max(1, -(-(needed_bytes - free) // MIB))
            cause = f'No space left for {directory}: free {missing} MiB'
        raise ConfigError(f'{cause} and start the same command again; {kept}') from error
