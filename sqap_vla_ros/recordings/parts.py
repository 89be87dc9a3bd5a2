# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the files of a bag have in common: channels, and blocks of messages that are read one by one.

A block is a piece of a file that is small enough to be held: a chunk of an MCAP, some rows of a
database. What is known of it tells whether, and when, it has to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
import sys
from typing import NamedTuple, Protocol

LZ4, ZSTD = b'\x04\x22\x4d\x18', b'\x28\xb5\x2f\xfd'  # what their frames begin with
CDR = 'cdr'
MAX_BYTES = 2**30  # of a chunk or a message, unpacked; what is beyond is no image
LATEST_NS = 2**62  # in the year 2116; no message came in later, nor before 1970
_STEP = 4 * 2**20


class Channel(NamedTuple):
    """
    Messages of one topic in one file.

    encoding: how they are serialized, such as cdr.  definition: (language, text) of the type,
    such as ('ros2msg', 'uint32 height ...'), None where the file has none.  qos: as YAML text.
    """

    topic: str
    kind: str
    encoding: str = CDR
    definition: tuple[str, str] | None = None
    qos: object = ''


class Raw(NamedTuple):
    """A message as it is stored; channel: by its number in the file."""

    time_ns: int
    channel: int
    data: bytes | memoryview


@dataclass
class Block:
    """
    A piece of a file.

    start_ns, end_ns: of its first and last message by time, both included.  channels: the numbers
    of those in it, None where that is not known.  place: what the file needs to find it.  size:
    its bytes, about.  first, last: which of its messages count, as they lie in the file, the last
    excluded.
    """

    start_ns: int
    end_ns: int
    channels: frozenset[int] | None
    place: tuple
    size: int = 0
    first: int = 0
    last: int | None = None


@dataclass
class Part:
    """
    What is known of one file before its messages are read.

    counts: messages by the number of their channel.  blocks: in the order in the file.
    damaged: (where it begins, how many bytes): why it cannot be read.  losses: what else is lost,
    in words.  distro: the ROS distribution that wrote it, ''.  timeless: the number of the
    channel of each message that was left out for a time that cannot be, by its place.
    """

    path: Path
    form: str
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    blocks: list[Block] = field(default_factory=list)
    damaged: dict[tuple[int, int], str] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)
    distro: str = ''
    timeless: dict[tuple, int] = field(default_factory=dict)

    def has_time(self, time_ns, channel: int, place: tuple) -> bool:
        """Return whether a message came in at a time that can be; note one that did not."""
        if isinstance(time_ns, int) and 0 <= time_ns <= LATEST_NS:
            return True
        self.timeless[place] = channel
        return False

    def timeless_told(self) -> list[str]:
        """Return what is to be said of messages whose times cannot be."""
        count = len(self.timeless)
        return [f'{self.path.name}: {count} message{"s" * (count > 1)} left out for the time at '
                f'which {"they" if count > 1 else "it"} came in: expected 0 to {LATEST_NS} ns'
                ] if count else []


class Storage(Protocol):
    """A file that is open; loads_ahead: whether another thread may load, and it is worth it."""

    part: Part
    losses: list[str]
    loads_ahead: bool

    def load(self, block: Block):
        """Return what read needs of a block; changes nothing."""

    def read(self, block: Block, channels: frozenset[int], loaded) -> Iterator[Raw]:
        """Yield the messages of channels in a block, as load has it, by their times."""

    def times(self, block: Block) -> list[tuple[int, int]]:
        """Return (time, channel) of the messages of a block as they lie in the file."""

    def close(self) -> None:
        """Close the file."""


def unpacked(data: bytes) -> bytes:
    """Return the data of a message that may have been compressed alone; raise ValueError."""
    if data[:4] == ZSTD:
        return unzstd(data)
    if data[:4] == LZ4:
        return unlz4(data)
    return data


def unzstd(data: bytes) -> bytes:
    """Return what was packed by Zstandard; raise ValueError."""
    zstd = zstd_module()
    try:
        return _within(MAX_BYTES, zstd.ZstdDecompressor(), data)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def unlz4(data: bytes, limit: int | None = None) -> bytes:
    """Return what was packed by LZ4 as a frame; raise ValueError, also for more than limit."""
    from lz4.frame import LZ4FrameDecompressor
    try:
        return _within(MAX_BYTES if limit is None else limit, LZ4FrameDecompressor(), data)
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def _within(limit, unpack, data) -> bytes:
    """Return what a frame unpacks to, step by step: a few kB may unpack to gigabytes."""
    pieces, size = [], 0
    while not unpack.eof:
        pieces.append(unpack.decompress(data, _STEP))
        size, data = size + len(pieces[-1]), b''
        if size > limit:
            raise ValueError(f'it unpacks to more than {limit} bytes')
        if unpack.needs_input and not unpack.eof:
            raise ValueError(f'it was cut off: {size} bytes of it can be unpacked')
    return b''.join(pieces)


def zstd_module():
    """Return Python's own module of Zstandard, or the same for older ones."""
    if sys.version_info >= (3, 14):
        return import_module('compression.zstd')
    from backports import zstd
    return zstd
