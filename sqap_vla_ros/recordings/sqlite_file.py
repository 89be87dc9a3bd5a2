# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A database of rosbag2 (*.db3), row by row: what lies behind a damaged page can still be read.

Its index of times is not used: after a crash it is what is missing first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
import sqlite3
from urllib.parse import quote

from .parts import Block, CDR, Channel, Part, Raw, unpacked
from ..errors import ObservationError

ROWS = 1024  # of a block
TRIES = 62  # of ids that double: beyond the last there can be no row
MAGIC = b'SQLite format 3\0'


class SqliteFile:
    """Reads one database."""

    def __init__(self, path: Path):
        """Open a database and count its messages; raise ObservationError for none of rosbag2."""
        self.part = Part(path, 'sqlite3')
        self._missing = 0
        self._data = _opened(path)
        self._lost = set()
        try:
            self._read_topics()
            self._count()
        except sqlite3.Error as error:
            self.close()
            raise ObservationError(f'{path} cannot be read as a database: {error}') from error
        except ObservationError:
            self.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._data.close()

    def read(self, block: Block, channels: frozenset[int]) -> Iterator[Raw]:
        """Yield the messages of channels in a block in the order of their times."""
        first, last = block.place
        rows = [row for row in self._rows(first, last) if row[1] in channels]
        for time_ns, channel, number in sorted((row[2], row[1], row[0]) for row in rows):
            data = self._message(number, time_ns)
            if data is not None:
                yield Raw(time_ns, channel, data)

    def _message(self, number, time_ns):
        """Return the data of a row, None for one that is lost."""
        try:
            row = self._data.execute(
                'SELECT data FROM messages WHERE id = ?', (number,)).fetchone()
            return unpacked(bytes(row[0]))
        except (sqlite3.Error, ValueError, TypeError):
            self._lost.add(time_ns)
            return None

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
            self.part.channels[row['id']] = Channel(
                row['name'], row['type'], row.get('serialization_format', CDR),
                definitions.get(row['type']), row.get('offered_qos_profiles', ''))
        if 'schema' in names:
            with suppress(sqlite3.Error, KeyError):
                self.part.distro = next(self._dicts('schema'), {'ros_distro': ''})['ros_distro']

    def _dicts(self, table) -> Iterator[dict]:
        cursor = self._data.execute(f'SELECT * FROM {table}')
        names = [item[0] for item in cursor.description]
        for row in cursor:
            yield dict(zip(names, row))

    def _count(self):
        """Note the blocks; of what is damaged, those rows that can be found."""
        rows = []
        for row in self._rows(None, None):
            rows.append(row)
            if len(rows) == ROWS:
                self._note(rows)
                rows = []
        if rows:
            self._note(rows)

    def _note(self, rows):
        times = [row[2] for row in rows]
        self.part.blocks.append(Block(
            min(times), max(times), frozenset(row[1] for row in rows),
            (rows[0][0], rows[-1][0]), len(rows)))
        self.part.counts.update(row[1] for row in rows)

    def _rows(self, first, last) -> Iterator[tuple[int, int, int]]:
        """Yield (id, topic, time) of rows from an id to another, by id, past damaged pages."""
        after, step = -1 if first is None else first - 1, 1
        limit = '' if last is None else f' AND id <= {last}'
        for _ in range(TRIES):
            try:
                with closing(self._data.execute(
                        'SELECT id, topic_id, timestamp FROM messages '
                        f'WHERE id > ?{limit} ORDER BY id', (after,))) as cursor:
                    for row in cursor:
                        yield row
                        after, step = row[0], 1
                return
            except sqlite3.Error as error:
                self._damage = str(error)
                after, step = after + step, 2 * step
                if after > 2**62:
                    return


def _opened(path):
    """Open a database that nobody writes to, or one that was left while it was written to."""
    log = path.with_name(f'{path.name}-wal')
    is_alone = not (log.exists() and log.stat().st_size)
    data = sqlite3.connect(
        f'file:{quote(str(path))}?mode=ro' + ('&immutable=1' if is_alone else ''), uri=True,
        check_same_thread=False)
    data.execute('PRAGMA writable_schema = ON')  # else one that was cut off is not opened at all
    return data
