# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An MCAP file (*.mcap), chunk by chunk: a damaged one costs its own messages and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
import os
from pathlib import Path
import struct
from typing import NamedTuple

from .mcap_index import BEGINNING, index, LOOSE
from .mcap_records import (
    chunk_beginning, chunk_head, chunk_records, HEAD, MESSAGE, MESSAGE_HEAD, records_in)
from .parts import Block, LATEST_NS, LZ4, Part, Raw, unpacked, ZSTD

PACKED = LZ4, ZSTD
SHARED_BYTES = 2**16  # from which the data of a message is not copied out of its chunk


class Loaded(NamedTuple):
    """
    A block as it lies in the file.

    records: of the chunk.  heads: [(time, channel, where its data begins and ends)] of the
    messages.  problem: what is damaged, '' for nothing.
    """

    records: memoryview | bytes
    heads: list[tuple[int, int, int, int]]
    problem: str


class McapFile:
    """Reads one MCAP; loads_ahead: see Loading."""

    loads_ahead = True

    def __init__(self, path: Path, told=lambda done: None):
        """Open a file; told(done bytes) if it has to be read. Raises ObservationError."""
        self.part = Part(path, 'mcap')
        self._packed_wrong = set()  # where
        self._file = path.open('rb')
        try:
            index(self._file, path.stat().st_size, self.part, told)
            self._leave_out_timeless()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def losses(self) -> list[str]:
        """Return what is damaged, as far as it was read."""
        name, damaged, found = self.part.path.name, self.part.damaged, []
        if damaged:
            size = sum(length for _, length in damaged)
            found = [f'{name}: {len(damaged)} of {len(damaged.keys() | self._places())} chunks '
                     f'are damaged, {size} bytes, the first at byte {min(damaged)[0]}: '
                     f'{"; ".join(sorted(set(damaged.values()))[:2])}']
        if self._packed_wrong:
            found.append(f'{name}: {len(self._packed_wrong)} messages are damaged: they cannot be '
                         'unpacked')
        return self.part.losses + found + self.part.timeless_told()

    def _leave_out_timeless(self):
        """Mend the ends of blocks that hold messages whose times cannot be."""
        for block in list(self.part.blocks):
            if block.end_ns > LATEST_NS:
                times = [time_ns for time_ns, _ in self.times(block)]
                if times:
                    block.start_ns, block.end_ns = min(times), max(times)
                else:
                    self.part.blocks.remove(block)
        self.part.counts -= Counter(self.part.timeless.values())

    def _places(self):
        return {block.place[:2] for block in self.part.blocks}

    def load(self, block: Block) -> Loaded:
        """Return what lies in a block; several threads may."""
        records, heads = b'', []
        try:
            records = memoryview(self._records(block))
            for kind, begin, end in records_in(records):
                if kind == MESSAGE:
                    channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(records, begin)
                    heads.append((time_ns, channel, begin + MESSAGE_HEAD.size, end))
        except (ValueError, struct.error, OSError) as error:
            return Loaded(records, heads, '' if block.place[2] == BEGINNING else str(error))
        return Loaded(records, heads, '')

    def read(self, block: Block, channels: frozenset[int], loaded: Loaded) -> Iterator[Raw]:
        """Yield the messages of channels in a block, as load has it, by their times."""
        records, heads = loaded.records, self._heads(block, loaded)
        wanted = [head for head in heads[block.first:block.last] if head[1] in channels]
        for time_ns, channel, begin, end in sorted(wanted, key=itemgetter(0)):
            data = records[begin:end]
            if end - begin < SHARED_BYTES or data[:4] in PACKED:
                try:
                    data = unpacked(bytes(data))
                except ValueError:
                    self._packed_wrong.add((block.place[0], begin))
                    continue
            yield Raw(time_ns, channel, data)

    def times(self, block: Block) -> list[tuple[int, int]]:
        """Return (time, channel) of the messages of a block as they lie in the file."""
        return [head[:2] for head in self._heads(block, self.load(block))]

    def _heads(self, block, loaded):
        """Return those of a block's messages whose times can be; note what is damaged."""
        if loaded.problem:
            self.part.damaged[block.place[:2]] = loaded.problem
        return [head for head in loaded.heads if 0 <= head[0] <= LATEST_NS or self.part.has_time(
            *head[:2], (block.place[0], head[2] - MESSAGE_HEAD.size))]

    def _records(self, block):
        at, length, form = block.place
        content = memoryview(_at(self._file.fileno(), length, at))
        if form == LOOSE:
            return content
        head = chunk_head(content[HEAD.size:])
        begin = HEAD.size + head.data_at
        data = content[begin:begin + head.data_size]
        return (chunk_beginning if form == BEGINNING else chunk_records)(head, data)


def _at(file: int, size: int, place: int) -> bytes:
    """Return what lies at a place, less at the end of the file; one call may give less."""
    found = os.pread(file, size, place)
    while 0 < len(found) < size:
        more = os.pread(file, size - len(found), place + len(found))
        if not more:
            break
        found += more
    return found
