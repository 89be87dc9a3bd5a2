# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Blocks of files read, unpacked and checked one ahead, by another thread.

All of it is done without Python's lock.  benchmarks/replay_ingest.py tells how much of the time of
looking at a recording that is: most where its chunks are packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .parts import Block, Storage


class Loading:
    """Loads blocks of files in the order of their times, each while the one before is used."""

    def __init__(self, pieces: Sequence[tuple[int, Storage, Block]], thread: ThreadPoolExecutor):
        """pieces: (start_ns, file, block); they are asked for by their places."""
        self._pieces, self._thread, self._next, self._ahead = pieces, thread, {}, {}
        order = sorted(range(len(pieces)), key=lambda place: pieces[place][0])
        self._next = dict(zip(order, order[1:]))

    def load(self, place: int):
        """Return what Storage.load has of a block, and let the next one be loaded."""
        ahead = self._ahead.pop(place, None)
        _, file, block = self._pieces[place]
        loaded = file.load(block) if ahead is None else ahead.result()
        following = self._next.get(place)
        if following is not None:
            _, file, block = self._pieces[following]
            if file.loads_ahead:
                self._ahead[following] = self._thread.submit(file.load, block)
        return loaded
