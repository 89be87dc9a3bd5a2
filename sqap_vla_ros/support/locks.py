# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One process alone writes: what two write into one file is neither's."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from ..errors import ConfigError

HELD = (errno.EAGAIN, errno.EACCES)


class Lock:
    """
    A file that says that a process works on something; it ends with the process, however.

    On a file system without locks nobody is kept out.
    """

    def __init__(self, path: Path, work: str):
        """
        Take the lock.

        work: such as 'writing to DIR', for the ConfigError where another process has it.
        """
        self._path = Path(path)
        self._file = self._taken(work)
        while not self._is_there():  # who had it has removed it meanwhile
            self._file.close()
            self._file = self._taken(work)

    def release(self) -> None:
        """Let others in."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._file.close()

    def __enter__(self) -> Lock:
        """Return it."""
        return self

    def __exit__(self, *error) -> None:
        """Release it."""
        self.release()

    def _taken(self, work: str):
        """Return the locked file."""
        try:
            file = self._path.open('a+', encoding='ascii', errors='replace')
        except OSError as error:
            raise ConfigError(f'{self._path} cannot be written ({error.strerror}): it keeps '
                              'others out meanwhile; mend that') from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                file.seek(0)
                number = file.read(20).strip() or 'unknown'
                file.close()
                raise ConfigError(f'another process (number {number}) is {work}: wait for it, '
                                  'stop it, or give another --out') from error
        self._sign(file)
        return file

    def _sign(self, file) -> None:
        """Say who has it; that it has it counts, also where a disk is full."""
        try:
            file.truncate(0)
            file.write(f'{os.getpid()}\n')
            file.flush()
        except OSError:
            pass

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False
