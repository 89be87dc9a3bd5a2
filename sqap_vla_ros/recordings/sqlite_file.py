# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A database of rosbag2 (*.db3), some rows at a time.

Its index of times is not used: after a crash it is what is missing first. Where SQLite refuses
the file, rows are taken out of the pages that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
import sqlite3
import struct
from urllib.parse import quote

from .parts import Block, CDR, Channel, Part, Raw, unpacked
from .sqlite_carving import Pages, Row
from ..errors import ObservationError

ROWS = 1024  # of a block
MAGIC = b'SQLite format 3\0'


class SqliteFile:
    """Reads one database; loads_ahead: see loading.Loading."""

    loads_ahead = False

    def __init__(self, path: Path, told: Callable[[int], None] = lambda done: None):
        """
        Open a database and count its messages; told(done bytes) if all of it has to be read.

        Raises ObservationError for none of rosbag2.
        """
        self.part = Part(path, 'sqlite3')
        self._data, self._pages, self._lost = None, None, set()
        try:
            self._data = _opened(path)
            self._read_topics()
            self._count(told)
        except (sqlite3.Error, ValueError, TypeError) as error:
            self.close()
            raise ObservationError(str(error) if isinstance(error, ObservationError) else (
                f'{path} cannot be read as a database: {error}')) from error

    def close(self) -> None:
        """Close the database."""
        if self._data is not None:
            self._data.close()
        if self._pages is not None:
            self._file.close()

    @property
    def losses(self) -> list[str]:
        """Return what is damaged, as far as it was read."""
        lost = [f'{self.part.path.name}: the data of {len(self._lost)} messages is damaged'
                ] if self._lost else []
        return self.part.losses + lost + self.part.timeless_told()

    def load(self, block: Block) -> list[Row]:
        """Return the rows of a block."""
        return self._rows_of(block)

    def read(self, block: Block, channels: frozenset[int], loaded: list[Row]) -> Iterator[Raw]:
        """Yield the messages of channels in a block, as load has it, by their times."""
        rows = [row for row in loaded[block.first:block.last] if row.topic in channels]
        rows.sort(key=lambda row: (row.time_ns, row.number))
        together = self._together(rows)
        for row in rows:
            data = self._content(row, together)
            if data is not None:
                yield Raw(row.time_ns, row.topic, data)

    def _together(self, rows) -> Iterator[tuple]:
        """Yield (number, data) of rows by one question, asked late, if they lie in their order."""
        numbers = [row.number for row in rows]
        if self._pages or not rows or numbers != sorted(numbers):
            return
        topics = {row.topic for row in rows}
        found = self._data.execute(
            'SELECT id, data FROM messages WHERE id BETWEEN ? AND ? AND topic_id IN '
            f'({", ".join("?" * len(topics))}) ORDER BY id', (numbers[0], numbers[-1], *topics))
        for each in found:  # `yield from` would close it, after the file if nobody reads on
            yield each

    def times(self, block: Block) -> list[tuple[int, int]]:
        """Return (time, channel) of the messages of a block as they lie in the file."""
        return [(row.time_ns, row.topic) for row in self._rows_of(block)]

    def _rows_of(self, block) -> list[Row]:
        if self._pages:
            return list(block.place)
        return list(self._timed('WHERE id BETWEEN ? AND ?', block.place))

    def _content(self, row, together):
        """Return the data of a row, None for what is lost; together: see _together."""
        try:
            data = _next(row, together)
            if data is not None:
                return unpacked(bytes(data))
            return unpacked(self._pages.data(row) if self._pages else self._blob(row))
        except (sqlite3.Error, ValueError, TypeError, IndexError, struct.error):
            self._lost.add(row.number)
            return None

    def _blob(self, row):
        return bytes(self._data.execute(
            'SELECT data FROM messages WHERE id = ?', (row.number,)).fetchone()[0])

    def _timed(self, condition='', numbers=()) -> Iterator[Row]:
        """Yield the messages that came in at a time that can be."""
        return filter(self._has_time, self._rows(condition, numbers))

    def _has_time(self, row) -> bool:
        return self.part.has_time(row.time_ns, row.topic, (row.number, row.place))

    def _rows(self, condition='', numbers=()) -> Iterator[Row]:
        for row in self._data.execute(
                f'SELECT id, topic_id, timestamp FROM messages {condition} ORDER BY id', numbers):
            yield Row(*row, 0)

    def _read_topics(self):
        names = {name for name, in self._data.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {'topics', 'messages'} <= names:
            raise ObservationError(
                f'{self.part.path} is a database with the tables {sorted(names)}, expected topics '
                'and messages: it is no bag of rosbag2')
        definitions = {}
        if 'message_definitions' in names:
            for row in self._dicts('message_definitions'):
                definitions[row['topic_type']] = (
                    row['encoding'], row['encoded_message_definition'])
        for row in self._dicts('topics'):
            texts = row['name'], row['type'], row.get('serialization_format', CDR)
            if all(isinstance(text, str) for text in texts):
                self.part.channels[row['id']] = Channel(
                    *texts, definitions.get(row['type']), row.get('offered_qos_profiles', ''))
            else:
                self.part.losses.append(
                    f'{self.part.path.name}: a topic is damaged, and its messages are left out: '
                    f'{texts}')
        if 'schema' in names:
            with suppress(sqlite3.Error):
                self.part.distro = next(self._dicts('schema'), {}).get('ros_distro', '')

    def _dicts(self, table) -> Iterator[dict]:
        cursor = self._data.execute(f'SELECT * FROM {table}')
        names = [item[0] for item in cursor.description]
        for row in cursor:
            yield dict(zip(names, row))

    def _count(self, told):
        """Note the blocks; of what is damaged, those rows that can be found."""
        with self.part.path.open('rb') as file:
            size = self.part.path.stat().st_size
            told_size = Pages(file, size).told_size
        if size < told_size and not _has_log(self.part.path):  # else zeros are read for it
            self._carve(f'{told_size - size} of {told_size} bytes are gone', size, told)
            return
        try:
            self._note_all(self._timed())
        except sqlite3.Error as error:
            self._carve(f'it is damaged, {error}', size, told)

    def _carve(self, why, size, told):
        path = self.part.path
        self.part.blocks.clear()
        self.part.counts.clear()
        self._file = path.open('rb')
        self._pages = Pages(self._file, size)
        known = self.part.channels
        self.part.timeless.clear()
        newest = self._note_all(row for row in self._pages.rows(told)
                                if row.topic in known and self._has_time(row))
        found = sum(self.part.counts.values())
        gone = f', of at least {newest}' if newest > found else ''
        self.part.losses.append(
            f'{path.name}: {why}: {found} messages{gone} were found in what is there')

    def _note_all(self, rows) -> int:
        """Note blocks of rows; return the largest id."""
        held, newest = [], 0
        for row in rows:
            held.append(row)
            newest = max(newest, row.number)
            if len(held) == ROWS:
                self._note(held)
                held = []
        if held:
            self._note(held)
        return newest

    def _note(self, rows):
        times = [row.time_ns for row in rows]
        place = tuple(rows) if self._pages else (rows[0].number, rows[-1].number)
        self.part.blocks.append(Block(
            min(times), max(times), frozenset(row.topic for row in rows), place))
        self.part.counts.update(row.topic for row in rows)


def _next(row, together):
    """Return the data of a row, None where it is not among those that are read together."""
    with suppress(sqlite3.Error):  # then what can be read one by one is
        for number, data in together:
            if number >= row.number:
                return data if number == row.number else None
    return None


def _opened(path):
    """Open a database that nobody writes to, or one that was left while it was written to."""
    is_alone = not _has_log(path)
    data = sqlite3.connect(
        f'file:{quote(str(path.absolute()))}?mode=ro' + ('&immutable=1' if is_alone else ''),
        uri=True, check_same_thread=False)
    data.execute('PRAGMA writable_schema = ON')  # else one that was cut off is not opened at all
    return data


def _has_log(path) -> bool:
    """Return whether pages of a database lie beside it, for it was not closed."""
    log = path.with_name(f'{path.name}-wal')
    return log.exists() and log.stat().st_size > 0
