# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The messages of a database that SQLite calls malformed, out of its pages.

A leaf of a table holds whole rows, of which what does not fit goes on in a chain of pages; so the
rows of each leaf that is there can be read, whatever became of those above it:
https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import struct
from typing import NamedTuple

LEAF = 13
FIRST_PAGE_HEAD = 100
_CELLS = struct.Struct('>HH')  # at byte 1: the first free block (not used), the number of cells
_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}  # bytes of a whole number


class Row(NamedTuple):
    """A message: its id, its topic's, its time, and where its cell begins in the file."""

    number: int
    topic: int
    time_ns: int
    place: int


class Pages:
    """
    The pages of a database file.

    told_size: how many bytes it should have, by its head; 0 where that does not say.
    """

    def __init__(self, file, size: int):
        """Take a file of so many bytes; raise ValueError for one without a head."""
        self._file, self._size = file, size
        file.seek(0)
        head = file.read(FIRST_PAGE_HEAD)
        if len(head) < FIRST_PAGE_HEAD:
            raise ValueError(f'{len(head)} bytes are too few for a database')
        page, = struct.unpack_from('>H', head, 16)
        self.page_size = 65536 if page == 1 else page
        if self.page_size < 512 or self.page_size & (self.page_size - 1):
            raise ValueError(f'pages of {self.page_size} bytes cannot be')
        self._usable = self.page_size - head[20]
        self.told_size = self.page_size * struct.unpack_from('>I', head, 28)[0]

    def rows(self, told: Callable[[int], None] = lambda done: None) -> Iterator[Row]:
        """Yield the messages in leaves that are whole, as they lie in the file."""
        for begin in range(0, self._size - self.page_size + 1, self.page_size):
            self._file.seek(begin)
            page = self._file.read(self.page_size)
            told(begin)
            if page[:1] == bytes([LEAF]):
                yield from self._rows_of(page, begin)

    def _rows_of(self, page, begin):
        _, count = _CELLS.unpack_from(page, 1)
        if 8 + 2 * count > len(page):
            return
        for at in struct.unpack_from(f'>{count}H', page, 8):
            try:
                row = _row(page, at, begin + at)
            except (IndexError, struct.error):
                continue
            if row is not None:
                yield row

    def data(self, row: Row) -> bytes:
        """Return the data of a message; raise ValueError where a part of it is missing."""
        begin = row.place - row.place % self.page_size
        self._file.seek(begin)
        page, at = self._file.read(self.page_size), row.place - begin
        size, at = _varint(page, at)
        _, at = _varint(page, at)
        local = self._local(size)
        content = [page[at:at + local]]
        following, = struct.unpack_from('>I', page, at + local) if local < size else (0,)
        content += self._chain(following, size - local)
        whole = b''.join(content)
        return whole[_record(whole, 0)[1]:]

    def _chain(self, number, size) -> list[bytes]:
        """Return the pages behind a cell."""
        found = []
        while size > 0:
            begin = (number - 1) * self.page_size
            if not 0 < begin <= self._size - self.page_size:
                raise ValueError(f'{size} of its bytes lie beyond the end of the file')
            self._file.seek(begin)
            page = self._file.read(self._usable)
            number, = struct.unpack_from('>I', page)
            found.append(page[4:4 + size])
            size -= len(found[-1])
        return found

    def _local(self, size) -> int:
        """Return how many bytes of a row stand in its leaf."""
        most, least = self._usable - 35, (self._usable - 12) * 32 // 255 - 23
        if size <= most:
            return size
        fitting = least + (size - least) % (self._usable - 4)
        return fitting if fitting <= most else least


def _row(page, at, place) -> Row | None:
    """Return the row of a cell, None if it is of another table."""
    _, at = _varint(page, at)
    number, at = _varint(page, at)
    kinds, _ = _record(page, at)
    is_message = (len(kinds) == 4 and kinds[0] == 0 and kinds[1] in _SIZES and kinds[2] in _SIZES
                  and kinds[3] >= 12 and kinds[3] % 2 == 0)
    if not is_message:
        return None
    topic, begin = _whole(page, at + _varint(page, at)[0], kinds[1])
    return Row(number, topic, _whole(page, begin, kinds[2])[0], place)


def _record(content, at) -> tuple[list[int], int]:
    """Return the kinds of a record's columns, and where its last column begins."""
    size, begin = _varint(content, at)
    end, kinds = at + size, []
    while begin < end:
        kind, begin = _varint(content, begin)
        kinds.append(kind)
    return kinds, end + sum(_SIZES.get(kind, 0) for kind in kinds[:-1])


def _whole(content, at, kind) -> tuple[int, int]:
    """Return a whole number, and where the next column begins."""
    size = _SIZES[kind]
    if kind in (8, 9):
        return kind - 8, at
    return int.from_bytes(content[at:at + size], 'big', signed=True), at + size


def _varint(content, at) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where the next begins."""
    value = 0
    for count in range(8):
        byte = content[at + count]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + count + 1
    return value << 8 | content[at + 8], at + 9
