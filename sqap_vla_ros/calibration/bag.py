# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Samples of a bag: its messages in their order, through the same ingest as live ones.

What is latched (/tf_static, the first camera_info) is read first, as a late subscriber gets it. An
image is looked at when what may still have been on its way to the node has come in.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from pathlib import Path
import struct

from .names import sibling_info, those_there, with_frames
from .sample import Looker, Sample
from ..errors import ConfigError, ObservationError
from ..geometry.transform_buffer import TransformBuffer, TransformLookupError
from ..ingest.camera_info import InfoStream
from ..ingest.observer import at_once, Heard
from ..ingest.stamps import stamp_ns
from ..support.requirements import missing_modules_as

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
INFO, TF = 'sensor_msgs/msg/CameraInfo', 'tf2_msgs/msg/TFMessage'
MOVING, STATIC = '/tf', '/tf_static'
WAITS_NS = 500_000_000  # of the bag's time, for TF that was recorded after the image


def samples_of_bag(path, topics, options, frames, count, progress):
    """
    Return (up to count samples, evenly over the bag; topics of image and camera_info).

    topics: (image, camera_info), '' for the only one that is there.  options: ObserverOptions.
    frames: to look at besides the end effector's.  progress(text) is told how far it is.
    Raises ConfigError for a bag or a topic that is not there, ObservationError for one that
    cannot be read or shows nothing.
    """
    with _opened(path) as reader:
        image = _image(reader, path, topics[0])
        info = _info(reader, path, topics[1] or sibling_info(image.topic), bool(topics[1]))
        run = _Pass(reader, image, info, options, frames)
        samples = run.samples(path, count, progress)
        return samples, (image.topic, info.topic)


@contextmanager
def _opened(path):
    """Open a bag; what a missing or damaged one raises becomes an error with a cure."""
    with missing_modules_as(ConfigError):
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import get_typestore, Stores
    place = Path(path)
    if not place.exists():
        there = [item.name for item in place.absolute().parent.glob('*')]
        raise ConfigError(f'--bag {path} does not exist; ' + those_there(
            place.name, there, f'in {place.absolute().parent}'))
    if place.suffix == '.bag':
        raise ConfigError(f'--bag {path} is of ROS 1: convert it by rosbags-convert')
    if place.is_file() and (place.parent / 'metadata.yaml').exists():
        place = place.parent
    with _readable(path):
        reader = AnyReader([place], default_typestore=get_typestore(Stores.ROS2_JAZZY))
        reader.open()
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def _readable(path):
    """Turn what damaged files raise into an ObservationError."""
    from apsw import Error as SqliteError
    from rosbags.highlevel import AnyReaderError
    from rosbags.rosbag2 import ReaderError
    damage = (AnyReaderError, ReaderError, SqliteError, struct.error, OSError, EOFError,
              IndexError, KeyError, AssertionError, RuntimeError, ValueError)
    try:
        yield
    except (ConfigError, ObservationError):
        raise
    except damage as error:
        raise ObservationError(
            f'the bag {path} cannot be read: {str(error) or type(error).__name__}. Was it cut '
            'off, or is it still being written? ros2 bag reindex writes a missing metadata.yaml, '
            'mcap recover mends an .mcap') from error


def _image(reader, path, wanted):
    kinds = (IMAGE, COMPRESSED)
    there = [connection for connection in reader.connections if connection.msgtype in kinds]
    for name in (wanted, f'{wanted}/compressed') if wanted else ():
        for connection in there:
            if connection.topic == name:
                return connection
    colour = [connection for connection in there if 'depth' not in connection.topic.lower()]
    if not wanted and len({connection.topic for connection in colour}) == 1:
        return colour[0]
    raise ConfigError(_no_topic(reader, path, '--image', wanted or 'image', kinds, 'images'))


def _info(reader, path, wanted, is_told):
    there = [connection for connection in reader.connections if connection.msgtype == INFO]
    exact = [connection for connection in there if connection.topic == wanted]
    if exact or not is_told and len(there) == 1:
        return (exact or there)[0]
    raise ConfigError(_no_topic(reader, path, '--camera-info', wanted, (INFO,), 'camera_info'))


