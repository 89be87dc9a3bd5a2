# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Records of MCAP files, version 0: https://mcap.dev/spec.

A file is a magic, records and the magic again. A record is its kind (one byte), its length (eight)
and its content. What is wrong in one raises ValueError or struct.error.
"""

from __future__ import annotations

from collections.abc import Iterator
import struct
from typing import NamedTuple
import zlib

from .parts import Channel, MAX_BYTES, unlz4, zstd_module

MAGIC = b'\x89MCAP0\r\n'
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 1, 2, 3, 4, 5, 6
CHUNK_INDEX, STATISTICS, DATA_END = 8, 11, 15
KINDS = range(1, 16)
HEAD = struct.Struct('<BQ')
MESSAGE_HEAD = struct.Struct('<HIQQ')
CHUNK_HEAD = struct.Struct('<QQQII')  # the last: how long the name of the compression is
CHUNK_INDEX_HEAD = struct.Struct('<QQQQI')
STATISTICS_HEAD = struct.Struct('<QHIIIIQQI')
FOOTER_BYTES = HEAD.size + 20 + len(MAGIC)
_TEXT = struct.Struct('<I')


class ChunkHead(NamedTuple):
    """What stands before the records of a chunk; data_at: where they begin in its content."""

    start_ns: int
    end_ns: int
    size: int
    checksum: int
    compression: str
    data_size: int
    data_at: int


def text_at(data, at: int) -> tuple[str, int]:
    """Return a text, and where what follows begins."""
    content, at = bytes_at(data, at)
    return content.decode(), at


def bytes_at(data, at: int) -> tuple[bytes, int]:
    """Return bytes behind their number, and where what follows begins."""
    size, = _TEXT.unpack_from(data, at)
    end = at + 4 + size
    if end > len(data):
        raise ValueError(f'{size} bytes are told, {len(data) - at - 4} are there')
    return bytes(data[at + 4:end]), end


def schema_of(content) -> tuple[int, str, tuple[str, str]]:
    """Return (number, name, (language, text)) of a schema."""
    number, = struct.unpack_from('<H', content)
    name, at = text_at(content, 2)
    language, at = text_at(content, at)
    return number, name, (language, bytes_at(content, at)[0].decode('utf-8', 'replace'))


def channel_of(content, schemas: dict) -> tuple[int, Channel]:
    """Return (number, channel); schemas: {number: (name, definition)}."""
    number, schema = struct.unpack_from('<HH', content)
    topic, at = text_at(content, 4)
    encoding, at = text_at(content, at)
    name, definition = schemas.get(schema, ('', None))
    about, _ = bytes_at(content, at)
    return number, Channel(topic, full_name(name), encoding, definition,
                           _map(about).get('offered_qos_profiles', ''))


def full_name(kind: str) -> str:
    """Return pkg/msg/Name, also for pkg/Name."""
    package, _, name = kind.partition('/')
    return f'{package}/msg/{name}' if name and '/' not in name else kind


def _map(data) -> dict[str, str]:
    at, found = 0, {}
    while at < len(data):
        key, at = text_at(data, at)
        found[key], at = text_at(data, at)
    return found


def chunk_head(content) -> ChunkHead:
    """Return the head of a chunk, of which the beginning is enough."""
    start_ns, end_ns, size, checksum, length = CHUNK_HEAD.unpack_from(content)
    if length > 16 or size > MAX_BYTES:
        raise ValueError(f'a chunk of {size} bytes, expected at most {MAX_BYTES}')
    at = CHUNK_HEAD.size
    compression = bytes(content[at:at + length]).decode()
    data_size, = struct.unpack_from('<Q', content, at + length)
    return ChunkHead(start_ns, end_ns, size, checksum, compression, data_size, at + length + 8)


def chunk_records(head: ChunkHead, data) -> bytes:
    """Return the records in a whole chunk; raise ValueError for a damaged one."""
    records = _UNPACK.get(head.compression, _unknown)(data, head)
    if len(records) != head.size:
        raise ValueError(f'a chunk unpacks to {len(records)} bytes, expected {head.size}')
    if head.checksum and zlib.crc32(records) != head.checksum:
        raise ValueError('the checksum of a chunk does not fit')
    return records


def chunk_beginning(head: ChunkHead, data) -> bytes:
    """Return the records at the beginning of a chunk that was cut off."""
    if head.compression == 'zstd':
        zstd = zstd_module()
        unpack = zstd.ZstdDecompressor()
        try:
            return unpack.decompress(data, head.size)
        except zstd.ZstdError:
            return b''
    if head.compression == 'lz4':
        from lz4.frame import LZ4FrameDecompressor
        try:
            return LZ4FrameDecompressor().decompress(data, head.size)
        except RuntimeError:
            return b''
    return data


def _unzstd(data, head):
    zstd = zstd_module()
    try:
        unpack = zstd.ZstdDecompressor()
        return unpack.decompress(data, head.size + 1) if len(data) else b''
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def _unknown(data, head):
    raise ValueError(f'chunks are compressed by {head.compression!r}, expected zstd, lz4 or none')


_UNPACK = {'': lambda data, head: data, 'zstd': _unzstd,
           'lz4': lambda data, head: unlz4(data, head.size) if len(data) else b''}


def records_in(data) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, begin, end) of the contents of records; raise ValueError where they end."""
    at, size = 0, len(data)
    while at < size:
        if at + HEAD.size > size:
            raise ValueError(f'{size - at} bytes are left, too few for a record')
        kind, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        if at + length > size:
            raise ValueError(f'a record of {length} bytes ends after {size - at}')
        yield kind, at, at + length
        at += length
