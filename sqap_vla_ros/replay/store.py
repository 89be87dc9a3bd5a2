# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Tables on a disk that grow by one record at a time, so that an interrupted replay goes on.

A record that was cut off (a kill, a full disk) is dropped when the table is opened again. They
are read through the system's pages: results of any length take no memory of their own.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..support.files import saving_to


class Table:
    """Records of one type in a file; as many as `len` says are whole."""

    def __init__(self, path: Path, kind: np.dtype, kept: str):
        """
        Open a table, or make one.

        kept: what to tell is on the disk where it is full.
        """
        self.kind, self._path, self._kept = kind, path, kept
        with self._saving():
            self._file = path.open('ab', buffering=0)
            self._count = path.stat().st_size // kind.itemsize
            self._file.truncate(self._count * kind.itemsize)

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    def append(self, **fields) -> None:
        """Add a record; raise ConfigError if it cannot be written."""
        record = np.zeros((), self.kind)
        for name, value in fields.items():
            if np.shape(value) != self.kind[name].shape:
                raise ValueError(f'{name} has shape {np.shape(value)}, expected '
                                 f'{self.kind[name].shape}')
            record[name] = value
        with self._saving():
            _write(self._file, record.tobytes())
        self._count += 1

    def cut(self, count: int) -> None:
        """Drop what is behind so many records."""
        if count < self._count:
            with self._saving():
                self._file.truncate(count * self.kind.itemsize)
            self._count = count

    def read(self, count: int | None = None) -> np.ndarray:
        """Return the first records [N], as the file has them."""
        count = self._count if count is None else count
        if not count:
            return np.zeros(0, self.kind)
        return np.memmap(self._path, self.kind, 'r', shape=(count,))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _saving(self):
        return saving_to(self._path.parent, self.kind.itemsize, self._kept)


class Texts:
    """Texts by number; 0 is ''. What is said again and again is written once."""

    def __init__(self, path: Path, kept: str):
        """Open, or make; kept: see Table."""
        self._path, self._kept, self._numbers = path, kept, {'': 0}
        lines = path.read_bytes().split(b'\n')[:-1] if path.is_file() else []
        try:
            self._numbers.update((json.loads(line), number + 1)
                                 for number, line in enumerate(lines))
        except ValueError as error:
            raise ConfigError(f'{path} is damaged ({error}): delete {path.parent} to start '
                              'again') from error
        with self._saving():
            self._file = path.open('ab', buffering=0)
            self._file.truncate(sum(len(line) + 1 for line in lines))

    def number(self, text: str) -> int:
        """Return the number of a text, which is kept."""
        if text not in self._numbers:
            with self._saving():
                _write(self._file, json.dumps(text).encode() + b'\n')
            self._numbers[text] = len(self._numbers)
        return self._numbers[text]

    def by_number(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._numbers)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _saving(self):
        return saving_to(self._path.parent, 0, self._kept)


def _write(file, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes less at once, and then says so."""
    while data:
        data = data[file.write(data):]
