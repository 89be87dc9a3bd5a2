# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
TFMessage and JointState out of their serialized form, as far as they are needed.

ROS makes a Python object of each field: a third of a millisecond for a message of ten transforms,
of which there may be hundreds a second (benchmarks/node_cost.py). The form is CDR, version 1, in
little endian, as all middlewares of ROS 2 on such machines send it; for any other None is
returned, and the caller has ROS read it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .stamps import stamp_ns
from ..errors import ObservationError

LITTLE_ENDIAN = b'\x00\x01'
_FIRST = 4  # behind the header, from which alignment counts
_COUNT = struct.Struct('<I')
_STAMP_AND_SIZE = struct.Struct('<iII')
_POSE = struct.Struct('<7d')


class WireTransform(NamedTuple):
    """One transform: numbers are x, y, z [m] and a quaternion x, y, z, w."""

    parent: str
    child: str
    stamp_ns: int
    numbers: tuple[float, ...]


class WireJoints(NamedTuple):
    """Names and positions [rad or m] of a JointState; they need not be as many."""

    stamp_ns: int
    names: tuple[str, ...]
    positions: tuple[float, ...]


def wire_transform(message) -> WireTransform:
    """Return a geometry_msgs/TransformStamped, or what has its fields, as a WireTransform."""
    t, q = message.transform.translation, message.transform.rotation
    return WireTransform(message.header.frame_id, message.child_frame_id, stamp_ns(message),
                         (t.x, t.y, t.z, q.x, q.y, q.z, q.w))


def read_transforms(data: bytes) -> list[WireTransform] | None:
    """Return the transforms of a TFMessage; raise ObservationError for a damaged one."""
    if data[:2] != LITTLE_ENDIAN:
        return None
    layout = _LAYOUTS.get(len(data))
    found = layout.read(data) if layout is not None else None
    if found is None:
        try:
            found, layout = _parsed(data)
        except struct.error as error:
            raise ObservationError(
                f'a TFMessage of {len(data)} bytes is damaged: {error}') from error
        if len(_LAYOUTS) >= MOST_LAYOUTS:
            _LAYOUTS.clear()
        _LAYOUTS[len(data)] = layout
    return found


class _Layout:
    """
    Where things are in a TFMessage of some frames: its publisher sends the same ones each time.

    All of it is unpacked at once, and taken if the names are those that it is of.
    """

    def __init__(self, sizes, names):
        """sizes: [(bytes of the parent, of the child)], with the last 0; names: the same texts."""
        form, at = '<4xI', _FIRST + 4
        for parent, child in sizes:
            form += f'iII{parent}s{-(at + 12 + parent) % 4}x'
            at = (at + 12 + parent + 3) & ~3
            form += f'I{child}s'
            at += 4 + child
            form += f'{_aligned_to_8(at) - at}x7d'
            at = _aligned_to_8(at) + _POSE.size
        self._struct, self._names = struct.Struct(form), names
        self._texts = len(names), *(
            column for side in (0, 1) for column in (
                tuple(pair[side] for pair in sizes),
                tuple(pair[side].encode() + b'\0' for pair in names)))

    def read(self, data) -> list[WireTransform] | None:
        """Return the transforms; None for a message of other frames."""
        if len(data) < self._struct.size:
            return None
        numbers = self._struct.unpack_from(data)
        if (numbers[0], *(numbers[at::13] for at in (3, 4, 5, 6))) != self._texts:
            return None
        new = tuple.__new__  # a third of the time of WireTransform's own
        return [new(WireTransform, (parent, child, numbers[at] * 10**9 + numbers[at + 1],
                                    numbers[at + 6:at + 13]))
                for at, (parent, child) in zip(range(1, len(numbers), 13), self._names)]


MOST_LAYOUTS = 64
_LAYOUTS: dict[int, _Layout] = {}  # by the length of the message


def _parsed(data) -> tuple[list[WireTransform], _Layout]:
    """Return the transforms of a message, and how the next of the kind can be read."""
    count, = _COUNT.unpack_from(data, _FIRST)
    found, sizes, at = [], [], _FIRST + 4
    for _ in range(count):
        seconds, nanoseconds, parent_size = _STAMP_AND_SIZE.unpack_from(data, at)
        parent, at = _text(data, at + 12, parent_size)
        child_size, = _COUNT.unpack_from(data, at)
        child, at = _text(data, at + 4, child_size)
        at = _aligned_to_8(at)
        found.append(WireTransform(parent, child, seconds * 10**9 + nanoseconds,
                                   _POSE.unpack_from(data, at)))
        sizes.append((parent_size, child_size))
        at += _POSE.size
    return found, _Layout(sizes, [item[:2] for item in found])


class JointReader:
    """Reads JointStates; remembers the names, which hardly ever change."""

    def __init__(self):
        """Know no names yet."""
        self._block, self._names = b'', ()  # any names begin with four bytes: their number
        self._size, self._first, self._form = 0, b'', struct.Struct('')  # of the last message

    def read(self, data: bytes) -> WireJoints | None:
        """Return what a JointState tells; raise ObservationError for a damaged one."""
        if len(data) == self._size and data[:4] == self._first[:4] and (
                data.startswith(self._first[12:], 12)):
            seconds, nanoseconds, *positions = self._form.unpack_from(data, _FIRST)
            return WireJoints(seconds * 10**9 + nanoseconds, self._names, tuple(positions))
        return self._parsed(data)

    def _parsed(self, data):
        """Return what a JointState tells, and note where, for the next one of its kind."""
        if data[:2] != LITTLE_ENDIAN:
            return None
        self._size = 0
        try:
            seconds, nanoseconds, size = _STAMP_AND_SIZE.unpack_from(data, _FIRST)
            _, at = _text(data, _FIRST + 12, size)
            if not self._block or not data.startswith(self._block, at):
                self._learn(data, at)
            at += len(self._block)
            count, = _COUNT.unpack_from(data, at)
            begin = _aligned_to_8(at + 4) if count else at + 4
            positions = struct.unpack_from(f'<{count}d', data, begin)
            self._form = struct.Struct(f'<iI{begin - _FIRST - 8}x{count}d')
            self._first, self._size = bytes(data[:at + 4]), len(data)
        except struct.error as error:
            raise ObservationError(
                f'a JointState of {len(data)} bytes is damaged: {error}') from error
        return WireJoints(seconds * 10**9 + nanoseconds, self._names, positions)

    def _learn(self, data, first):
        """Read the names, and keep the bytes that they stand in."""
        count, = _COUNT.unpack_from(data, first)
        names, at = [], first + 4
        for _ in range(count):
            size, = _COUNT.unpack_from(data, at)
            name, at = _text(data, at + 4, size)
            names.append(name)
        self._block, self._names = data[first:at], tuple(names)


def _text(data, at, size) -> tuple[str, int]:
    """Return a text of so many bytes, the last of which is 0, and where the next number is."""
    end = at + size
    if (end + 3) & ~3 > len(data):  # of both messages, a number comes behind
        raise struct.error(f'a text of {size} bytes goes beyond its end')
    return data[at:end - 1].decode('utf-8', 'replace'), (end + 3) & ~3


def _aligned_to_8(at: int) -> int:
    """Return where the next number of eight bytes is."""
    return ((at - _FIRST + 7) & ~7) + _FIRST
