# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What was recorded, whatever the files are: messages in the order in which they came in.

Bags (bag.py) and LeRobot data sets (lerobot.py) are read as Recordings, so that what looks at
them is written once. Nothing is decoded, and no image is read, before somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """
    One message.

    time_ns: when it came in, by the recording computer's clock.  kind: its type, such as
    sensor_msgs/msg/Image.  data: its serialized form (CDR), None where there is none; of a large
    one a view of what was read.
    read(): returns it with the fields of its type; raises ObservationError for a damaged one.
    """

    time_ns: int
    topic: str
    kind: str
    data: bytes | memoryview | None
    read: Callable[[], object]


@dataclass(frozen=True)
class Topic:
    """
    A topic of a recording.

    count: its messages, 0 where nobody has counted them.  latched: it was published as transient
    local, so that whoever comes late gets the last ones.  reliable, depth: how else, as far as
    that was recorded.
    """

    name: str
    kind: str
    count: int = 0
    latched: bool = False
    reliable: bool = True
    depth: int = 10


@dataclass(frozen=True)
class Episode:
    """
    A part of a recording at whose beginning everything starts anew; end_ns is included.

    continues: only the time has jumped; what was latched in those before still holds.  number:
    by which a data set knows it, None where its place among the others is all that there is.
    shift_ns: what was added to the times of its messages, so that they come after those before;
    stamps in messages are as they were.
    """

    name: str
    start_ns: int
    end_ns: int
    continues: bool = False
    number: int | None = None
    shift_ns: int = 0


class Recording(Protocol):
    """
    A recording that is open.

    name: to tell it by.  form: what it is, such as 'rosbag2, mcap'.  topics: sorted by name.
    episodes: at least one; a bag is one.  losses: what could not be read, in words; more may
    come while messages are read.
    """

    name: str
    form: str
    topics: tuple[Topic, ...]
    episodes: tuple[Episode, ...]
    losses: list[str]

    def messages(self, topics: Collection[str], start_ns: int | None = None,
                 end_ns: int | None = None) -> Iterator[Message]:
        """
        Yield the messages of topics from a time to another, both included, as they came in.

        Where files are damaged it yields what can be read, and `losses` tells the rest.
        """


def shift_at(recording: Recording, time_ns: int) -> int:
    """Return what was added to a message's time, ns, so that it follows earlier episodes."""
    return next((each.shift_ns for each in reversed(recording.episodes)
                 if each.start_ns <= time_ns), 0)


def episode_numbers(recording: Recording) -> list[int]:
    """Return the number of each episode, by which it is asked for and told."""
    return [place if each.number is None else each.number
            for place, each in enumerate(recording.episodes)]
