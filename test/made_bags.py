# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Small bags for tests of readers: MCAP byte by byte, and SQLite as rosbag2 has it."""

import sqlite3
import struct
import zlib

from lz4.frame import compress as lz4
from rosbags.typesys import get_typestore, Stores
from sqap_vla_ros.recordings.mcap_records import MAGIC
from sqap_vla_ros.recordings.parts import zstd_module

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_795_000_000 * 10**9
STRING = 'std_msgs/msg/String'
LATCHED = '- {history: 1, depth: 1, reliability: 1, durability: 1}'
_PACK = {'': bytes, 'zstd': lambda data: zstd_module().compress(data), 'lz4': lz4}


def said(text):
    """Return a serialized std_msgs/String."""
    return bytes(STORE.serialize_cdr(STORE.types[STRING](data=text), STRING))


def messages(count=30, topics=('/a', '/b'), step_ns=100_000_000):
    """Return [(topic, time, data)]: strings that tell their number, topics by turns."""
    return [(topics[number % len(topics)], START_NS + number * step_ns, said(str(number)))
            for number in range(count)]


def write_mcap(path, wanted, compression=None, per_chunk=10, index=True, kinds=None,
               definitions=None, encoding='cdr', qos=''):
    """
    Write an MCAP.

    compression: of its chunks, '' for none, None to have no chunks.  kinds, definitions: of
    topics.  index: whether the summary is written.
    """
    kinds, definitions = kinds or {}, definitions or {}
    channels = {}
    head = []
    for number, topic in enumerate(dict.fromkeys(topic for topic, *_ in wanted), 1):
        kind = kinds.get(topic, STRING)
        head.append(_record(3, struct.pack('<H', number) + _text(kind) + _text('ros2msg')
                            + _text(definitions.get(kind, 'string data'))))
        about = _text('offered_qos_profiles') + _text(qos)
        head.append(_record(4, struct.pack('<HH', number, number) + _text(topic) + _text(encoding)
                            + struct.pack('<I', len(about)) + about))
        channels[topic] = number
    out, chunks = bytearray(MAGIC + _record(1, _text('ros2') + _text('test'))), []
    step = len(wanted) if compression is None else per_chunk
    for first in range(0, len(wanted), step):
        part = wanted[first:first + step]
        records = b''.join(head if not first else []) + b''.join(
            _record(5, struct.pack('<HIQQ', channels[topic], 0, time_ns, time_ns) + data)
            for topic, time_ns, data in part)
        if compression is None:
            out += records
        else:
            times = [time_ns for _, time_ns, _ in part]
            packed = _PACK[compression](records)
            chunk = _record(6, struct.pack(
                '<QQQI', min(times), max(times), len(records), zlib.crc32(records))
                + _text(compression) + struct.pack('<Q', len(packed)) + packed)
            numbers = {channels[topic] for topic, *_ in part}
            offsets = b''.join(struct.pack('<HQ', number, 0) for number in numbers)
            chunks.append(_record(8, struct.pack(
                '<QQQQI', min(times), max(times), len(out), len(chunk), len(offsets)) + offsets
                + struct.pack('<Q', 0) + _text(compression)
                + struct.pack('<QQ', len(packed), len(records))))
            out += chunk
    out += _record(15, struct.pack('<I', 0))
    begin = len(out) if index else 0
    if index:
        counts = b''.join(struct.pack('<HQ', number, sum(item[0] == topic for item in wanted))
                          for topic, number in channels.items())
        out += b''.join(head + chunks) + _record(11, struct.pack(
            '<QHIIIIQQI', len(wanted), len(channels), len(channels), 0, 0, len(chunks),
            wanted[0][1], wanted[-1][1], len(counts)) + counts)
    out += _record(2, struct.pack('<QQI', begin, 0, 0)) + MAGIC
    path.write_bytes(out)
    return path


def _record(kind, content):
    return struct.pack('<BQ', kind, len(content)) + content


def _text(text):
    return struct.pack('<I', len(text.encode())) + text.encode()


def write_database(path, wanted, kinds=None):
    """Write a database as ROS 2 Humble does: without definitions of types."""
    topics = dict.fromkeys(topic for topic, *_ in wanted)
    numbers = {topic: number for number, topic in enumerate(topics, 1)}
    with sqlite3.connect(path) as data:
        data.execute('CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT '
                     'NOT NULL, serialization_format TEXT NOT NULL, offered_qos_profiles TEXT '
                     'NOT NULL)')
        data.execute('CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, '
                     'timestamp INTEGER NOT NULL, data BLOB NOT NULL)')
        data.execute('CREATE INDEX timestamp_idx ON messages (timestamp ASC)')
        data.executemany('INSERT INTO topics VALUES (?, ?, ?, ?, ?)', [
            (number, topic, (kinds or {}).get(topic, STRING), 'cdr', LATCHED)
            for topic, number in numbers.items()])
        data.executemany('INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)', [
            (numbers[topic], time_ns, content) for topic, time_ns, content in wanted])
    data.close()
    return path


def read_all(recording):
    """Return [(topic, time, data)] of all messages of a recording."""
    return [(item.topic, item.time_ns, item.data)
            for item in recording.messages([topic.name for topic in recording.topics])]
