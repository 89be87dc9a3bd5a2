# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What of a recording's latched topics a late subscriber would have got."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from .quality import told_depth
from ...errors import ObservationError
from ...recordings.playlist import is_latched, TF


def latched_before(recording, names: Collection[str], start_ns: int) -> list:
    """
    Return the messages, by time, that hold at a moment of a recording.

    Of each latched one of the topics those that its publishers would keep: of TF the newest of
    each frame, for each of its publishers keeps its own; of instructions the last.
    """
    topics = {topic.name: topic for topic in recording.topics
              if topic.name in names and is_latched(topic)}
    if not topics:
        return []
    last = {name: deque(maxlen=told_depth(topic)) for name, topic in topics.items()}
    frames = {}
    for message in recording.messages(list(topics), None, start_ns - 1):
        if message.kind == TF:
            frames.update(dict.fromkeys(_children(message), message))
        else:
            last[message.topic].append(message)
    found = {id(message): message for kept in (frames.values(), *last.values())
             for message in kept}
    return sorted(found.values(), key=lambda message: message.time_ns)


def _children(message) -> list[tuple[str, str]]:
    """Return (topic, frame) of all that a message of TF places; none of a damaged one."""
    try:
        return [(message.topic, each.child_frame_id) for each in message.read().transforms]
    except ObservationError:
        return []
