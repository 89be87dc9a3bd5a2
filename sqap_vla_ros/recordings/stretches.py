# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the recorder's clock was set back, as when a simulation began again: there a bag is cut.

Otherwise two runs would be read as one, message by message. That files hold one topic after
another does not count, nor that they are not sorted at all: only topics whose own times go on,
go back, and go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from .parts import Block, Storage

JUMP_NS = 10**9
IN_A_ROW = 3  # messages; one alone is a stray
STEPS_BACK = 0.1  # of all steps of a topic; with more, the file is not sorted
GAP_NS = 10**9  # between two stretches, as they are told


class Piece(NamedTuple):
    """A block, or a part of it, of a file."""

    file: Storage
    block: Block


class Stretch(NamedTuple):
    """
    Pieces in which time goes on.

    first_ns: the time of the first message that has one; those without, which a recorder heard
    before the first /clock, are of then.  shift_ns: to be added to all of its times, so that they
    come after those before.
    """

    pieces: list[Piece]
    first_ns: int
    shift_ns: int = 0

    @property
    def start_ns(self) -> int:
        """Return the time of the first message, shifted."""
        return self.first_ns + self.shift_ns

    @property
    def end_ns(self) -> int:
        """Return the time of the last message, shifted."""
        return max(piece.block.end_ns for piece in self.pieces) + self.shift_ns


def stretches(files: Sequence[Storage], told: Callable[[int], None]) -> list[Stretch]:
    """Return the stretches of files in their order; told(done bytes) if they have to be read."""
    pieces = [Piece(file, block) for file in files for block in file.part.blocks]
    if not _may_go_back(pieces):
        return [Stretch(pieces, _first(pieces))]
    runs = _parted(pieces, _Cuts().of(pieces, told))
    found, end_ns = [], None
    for run in runs:
        stretch = Stretch(run, _first(run))
        if end_ns is not None:
            stretch = stretch._replace(shift_ns=end_ns + GAP_NS - stretch.first_ns)
        found.append(stretch)
        end_ns = stretch.end_ns
    return found


def _first(pieces) -> int:
    """Return the first time that is not 0, 0 if all are."""
    found = []
    for file, block in pieces:
        if block.start_ns:
            found.append(block.start_ns)
        else:
            found += [time_ns for time_ns, _ in file.times(block)[block.first:block.last]
                      if time_ns]
    return min(found, default=0)


def _may_go_back(pieces) -> bool:
    """Return whether a block begins long before one before it ended, or is the only one."""
    newest = 0
    for _, block in pieces:
        if block.start_ns < newest - JUMP_NS:
            return True
        newest = max(newest, block.end_ns)
    return len(pieces) == 1


class _Cuts:
    """Finds where stretches begin, in one pass over all messages."""

    def __init__(self):
        self._newest, self._last = {}, {}  # times by topic: in this stretch; of the message before
        self._since, self._cut, self._cuts = [], None, []
        self._steps, self._back = 0, 0

    def of(self, pieces, told) -> list[tuple[int, int]]:
        """Return [(number of a piece, number of the message in it)]."""
        done = 0
        for number, (file, block) in enumerate(pieces):
            for index, (time_ns, channel) in enumerate(file.times(block)):
                if channel in file.part.channels:
                    self._take(file.part.channels[channel].topic, time_ns, (number, index))
            done += block.size
            told(done)
        return self._cuts if self._back <= STEPS_BACK * self._steps else []

    def _take(self, topic, time_ns, place):
        if not time_ns:
            return
        if topic in self._last:
            self._steps += 1
            self._back += time_ns < self._last[topic]
        self._last[topic] = time_ns
        if time_ns >= max(self._newest.values(), default=0) - JUMP_NS:
            self._cut, self._since = None, []
        elif self._cut is None and time_ns < self._newest.get(topic, 0) - JUMP_NS:
            self._cut = place
        if self._cut is None:
            self._newest[topic] = max(self._newest.get(topic, 0), time_ns)
            return
        self._since.append((topic, time_ns))
        if len(self._since) == IN_A_ROW:
            self._cuts.append(self._cut)
            self._newest, self._since, self._cut = dict(self._since), [], None


def _parted(pieces, cuts) -> list[list[Piece]]:
    """Return the pieces between cuts."""
    runs, run = [], []
    for number, (file, block) in enumerate(pieces):
        first = 0
        while cuts and cuts[0][0] == number:
            last = cuts.pop(0)[1]
            run += _part(file, block, first, last)
            if run:
                runs.append(run)
            run, first = [], last
        run += [Piece(file, block)] if not first else _part(file, block, first, None)
    return [*runs, run]


def _part(file, block, first, last) -> list[Piece]:
    """Return the messages of a block from one to before another; none for no messages."""
    times = [time_ns for time_ns, _ in file.times(block)][first:last]
    if not times:
        return []
    return [Piece(file, replace(block, start_ns=min(times), end_ns=max(times),
                                first=first, last=last))]
