# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An MCAP file (*.mcap), chunk by chunk: a damaged one costs its own messages and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
import struct

from .mcap_index import BEGINNING, index, LOOSE
from .mcap_records import (
    chunk_beginning, chunk_head, chunk_records, HEAD, MESSAGE, MESSAGE_HEAD, records_in)
from .parts import Block, LATEST_NS, Part, Raw, unpacked


class McapFile:
    """Reads one MCAP."""

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

    def read(self, block: Block, channels: frozenset[int]) -> Iterator[Raw]:
        """Yield the messages of channels in a block in the order of their times."""
        records, heads = self._heads(block)
        wanted = [head for head in heads[block.first:block.last] if head[1] in channels]
        for time_ns, channel, begin, end in sorted(wanted, key=itemgetter(0)):
            try:
                yield Raw(time_ns, channel, unpacked(bytes(records[begin:end])))
            except ValueError:
                self._packed_wrong.add((block.place[0], begin))

    def times(self, block: Block) -> list[tuple[int, int]]:
        """Return (time, channel) of the messages of a block as they lie in the file."""
        return [head[:2] for head in self._heads(block)[1]]

    def _heads(self, block):
        """Return (records, [(time, channel, where its data begins and ends)]) of a block."""
        records, heads = b'', []
        try:
            records = self._records(block)
            for kind, begin, end in records_in(records):
                if kind == MESSAGE:
                    channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(records, begin)
                    if self.part.has_time(time_ns, channel, (block.place[0], begin)):
                        heads.append((time_ns, channel, begin + MESSAGE_HEAD.size, end))
        except (ValueError, struct.error, OSError) as error:
            if block.place[2] != BEGINNING:
                self.part.damaged[block.place[:2]] = str(error)
        return records, heads

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
