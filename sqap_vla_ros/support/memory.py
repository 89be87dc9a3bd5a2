# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a process really needs: memory of its own, apart from pages of files that it has mapped.

Linux counts both as resident.  The kernel takes back pages of files when it needs room, so
`RssAnon` in /proc/self/status is what must fit.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
import threading

_STATUS, _SYSTEM = Path('/proc/self/status'), Path('/proc/meminfo')


def status_bytes(field: str, path: Path = _STATUS) -> int:
    """Return a field of a process's status in bytes, 0 where there is none (not Linux)."""
    if not path.is_file():
        return 0
    for line in path.read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) * 1024
    return 0


def available_bytes(path: Path = _SYSTEM) -> int | None:
    """Return how much memory the system has left for programs, None where it does not tell."""
    return status_bytes('MemAvailable', path) or None


def give_back() -> None:
    """Return to the system what was freed and glibc keeps for later; other C libraries do not."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)


class PeakMemory:
    """
    Remember the most memory of its own that this process has while in a `with` block.

    anonymous: bytes, sampled by a thread.  resident: the most since the process began,
    with mapped files.
    """

    def __init__(self, interval_s: float = 0.02):
        """Sample so often."""
        self.anonymous, self._interval_s = 0, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def resident(self) -> int:
        """Return the kernel's own high-water mark."""
        return status_bytes('VmHWM')

    def __enter__(self) -> PeakMemory:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.anonymous = max(self.anonymous, status_bytes('RssAnon'))
            if self._stop.wait(self._interval_s):
                return
