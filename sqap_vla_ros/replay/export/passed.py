# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What was recorded, for replay.mcap: passed on as it is, or made again where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

import numpy as np

from . import values
from ...recordings.bag_writer import Offer
from ...recordings.playlist import absolute, is_sensor, RECORDED

PICTURES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
MARGIN_NS = 10**9  # before the first image and behind the last one


class Passed:
    """
    Recorded topics that the replay used, but for pictures.

    Commands, and whatever else something that moves may listen to, are below /recorded/: who
    plays the file beside an arm must not move it. What has no serialized form (a data set) or a
    type that is not standard is made again from the results, below it too; so is where the
    arm was, as /replay/measured_pose and, where no joint_states are passed on,
    /replay/measured_joints.
    """

    def __init__(self, results, recording, store, base: str):
        """store: of the types that can be written."""
        self._results, self._recording, self._base = results, recording, base
        used = {*results.facts.get('topics', {}).values(),
                *(commands.source for commands in results.commands)}
        topics = () if recording is None else recording.topics
        self._topics = {topic.name: topic for topic in topics
                        if topic.name in used and topic.kind in store.fielddefs
                        and topic.kind not in PICTURES and not topic.name.startswith('/replay/')}
        self._names = {name: self._name(topic) for name, topic in self._topics.items()}
        self._offers = {self._names[name]: Offer(topic.depth, topic.reliable, topic.latched)
                        for name, topic in self._topics.items()}
        times_ns = results.images.times_ns
        self._begin_ns, self._end_ns = (int(times_ns.min()) - MARGIN_NS,
                                        int(times_ns.max()) + MARGIN_NS)
        self._drop_what_has_no_bytes()

    def offers(self, topic: str) -> tuple[Offer]:
        """Return how a topic is published: as it was recorded, or as outputs are."""
        return (self._offers.get(topic, Offer()),)

    def events(self) -> Iterator[tuple]:
        """Yield (time, topic, kind, bytes or fields), by time."""
        sources = [self._made_again(commands) for commands in self._results.commands
                   if commands.source not in self._topics]
        sources.append(self._poses())
        if not any(topic.kind == values.JOINTS for topic in self._topics.values()):
            sources.append(self._joints())
        if self._topics:
            sources += [self._latched(), self._moving()]
        return merge(*sources, key=lambda event: event[0])

    def _name(self, topic) -> str:
        told = {self._results.facts.get('topics', {}).get('instruction'),
                *(commands.source for commands in self._results.commands)}
        if is_sensor(topic) and topic.name not in told or topic.name.startswith(f'{RECORDED}/'):
            return topic.name
        return f'{RECORDED}{absolute(topic.name)}'

    def _drop_what_has_no_bytes(self) -> None:
        for name in list(self._topics):
            first = next(iter(self._recording.messages({name})), None)
            if first is None or first.data is None:
                del self._topics[name]

    def _latched(self) -> Iterator[tuple]:
        """Yield what was said for good before the first image, as a late subscriber gets it."""
        names = {name for name, topic in self._topics.items() if topic.latched
                 or name.rpartition('/')[2] == 'tf_static'}
        for message in self._recording.messages(names, None, self._begin_ns - 1) if names else ():
            yield (self._begin_ns, self._names[message.topic],
                   self._topics[message.topic].kind, message.data)

    def _moving(self) -> Iterator[tuple]:
        for message in self._recording.messages(
                set(self._topics), self._begin_ns, self._end_ns):
            yield (message.time_ns, self._names[message.topic],
                   self._topics[message.topic].kind, bytes(message.data))

    def _made_again(self, commands) -> Iterator[tuple]:
        parts = [part for part in commands.source.split('/') if part]
        if parts[0] == RECORDED.strip('/'):
            del parts[0]
        topic = '/'.join([RECORDED, *map(values.topic_part, parts)])
        frame = self._base if commands.frame == 'base' else commands.frame
        for time_ns, row in zip(commands.times_ns.tolist(), commands.values):
            if not np.isfinite(row).all():
                continue
            if commands.kind == 'twist':
                kind, content = values.TWIST, values.named_twist(
                    commands.names, row, time_ns, frame)
            elif commands.kind == 'pose':
                kind, content = values.POSE, values.pose(row, time_ns, frame)
            elif commands.kind == 'gripper':
                kind, content = values.FLOAT, {'data': float(row[0])}
            else:
                what = 'positions' if commands.kind == 'joints' else 'velocities'
                kind, content = values.JOINTS, values.joints(
                    commands.names, time_ns, **{what: row})
            yield time_ns, topic, kind, content

    def _poses(self) -> Iterator[tuple]:
        images = self._results.images
        for index in np.flatnonzero(np.isfinite(images.poses).all(1)).tolist():
            yield (int(images.times_ns[index]), '/replay/measured_pose', values.POSE,
                   values.pose(images.poses[index], int(images.stamps_ns[index]), self._base))

    def _joints(self) -> Iterator[tuple]:
        images = self._results.images
        if not images.joint_names:
            return
        for index in np.flatnonzero(np.isfinite(images.joints).all(1)).tolist():
            yield (int(images.times_ns[index]), '/replay/measured_joints', values.JOINTS,
                   values.joints(images.joint_names, int(images.stamps_ns[index]),
                                 images.joints[index]))
