# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Files that are there whole or not at all, and errors of a full disk that say what to do.

Whoever works for minutes tries its output first (`check_output`), and what is refused in the end
is one line with the path, what it takes and what is free.
"""

from __future__ import annotations

from contextlib import contextmanager
import errno
import os
from pathlib import Path
import shutil
import tempfile

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.validation import nearest_name

MIB = 2 ** 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG)


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
    except OSError as error:
        error.filename = error.filename or str(path)  # what is too long for a disk has none
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def growing_file(path):
    """
    Yield a binary file to write into, that has the path once all of it is written.

    After any error there is what was there before.
    """
    path = Path(path)
    part = path.with_name(path.name + '.part')
    try:
        with part.open('wb') as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def save_file(path, content: bytes, option: str = '') -> None:
    """Write a file whole; raise ConfigError, naming the option, where that cannot be."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise ConfigError(_refusal(path, error.strerror or error, len(content), option)) from error


def check_output(path, option: str = '', needed_bytes: int = 0) -> None:
    """
    Raise ConfigError, before any work, where a file could not be written.

    option: names it in the message.  needed_bytes: about as much as it will hold.  A device or
    pipe is not tried.
    """
    path = Path(path)
    if path.is_dir():
        raise ConfigError(_refusal(path, 'is a directory', needed_bytes, option))
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f'{option} {path}: the directory {folder} does not exist'.lstrip()
                          + f'{nearest_path(folder)}: make it first')
    if not path.exists() or path.is_file():
        check_directory(folder, option, needed_bytes, path)


def check_directory(folder, option: str = '', needed_bytes: int = 0, path=None) -> None:
    """Raise ConfigError for a directory without permission or room; path: what goes into it."""
    path = path or folder
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2 ** 12))
    except OSError as error:
        raise ConfigError(
            _refusal(path, error.strerror or error, needed_bytes, option)) from error
    if shutil.disk_usage(folder).free < needed_bytes:
        raise ConfigError(_refusal(path, os.strerror(errno.ENOSPC), needed_bytes, option))


def unwritable(error: OSError) -> str:
    """Return one line for what a disk or its permissions refused, '' for any other error."""
    if error.errno not in _REFUSED:
        return ''
    path = error.filename or 'the output'
    return _refusal(path, error.strerror, 0, '')


def _refusal(path, reason, needed_bytes: int, option: str) -> str:
    """Return why a path cannot be written, how much it takes and how much is free."""
    needed = f'{needed_bytes} bytes are needed, ' if needed_bytes else ''
    text = f'{option} {path} cannot be written: {reason}'.lstrip()
    return f'{text} ({needed}{free_bytes(path)} bytes are free)'


def free_bytes(path) -> int:
    """Return how much the disk of a path, or of the nearest directory above it, has left."""
    place = Path(path).absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def listing(directory, count: int = 3) -> str:
    """Return the first names in a directory, 'nothing' for an empty one."""
    names = sorted(f'{path.name}/' if path.is_dir() else path.name
                   for path in Path(directory).iterdir())
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(names[:count]) + more or 'nothing'


def nearest_path(path) -> str:
    """
    Return " (did you mean 'x'?)" for a path that does not exist, '' where nothing is near.

    The first part that is missing is looked for among its neighbours.
    """
    path = Path(path)
    missing = [place for place in (path, *path.parents) if not place.exists()]
    if not missing:
        return ''
    place = missing[-1]
    try:
        name = nearest_name(place.name, [each.name for each in place.parent.iterdir()])
    except OSError:
        return ''
    return f" (did you mean '{place.parent / name / path.relative_to(place)}'?)" if name else ''


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
            free = free_bytes(directory)
            missing = max(1, -(-(needed_bytes - free) // MIB))
            cause = (f'No space left for {directory} ({needed_bytes} bytes needed, {free} free): '
                     f'free {missing} MiB')
        raise ConfigError(f'{cause} and start the same command again; {kept}') from error
