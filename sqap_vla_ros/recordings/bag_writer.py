# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags as they are written, by rosbags: with the QoS that was offered, and told when full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
import errno
from importlib import import_module
import os
from pathlib import Path
import sqlite3
import tempfile

from .made import standard_types
from ..errors import ConfigError
from ..support.files import check_directory, nearest_path, saving_to
from ..support.requirements import missing_modules_as

STORAGES = ('mcap', 'sqlite3')
VERSION = 8  # of the format: its QoS is a text, as Humble writes and reads it


@dataclass(frozen=True)
class Offer:
    """The QoS of a topic's publishers; latched: transient local."""

    depth: int = 10
    reliable: bool = True
    latched: bool = False

    def profile(self):
        """Return it as rosbags writes it."""
        from rosbags.interfaces import (
            Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime)
        never = QosTime(0, 0)  # not said: for ever
        return Qos(
            QosHistory.KEEP_LAST, self.depth,
            QosReliability.RELIABLE if self.reliable else QosReliability.BEST_EFFORT,
            QosDurability.TRANSIENT_LOCAL if self.latched else QosDurability.VOLATILE,
            never, never, QosLiveliness.AUTOMATIC, never, False)


class BagWriter:
    """Writes messages into a bag that is open; messages: how many it holds."""

    def __init__(self, writer, store):
        """Write with an open rosbags Writer; store: of the types, see made.standard_types."""
        self._writer, self.store = writer, store
        self._topics = {}
        self.messages = 0

    def add_topic(self, topic: str, kind: str, offers: Sequence = (Offer(),)) -> None:
        """Begin a topic; offers: Offers, or profiles of rosbags, one a publisher."""
        profiles = [offer.profile() if isinstance(offer, Offer) else offer for offer in offers]
        self._topics[topic] = self._writer.add_connection(
            topic, kind, typestore=self.store, offered_qos_profiles=profiles)

    def write(self, topic: str, time_ns: int, data: bytes) -> None:
        """Write a serialized message; time_ns: when it came in."""
        self._writer.write(self._topics[topic], time_ns, data)
        self.messages += 1

    def flush(self) -> None:
        """Hand what was written to the system, so that it can be read whatever becomes of us."""
        storage = self._writer.storage
        if isinstance(storage, import_module('rosbags.rosbag2.storage_sqlite3').Sqlite3Writer):
            storage.conn.commit()
            return
        if storage.chunk.msgs:
            storage.close_chunk()
        storage.bio.flush()


def check_writable() -> None:
    """Raise ConfigError, with the cure, where rosbags is not installed."""
    with missing_modules_as(ConfigError):
        import_module('rosbags.rosbag2')


def check_new_bag(path, option: str = '--out', needed_bytes: int = 0) -> Path:
    """Return the path; raise ConfigError, before any work, where no bag could be made there."""
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise ConfigError(f'{option} {path} exists already: name a new directory, a bag is '
                          'never written over')
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f'{option} {path}: the directory {folder} does not exist'
                          f'{nearest_path(folder)}: make it first')
    check_directory(folder, option, needed_bytes, path)
    return path


@contextmanager
def whole_bag(path, storage: str = 'mcap', compressed: bool = True,
              about: dict[str, str] | None = None, store=None) -> Iterator[BagWriter]:
    """
    Yield the writer of a bag that is there whole in the end, or not at all.

    storage: one of STORAGES.  compressed: chunks of an MCAP by zstd.  about: texts for its
    metadata.  Raises ConfigError for a path that exists or a disk that is full.
    """
    path = check_new_bag(path)
    with tempfile.TemporaryDirectory(prefix=f'.{path.name}.', dir=path.absolute().parent) as room:
        part = Path(room) / path.name
        with saving_to(path.absolute().parent, 0, f'nothing of {path} was kept'):
            with opened_bag(part, storage, compressed, about, store) as bag:
                yield bag
            os.replace(part, path)


@contextmanager
def opened_bag(path, storage: str = 'mcap', compressed: bool = True,
               about: dict[str, str] | None = None, store=None) -> Iterator[BagWriter]:
    """
    Yield the writer of a bag that grows at its place; arguments as of whole_bag.

    Raises OSError where it cannot be written, a database too.
    """
    with missing_modules_as(ConfigError):
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    writer = Writer(path, version=VERSION, storage_plugin=StoragePlugin[storage.upper()])
    if compressed and storage == 'mcap':
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    for name, text in (about or {}).items():
        writer.set_custom_data(name, text)
    with _database_errors():
        with writer:
            if storage == 'sqlite3':  # what is committed can be read whenever the process ends
                writer.storage.conn.execute('PRAGMA journal_mode = WAL')
            yield BagWriter(writer, store or standard_types())
        if storage == 'sqlite3':
            _without_log(path)


@contextmanager
def _database_errors() -> Iterator[None]:
    """Turn errors of a database into those that other files have."""
    try:
        yield
    except sqlite3.Error as error:
        code = errno.ENOSPC if 'full' in str(error) else errno.EIO
        raise OSError(code, f'{os.strerror(code)} (the database says: {error})') from error


def _without_log(path) -> None:
    """Make a bag that is closed a database of one file, for who may not write beside it."""
    for file in Path(path).glob('*.db3'):
        with closing(sqlite3.connect(file)) as data:
            data.execute('PRAGMA journal_mode = DELETE')


def bag_bytes(path) -> int:
    """Return how much a bag takes on the disk."""
    return sum(file.stat().st_size for file in Path(path).rglob('*') if file.is_file())
