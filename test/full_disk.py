# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A disk that is full after so many bytes, for files that are opened for writing in binary."""
from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest


class _Full(io.FileIO):
    """A file on such a disk."""

    left = 0

    def write(self, data):
        """Write what there is room for; raise OSError as the system does."""
        data = memoryview(data).cast('B')
        if len(data) > _Full.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _Full.left -= len(data)
        return super().write(data)


@pytest.fixture
def full_disk(monkeypatch):
    """Return a function: from its call on there is room for so many bytes."""
    opened = Path.open

    def of(self, mode='r', buffering=-1, *arguments, **options):
        if 'b' in mode and mode[0] in 'wxa':
            return _Full(self, mode.replace('b', ''))
        return opened(self, mode, buffering, *arguments, **options)

    def full(room: int):
        _Full.left = room
        monkeypatch.setattr(Path, 'open', of)
    return full
