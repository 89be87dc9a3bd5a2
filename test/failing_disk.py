# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A disk with a bad place (EIO) in one file, for files that are opened to be read."""
from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest


class _Failing(io.FileIO):
    """A file on such a disk."""

    bad = range(0)
    read, readall = io.RawIOBase.read, io.RawIOBase.readall  # by readinto

    def readinto(self, buffer):
        """Read what is good; raise OSError as the system does."""
        place, buffer = self.tell(), memoryview(buffer).cast('B')
        if place in self.bad and len(buffer):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(buffer[:self.bad.start - place] if place < self.bad.start
                                else buffer)


@pytest.fixture
def failing_disk(monkeypatch):
    """Return a function: from its call on these bytes of a file are bad; none of them mends it."""
    opened = Path.open

    def fail(path, bad=range(0)):
        def of(self, mode='r', buffering=-1, *arguments, **options):
            if self == path and mode == 'rb':
                raw = _Failing(self, 'r')
                raw.bad = bad
                return raw if buffering == 0 else io.BufferedReader(raw)
            return opened(self, mode, buffering, *arguments, **options)
        monkeypatch.setattr(Path, 'open', of if bad else opened)
    return fail
