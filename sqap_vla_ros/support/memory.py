# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a process really needs: memory of its own, apart from pages of files that it has mapped.

Linux counts both as resident.  The kernel takes back pages of files when it needs room, so
`RssAnon` in /proc/self/status is what must fit.
"""

from __future__ import annotations

from collections.abc import Iterator
import ctypes
import os
from pathlib import Path
import threading

_STATUS, _SYSTEM = Path('/proc/self/status'), Path('/proc/meminfo')
_GROUPS, _MOUNT = Path('/proc/self/cgroup'), Path('/sys/fs/cgroup')


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


def total_bytes(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """
    Return how much memory this process may have: the machine's, or a container's limit.

    groups, mount: of the process and of the file system of control groups, version 1 or 2.
    """
    machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return min([machine, *_limits(groups, mount)])


def _limits(groups: Path, mount: Path) -> Iterator[int]:
    """Yield the limits of a process's control groups and of those above, in bytes."""
    for line in _text(groups).splitlines():
        controllers, _, name = line.partition(':')[2].partition(':')
        if controllers and 'memory' not in controllers.split(','):
            continue
        root = mount / 'memory' if controllers else mount
        place = root / name.lstrip('/')  # not there where a container sees its own as the root
        for folder in (place, *place.parents):
            limit = _text(folder / ('memory.limit_in_bytes' if controllers else 'memory.max'))
            if limit.strip().isdigit():  # else 'max'
                yield int(limit)
            if folder == root:
                break


def _text(path: Path) -> str:
    """Return what a file of the kernel says, '' where it says nothing."""
    try:
        return path.read_text()
    except OSError:
        return ''


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
