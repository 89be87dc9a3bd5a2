# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Samples of a bag: its messages in their order, through the same ingest as live ones.

What is latched (/tf_static, the first camera_info) is read first, as a late subscriber gets it. An
image is looked at when what may still have been on its way to the node has come in.
"""

from __future__ import annotations

from collections import deque

from .names import sibling_info, those_there, with_frames
from .sample import Looker, Sample
from ..errors import ConfigError, ObservationError
from ..geometry.transform_buffer import TransformBuffer, TransformLookupError
from ..ingest.camera_info import InfoStream
from ..ingest.observer import at_once, Heard
from ..ingest.stamps import stamp_ns
from ..recordings.bag import BagRecording
from ..recordings.recording import Message, Topic

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
INFO, TF = 'sensor_msgs/msg/CameraInfo', 'tf2_msgs/msg/TFMessage'
MOVING, STATIC = '/tf', '/tf_static'
WAITS_NS = 500_000_000  # of the bag's time, for TF that was recorded after the image


def samples_of_bag(path, topics, options, frames, count, progress):
    """
    Return (up to count samples, evenly over the bag; topics of image and camera_info; losses).

    topics: (image, camera_info), '' for the only one that is there.  options: ObserverOptions.
    frames: to look at besides the end effector's.  progress(text) is told how far it is.
    losses: what could not be read, in words.  Raises ConfigError for a bag or a topic that is
    not there, ObservationError for one that cannot be read or shows nothing.
    """
    bag = BagRecording(path)
    try:
        image = _image(bag, path, topics[0])
        info = _info(bag, path, topics[1] or sibling_info(image.name), bool(topics[1]))
        samples = _Pass(bag, image, info, options, frames).samples(path, count, progress)
        return samples, (image.name, info.name), bag.losses
    finally:
        bag.close()


def _image(bag, path, wanted) -> Topic:
    kinds = (IMAGE, COMPRESSED)
    there = [topic for topic in bag.topics if topic.kind in kinds]
    for name in (wanted, f'{wanted}/compressed') if wanted else ():
        for topic in there:
            if topic.name == name:
                return topic
    colour = [topic for topic in there if 'depth' not in topic.name.lower()]
    if not wanted and len(colour) == 1:
        return colour[0]
    raise ConfigError(_no_topic(bag, path, '--image', wanted or 'image', kinds, 'images'))


def _info(bag, path, wanted, is_told) -> Topic:
    there = [topic for topic in bag.topics if topic.kind == INFO]
    exact = [topic for topic in there if topic.name == wanted]
    if exact or not is_told and len(there) == 1:
        return (exact or there)[0]
    raise ConfigError(_no_topic(bag, path, '--camera-info', wanted, (INFO,), 'camera_info'))


def _no_topic(bag, path, flag, wanted, kinds, what):
    names = [topic.name for topic in bag.topics if topic.kind in kinds]
    every = [topic.name for topic in bag.topics]
    text = those_there(wanted, names, f'topics of {what}') if names else (
        f'no topic of {what}, but ' + those_there(wanted, every, 'topics'))
    return f'the bag {path} has no topic {wanted}: {text}. Name one by {flag}'


class _Pass:
    """One pass over a bag."""

    def __init__(self, bag, image, info, options, frames):
        self._bag, self._image, self._info = bag, image, info
        self._stream = InfoStream()
        self._max_age_s = options.camera_info_max_age
        self._heard = Heard(info_topic=info.name)
        self._buffer = TransformBuffer()
        self._looker = Looker(options, self._heard, self._buffer, at_once, frames)
        self._why = ''

    def samples(self, path, count, progress) -> list[Sample]:
        """Return the samples; raise ObservationError with the last reason if there are none."""
        self._hear_latched()
        found = []
        for sample in self._looked_at(count, progress):
            found.append(sample)
            if len(found) == count:
                break
        if not found:
            raise ObservationError('; '.join((
                self._why or f'the bag {path} holds no message on {self._image.name}',
                *self._bag.losses)))
        return found

    def _hear_latched(self):
        for message in self._messages([STATIC]):
            self._hear_transforms(message, True)
        for message in self._messages([self._info.name]):
            content = self._content(message)
            if content is not None:
                self._heard.camera_info, self._heard.info_is_latched = content, True
                break

    def _looked_at(self, count, progress):
        """Yield samples, each when the bag is far enough beyond its image."""
        pending, number = deque(), 0
        total = max(self._image.count, count)
        wanted = {(2 * number + 1) * total // (2 * count) for number in range(count)}
        for message in self._messages([MOVING, self._image.name, self._info.name], wanted):
            while pending and message.time_ns - pending[0].time_ns > WAITS_NS:
                yield from self._look(pending.popleft())
            if message.topic == MOVING:
                self._hear_transforms(message, False)
            elif message.topic == self._info.name:
                self._hear_info(message)
            else:
                number += 1
                progress(f'image {number} of {min(count, self._image.count or count)}')
                pending.append(message)
        while pending:
            yield from self._look(pending.popleft())

    def _look(self, message: Message):
        try:
            yield self._looker.look(message.read())
        except ObservationError as error:
            self._why = with_frames(str(error), self._buffer.frames())

    def _messages(self, topics, wanted=()):
        """Yield messages of topics, of images the wanted numbers alone."""
        images = -1
        for message in self._bag.messages(topics):
            if message.topic == self._image.name:
                images += 1
                if images not in wanted:
                    continue
            yield message

    def _content(self, message: Message):
        """Return what a message tells, None for a damaged one."""
        try:
            return message.read()
        except ObservationError as error:
            self._why = f'{message.topic}: {error}'
            return None

    def _hear_info(self, message):
        content = self._content(message)
        if content is not None:
            self._stream.heard(content)
            self._heard.camera_info = content
            self._heard.info_is_latched = not self._stream.is_live(self._max_age_s)

    def _hear_transforms(self, message, static):
        content = self._content(message) if message.kind == TF else None
        for transform in content.transforms if content is not None else ():
            try:
                self._buffer.insert_numbers(*_plain(transform), static=static)
            except TransformLookupError as error:
                self._why = str(error)


def _plain(transform):
    """Return (parent, child, stamp, numbers) of a geometry_msgs/TransformStamped."""
    t, q = transform.transform.translation, transform.transform.rotation
    return (transform.header.frame_id, transform.child_frame_id, stamp_ns(transform),
            (t.x, t.y, t.z, q.x, q.y, q.z, q.w))
