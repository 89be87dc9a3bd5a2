# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a late subscriber gets at once: /tf_static, camera_info, instruction, robot_description.

A recorder gets it in its first second, a node had it before: so it holds from the beginning. Of
what was said several times the last before the beginning counts, else the first. An instruction
or a camera_info that was published for those alone who listened then, or of which the recording
does not tell, holds from then on if it comes after the time that a recorder takes to listen.
"""

from __future__ import annotations

from .heard import Ears
from ..errors import ObservationError

DISCOVERY_NS = 2 * 10**9  # that a recorder may take to hear of a topic
REPEATED = 20  # messages of /tf_static without a new frame: it is said again and again


def hear_latched(recording, topics, episode, ears: Ears, begin_ns: int) -> None:
    """Let ears hear what is latched by a time of an episode."""
    first = recording.episodes[0] if episode.continues else episode
    span = first.start_ns, episode.end_ns
    latched = {topic.name for topic in recording.topics if topic.latched}
    once = {topics.instruction, *topics.infos.values()} - latched
    if topics.tf_static:
        _hear_static(recording.messages({topics.tf_static}, *span), ears, begin_ns)
    for topic in sorted({topics.instruction, topics.robot_description,
                         *topics.infos.values()} - {''}):
        found = None
        for message in recording.messages({topic}, *span):
            if found is not None and message.time_ns > begin_ns:
                break
            if topic in once and message.time_ns > max(begin_ns, span[0] + DISCOVERY_NS):
                break
            found = message
        if found is not None:
            ears.hear(found)


def _hear_static(messages, ears: Ears, begin_ns: int) -> None:
    """
    Take all that was said by a time, and of later frames the first pose.

    Where it is sent with every tick, no later frame is waited for: that would read all files.
    """
    known, repeated = set(), 0
    for message in messages:
        try:
            transforms = list(ears.transforms_of(message))
        except ObservationError:
            continue  # it is counted when its time has come
        if message.time_ns > begin_ns:
            transforms = [each for each in transforms if each.child not in known]
            repeated = 0 if transforms else repeated + 1
            if repeated == REPEATED:
                return
        known.update(each.child for each in transforms)
        ears.take_static(transforms, message.time_ns)
