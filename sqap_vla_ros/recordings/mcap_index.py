# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What is where in an MCAP: by its summary, or by reading all of it where there is none.

The recorder writes the summary when it ends. Without one, blocks are found from the beginning to
where the file was cut off, and of the last chunk as much as can be unpacked.
"""

from __future__ import annotations

from collections import Counter
import struct

from .mcap_records import (
    CHANNEL, channel_of, CHUNK, chunk_beginning, chunk_head, CHUNK_INDEX, CHUNK_INDEX_HEAD,
    chunk_records, DATA_END, FOOTER, FOOTER_BYTES, HEAD, KINDS, MAGIC, MESSAGE, MESSAGE_HEAD,
    records_in, SCHEMA, schema_of, STATISTICS, STATISTICS_HEAD)
from .parts import Block, Part
from ..errors import ObservationError

BLOCK_BYTES, BLOCK_MESSAGES = 4 * 2**20, 1024  # of messages without chunks
CHUNKED, LOOSE, BEGINNING = 'chunk', 'loose', 'beginning'
_DAMAGE = (ValueError, struct.error)


def index(file, size: int, part: Part, told) -> None:
    """
    Fill in what is known of a file of so many bytes; told(done bytes) while it is read.

    Raises ObservationError for no MCAP.
    """
    start = file.read(len(MAGIC))
    if start != MAGIC:
        raise ObservationError(
            f'{part.path} is no MCAP: it begins with {start!r}, expected {MAGIC!r}')
    if not _by_summary(file, size, part):
        _Scan(file, size, part).run(told)


def _by_summary(file, size, part) -> bool:
    """Return whether there was a summary of all; else leave the part as it was."""
    file.seek(max(0, size - FOOTER_BYTES))
    footer = file.read()
    if len(footer) < FOOTER_BYTES or footer[-8:] != MAGIC or footer[0] != FOOTER:
        return False
    at, = struct.unpack_from('<Q', footer, HEAD.size)
    if not len(MAGIC) <= at < size - FOOTER_BYTES:
        return False
    file.seek(at)
    summary = _Summary(size, part)
    try:
        if not summary.take(file.read(size - FOOTER_BYTES - at)):
            return False
    except _DAMAGE:
        return False
    part.channels, part.counts = summary.channels, summary.counts
    part.blocks = sorted(summary.blocks, key=lambda block: block.place)
    return True


class _Known:
    """Schemas and channels as they are come across."""

    def __init__(self):
        self.schemas, self.channels = {}, {}

    def take(self, kind, content):
        """Note a schema or a channel."""
        if kind == SCHEMA:
            number, name, definition = schema_of(content)
            self.schemas[number] = name, definition
        elif kind == CHANNEL:
            number, channel = channel_of(content, self.schemas)
            self.channels[number] = channel


class _Summary(_Known):
    """The summary at the end of a file."""

    def __init__(self, size, part):
        super().__init__()
        self.counts, self.blocks = Counter(), []
        self._size, self._chunks = size, None

    def take(self, data) -> bool:
        """Read the summary; return whether it tells all that is needed."""
        for kind, begin, end in records_in(data):
            content = memoryview(data)[begin:end]
            if kind == CHUNK_INDEX:
                self._note(content)
            elif kind == STATISTICS:
                self._count(content)
            else:
                super().take(kind, content)
        return (self._chunks == len(self.blocks) and set(self.counts) <= set(self.channels)
                and (bool(self.blocks) or not sum(self.counts.values())))

    def _note(self, content):
        start_ns, end_ns, at, length, size = CHUNK_INDEX_HEAD.unpack_from(content)
        if at + length > self._size:
            raise ValueError('a chunk lies beyond the end')
        pairs = struct.iter_unpack('<HQ', content[CHUNK_INDEX_HEAD.size:][:size])
        channels = frozenset(number for number, _ in pairs) or None
        self.blocks.append(Block(start_ns, end_ns, channels, (at, length, CHUNKED), length))

    def _count(self, content):
        numbers = STATISTICS_HEAD.unpack_from(content)
        self._chunks = numbers[5]
        pairs = content[STATISTICS_HEAD.size:][:numbers[8]]
        self.counts.update(dict(struct.iter_unpack('<HQ', pairs)))
        if sum(self.counts.values()) != numbers[0]:
            raise ValueError('the statistics contradict themselves')


class _Scan(_Known):
    """One pass over all records of a file."""

    def __init__(self, file, size, part):
        super().__init__()
        self._file, self._size, self._part = file, size, part
        self._loose = None

    def run(self, told):
        """Note all blocks up to where nothing can be read any more."""
        at, why = len(MAGIC), ''
        self._part.channels = self.channels
        while True:
            self._file.seek(at)
            head = self._file.read(HEAD.size)
            if len(head) < HEAD.size:
                why = 'its index is missing' if not head else 'it was cut off'
                break
            kind, length = HEAD.unpack(head)
            if kind in (DATA_END, FOOTER):
                break
            end = at + HEAD.size + length
            if kind not in KINDS:
                why = f'there is no record at byte {at}'
                break
            try:
                self._take(kind, at, min(end, self._size) - at - HEAD.size, end > self._size)
            except _DAMAGE as error:
                self._part.damaged[at, HEAD.size + length] = str(error)
            if end > self._size:
                why = f'it was cut off: of a record of {length} bytes, {end - self._size} are gone'
                break
            at = end
            told(at)
        self._finish_loose()
        if why:
            self._part.losses.append(
                f'{self._part.path.name}: {why}; what came before it was read '
                f'({min(at, self._size)} of {self._size} bytes)')

    def _take(self, kind, at, length, is_cut):
        if kind == CHUNK:
            self._finish_loose()
            self._take_chunk(at, length, is_cut)
        elif is_cut:
            return
        elif kind == MESSAGE:
            self._take_loose(at, length)
        elif kind in (SCHEMA, CHANNEL):
            self.take(kind, self._file.read(length))

    def _take_chunk(self, at, length, is_cut):
        content = memoryview(self._file.read(length))
        head = chunk_head(content)
        data = content[head.data_at:head.data_at + head.data_size]
        records = chunk_beginning(head, data) if is_cut else chunk_records(head, data)
        times, channels = [], Counter()
        try:
            for kind, begin, end in records_in(records):
                if kind == MESSAGE:
                    channel, _, time_ns, _ = MESSAGE_HEAD.unpack_from(records, begin)
                    times.append(time_ns)
                    channels[channel] += 1
                else:
                    self.take(kind, records[begin:end])
        except _DAMAGE:
            if not is_cut:
                raise
        if times:
            self._part.counts.update(channels)
            self._part.blocks.append(Block(
                min(times), max(times), frozenset(channels),
                (at, HEAD.size + length, BEGINNING if is_cut else CHUNKED), length))

    def _take_loose(self, at, length):
        channel, _, time_ns, _ = MESSAGE_HEAD.unpack(self._file.read(MESSAGE_HEAD.size))
        self._part.counts[channel] += 1
        block = self._loose
        if block is None:
            self._loose_count = 0
            block = self._loose = Block(time_ns, time_ns, frozenset(), (at, 0, LOOSE))
        begin = block.place[0]
        block.place = begin, at + HEAD.size + length - begin, LOOSE
        block.start_ns, block.end_ns = min(block.start_ns, time_ns), max(block.end_ns, time_ns)
        block.channels |= {channel}
        block.size = block.place[1]
        self._loose_count += 1
        if self._loose_count >= BLOCK_MESSAGES or block.size >= BLOCK_BYTES:
            self._finish_loose()

    def _finish_loose(self):
        if self._loose is not None:
            self._part.blocks.append(self._loose)
            self._loose = None
