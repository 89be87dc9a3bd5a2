# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far the stamps of a recording are from the times at which its messages came in."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median

from .recording import shift_at
from ..errors import ObservationError

STAMPED = ('sensor_msgs/msg/CameraInfo', 'sensor_msgs/msg/JointState',
           'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/Image')
ENOUGH = 5
SAME_CLOCK_NS = 5_000_000_000  # what is nearer was delayed, or is of a clock that is a little off


class StampClock:
    """
    The clock that the stamps of a recording are of.

    offset_ns: what added to a message's time gives its time; 0 for the clock of recording.
    """

    def __init__(self, recording, names: Collection[str]):
        """Look at the first stamps of topics."""
        self._recording = recording
        self.offset_ns = stamp_offset_ns(recording, names)

    def at(self, time_ns: int) -> int:
        """Return its time when a message came in; it was set back where that clock was."""
        moved_ns = self.offset_ns or -shift_at(self._recording, time_ns)
        return max(0, time_ns + moved_ns)


def stamp_offset_ns(recording, names: Collection[str]) -> int:
    """
    Return what added to a message's time gives the time of its stamps' clock; 0 for the same one.

    A simulation's messages are stamped with its own time, and many recorders note the wall's.
    """
    topics = {topic.name: topic.kind for topic in recording.topics if topic.name in names}
    for kind in STAMPED:
        found = _offsets(recording, [name for name, mine in topics.items() if mine == kind])
        if found:
            offset_ns = int(median(found))
            return offset_ns if abs(offset_ns) > SAME_CLOCK_NS else 0
    return 0


def _offsets(recording, topics) -> list[int]:
    """Return stamp - time of the first messages that have a stamp."""
    found = []
    for number, message in enumerate(recording.messages(topics) if topics else ()):
        try:
            stamp = message.read().header.stamp
        except ObservationError:
            continue
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        if stamp_ns:
            found.append(stamp_ns - message.time_ns)
        if len(found) == ENOUGH or number > 10 * ENOUGH:
            break
    return found
