# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An MCAP file (*.mcap), chunk by chunk: a damaged one costs its own messages and no others."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
import struct

from .mcap_index import BEGINNING, index, LOOSE
from .mcap_records import (
    chunk_beginning, chunk_head, chunk_records, HEAD, MESSAGE, MESSAGE_HEAD, records_in)
from .parts import Block, Part, Raw, unpacked

_DAMAGE = (ValueError, struct.error)


class McapFile:
    """Reads one MCAP."""

    def __init__(self, path: Path, told=lambda done: None):
        """Open a file; told(done bytes) if it has to be read. Raises ObservationError."""
        self.part = Part(path, 'mcap')
        self._damaged = set()
        self._file = path.open('rb')
        try:
            index(self._file, path.stat().st_size, self.part, told)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, block: Block, channels: frozenset[int]) -> Iterator[Raw]:
        """Yield the messages of channels in a block in the order of their times."""
        return iter(sorted(self._messages(block, channels), key=attrgetter('time_ns')))

    def _messages(self, block, channels) -> list[Raw]:
        found = []
        try:
            records = self._records(block)
            for kind, begin, end in records_in(records):
                if kind == MESSAGE:
                    channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(records, begin)
                    if channel in channels:
                        data = bytes(records[begin + MESSAGE_HEAD.size:end])
                        found.append(Raw(time_ns, channel, unpacked(data)))
        except _DAMAGE as error:
            self._note(block, error)
        return found

    def _records(self, block):
        at, length, form = block.place
        self._file.seek(at)
        content = self._file.read(length)
        if form == LOOSE:
            return content
        head = chunk_head(memoryview(content)[HEAD.size:])
        begin = HEAD.size + head.data_at
        data = memoryview(content)[begin:begin + head.data_size]
        return (chunk_beginning if form == BEGINNING else chunk_records)(head, data)

    def _note(self, block, error):
        """Tell once of a chunk that is lost."""
        if block.place[2] != BEGINNING and block.place not in self._damaged:
            self._damaged.add(block.place)
            seconds = (block.end_ns - block.start_ns) * 1e-9
            self.part.losses.append(
                f'{self.part.path.name}: a chunk of {block.place[1]} bytes at byte '
                f'{block.place[0]}, of {seconds:.2f} s, is damaged: {error}')