def _no_topic(reader, path, flag, wanted, kinds, what):
    names = [connection.topic for connection in reader.connections
             if connection.msgtype in kinds]
    every = [connection.topic for connection in reader.connections]
    text = those_there(wanted, names, f'topics of {what}') if names else (
        f'no topic of {what}, but ' + those_there(wanted, every, 'topics'))
    return f'the bag {path} has no topic {wanted}: {text}. Name one by {flag}'


class _Pass:
    """One pass over a bag."""

    def __init__(self, reader, image, info, options, frames):
        self._reader, self._image, self._info = reader, image, info
        self._stream = InfoStream()
        self._max_age_s = options.camera_info_max_age
        self._heard = Heard(info_topic=info.topic)
        self._buffer = TransformBuffer()
        self._looker = Looker(options, self._heard, self._buffer, at_once, frames)
        self._why = ''

    def samples(self, path, count, progress) -> list[Sample]:
        """Return the samples; raise ObservationError with the last reason if there are none."""
        found = []
        try:
            with _readable(path):
                self._hear_latched()
                for sample in self._looked_at(count, progress):
                    found.append(sample)
                    if len(found) == count:
                        break
        except ObservationError as error:  # the images before it was cut off can be used
            self._why = str(error)
        if not found:
            raise ObservationError(self._why or f'the bag {path} holds no message on '
                                   f'{self._image.topic}')
        return found

    def _hear_latched(self):
        static = self._connections(STATIC)
        for _, _, message in self._messages(static) if static else ():
            self._hear_transforms(message, True)
        for _, _, message in self._messages([self._info]):
            self._heard.camera_info, self._heard.info_is_latched = message, True
            break

    def _looked_at(self, count, progress):
        """Yield samples, each when the bag is far enough beyond its image."""
        pending, number = deque(), 0
        total = max(self._image.msgcount, count)
        wanted = {(2 * number + 1) * total // (2 * count) for number in range(count)}
        connections = [*self._connections(MOVING), self._image, self._info]
        for connection, time_ns, message in self._messages(connections, wanted):
            while pending and time_ns - pending[0][0] > WAITS_NS:
                yield from self._look(pending.popleft()[1])
            if connection.topic == MOVING:
                self._hear_transforms(message, False)
            elif connection.topic == self._info.topic:
                self._hear_info(message)
            else:
                number += 1
                progress(f'image {number} of {min(count, self._image.msgcount or count)}')
                pending.append((time_ns, message))
        while pending:
            yield from self._look(pending.popleft()[1])

    def _look(self, message):
        try:
            yield self._looker.look(message)
        except ObservationError as error:
            self._why = with_frames(str(error), self._buffer.frames())

    def _connections(self, topic):
        return [connection for connection in self._reader.connections
                if connection.topic == topic and connection.msgtype == TF]

    def _messages(self, connections, wanted=()):
        """Yield (connection, time, message), of images the wanted numbers alone."""
        images = -1
        for connection, time_ns, data in self._reader.messages(connections):
            if connection.topic == self._image.topic:
                images += 1
                if images not in wanted:
                    continue
            yield connection, time_ns, self._reader.deserialize(data, connection.msgtype)

    def _hear_info(self, message):
        self._stream.heard(message)
        self._heard.camera_info = message
        self._heard.info_is_latched = not self._stream.is_live(self._max_age_s)

    def _hear_transforms(self, message, static):
        for transform in message.transforms:
            try:
                self._buffer.insert_numbers(*_plain(transform), static=static)
            except TransformLookupError as error:
                self._why = str(error)


def _plain(transform):
    """Return (parent, child, stamp, numbers) of a geometry_msgs/TransformStamped."""
    t, q = transform.transform.translation, transform.transform.rotation
    return (transform.header.frame_id, transform.child_frame_id, stamp_ns(transform),
            (t.x, t.y, t.z, q.x, q.y, q.z, q.w))
