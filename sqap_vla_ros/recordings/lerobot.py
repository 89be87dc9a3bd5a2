# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
LeRobot data sets as recordings: each feature is a topic, each frame a moment.

A data set has no clock: its episodes are put one after another, apart, from a fixed time on.
Images are decoded when they are read, each camera's video from its beginning to its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np

from .lerobot_info import data_set_root, PICTURES, read_info, read_slices
from .lerobot_rows import episode_rows, offsets_ns
from .lerobot_tables import read_parts, read_tasks
from .recording import Episode, Message, Topic
from .video import Video, why_no_video
from ..errors import ConfigError, ObservationError

START_NS = 10**18  # 2001-09-09: any time but 0, which means that there is no stamp
GAP_NS = 10 * 10**9  # between episodes
INSTRUCTION = 'instruction'
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
STRING, ARRAY = 'std_msgs/msg/String', 'std_msgs/msg/Float64MultiArray'
KINDS = {'video': IMAGE, 'image': COMPRESSED}
USUAL = ('next.', 'annotation.')  # what data sets have beside what is read
IMAGE_MAGIC = {b'\xff\xd8': 'jpeg', b'\x89P': 'png', b'RI': 'webp'}


class LeRobotRecording:
    """
    A LeRobot data set of version 2.0, 2.1 or 3.0, as a Recording.

    columns: {topic: names of its numbers, one each}.  slices: {'state' or 'action': {part of the
    robot: (first column, end)}}, where meta/modality.json has them.  Topics are called as the
    features are, and `instruction` tells the task.
    """

    def __init__(self, path):
        """
        Read what is in meta/, and which files are there.

        Raises ConfigError for what is no data set of these versions, and ObservationError for
        one of which no episode or no camera can be read.
        """
        root = data_set_root(path)
        if root is None:
            raise ConfigError(f'{path} is no LeRobot data set: it has no meta/info.json')
        self.name, self._info = root.name, read_info(root)
        self.form = f'LeRobot {self._info.text}, parquet' + ' and video' * any(
            feature.dtype == 'video' for feature in self._info.features.values())
        self.losses, self.fps = [], self._info.fps
        self._tasks = read_tasks(self._info, self.losses)
        self._parts, self._without_rows = read_parts(self._info, self.losses)
        if not self._parts:
            raise ObservationError(f'no episode of {root} can be read: '
                                   + ('; '.join(self.losses) or 'it has none'))
        self._features = self._readable()
        self.columns = {name: feature.columns for name, feature in self._features.items()
                        if not feature.is_picture}
        self.slices = read_slices(root)
        self.episodes = tuple(self._episodes())
        self.topics = tuple(sorted(self._topics(), key=lambda topic: topic.name))

    def close(self):
        """Leave nothing open: files are closed as soon as they are read."""

    def messages(self, topics: Collection[str], start_ns: int | None = None,
                 end_ns: int | None = None) -> Iterator[Message]:
        """Yield the messages of topics, see Recording; of one moment state, images, actions."""
        wanted = [name for name in self._features if name in topics]
        wanted.sort(key=lambda name: (name.startswith('action'), self._features[name].is_picture))
        names, videos = wanted + [INSTRUCTION] * (INSTRUCTION in topics), {}
        for part, episode in zip(self._parts, self.episodes):
            begin = max(episode.start_ns, episode.start_ns if start_ns is None else start_ns)
            end = min(episode.end_ns, episode.end_ns if end_ns is None else end_ns)
            if names and begin <= end:
                yield from self._of_episode(part, episode, names, (begin, end), videos)

    def unreadable(self, numbers: Collection[int], topic: str) -> dict[int, str]:
        """Return why nothing of a topic can be read, by the number of the episode."""
        why = dict.fromkeys(self._without_rows, 'no rows in Parquet that can be read')
        opened = {}
        for part in self._parts if topic in self._features else ():
            if part.index in numbers and topic in part.clips:
                path = part.clips[topic].path
                if path not in opened:
                    opened[path] = why_no_video(path)
                why[part.index] = opened[path]
        return {number: why[number] for number in numbers if why.get(number)}

    def _readable(self):
        """Return the features that are read; tell of those that are not."""
        features = dict(self._info.features)
        odd = {name: feature.why_not for name, feature in features.items()
               if feature.why_not and feature.why_not != 'counted' and not name.startswith(USUAL)}
        if odd:
            self.losses.append('not read: ' + ', '.join(
                f'{name} ({why})' for name, why in odd.items()))
        cameras = [name for name, feature in features.items()
                   if feature.is_picture and not feature.why_not]
        missing = {name for name in cameras if self._is_missing(name)}
        if cameras and missing == set(cameras):
            more = f', and so with {", ".join(cameras[1:])}' if cameras[1:] else ''
            raise ObservationError(f'no camera of {self._info.root} can be read: '
                                   f'{self.losses[-len(cameras)]}{more}')
        return {name: feature for name, feature in features.items()
                if not feature.why_not and name not in missing and not name.startswith('next.')}

    def _is_missing(self, name) -> bool:
        """Whether none of a camera's videos is there; tell of those that are not."""
        if self._info.features[name].dtype == 'image':
            return False
        lost = [part for part in self._parts if not part.clips[name].path.exists()]
        if not lost:
            return False
        path = lost[0].clips[name].path
        frames = sum(part.rows for part in lost)
        text = (f'{name} is declared in info.json, but of {len(lost)} of {len(self._parts)} '
                f'episodes ({frames} images, {frames / self.fps:.1f} s) the video is missing, '
                f'first {path.relative_to(self._info.root)}')
        if len(lost) == len(self._parts):
            text += _there(self._info.root, path)
        self.losses.append(text)
        return len(lost) == len(self._parts)

    def _episodes(self) -> Iterator[Episode]:
        start_ns = START_NS
        for part in self._parts:
            last_s = np.array([part.last_s])
            length_ns = int(offsets_ns(part, self.fps, part.rows - 1, last_s)[0])
            yield Episode(str(part.index), start_ns, start_ns + length_ns, number=part.index)
            start_ns += length_ns + GAP_NS

    def _topics(self) -> Iterator[Topic]:
        count = sum(part.rows for part in self._parts)
        for name, feature in self._features.items():
            lost = sum(part.rows for part in self._parts if feature.dtype == 'video'
                       and not part.clips[name].path.exists())
            yield Topic(name, KINDS.get(feature.dtype, ARRAY), count - lost)
        if self._tasks or any(part.tasks for part in self._parts):
            yield Topic(INSTRUCTION, STRING, latched=True)

    def _of_episode(self, part, episode, names, limits, videos):
        """Yield the messages of one episode between two times."""
        images = [name for name in names if name in self._features
                  and self._features[name].dtype == 'image']
        clips = {name: self._video(part, name, videos) for name in names
                 if name in self._features and self._features[name].dtype == 'video'}
        asked = None
        try:
            for batch in episode_rows(part, self.fps, names, images):
                for row, offset_ns in enumerate(batch.offsets_ns):
                    time_ns = episode.start_ns + int(offset_ns)
                    task = self._task(part, batch, row)
                    if INSTRUCTION in names and task and task != asked and time_ns <= limits[1]:
                        asked = task
                        if time_ns >= limits[0]:
                            yield _message(time_ns, INSTRUCTION, STRING,
                                           partial(SimpleNamespace, data=task))
                    if limits[0] <= time_ns <= limits[1]:
                        yield from self._row(part, batch, row, time_ns, names, clips)
                if batch.offsets_ns[-1] + episode.start_ns > limits[1]:
                    return
        except ObservationError as error:
            self._lose(str(error))

    def _row(self, part, batch, row, time_ns, names, clips):
        for name in names:
            if name in clips:
                if clips[name] is not None and not clips[name].is_over:
                    yield _message(time_ns, name, IMAGE, partial(
                        clips[name].message, batch.first + row, batch.offsets_ns[row],
                        batch.timestamps_s[row], time_ns))
            elif name in batch.columns:
                value = batch.columns[name][row]
                if self._features[name].dtype in PICTURES:
                    yield _message(time_ns, name, COMPRESSED, partial(
                        self._stored, part, name, value, time_ns))
                else:
                    yield _message(time_ns, name, ARRAY, partial(SimpleNamespace, data=value))

    def _video(self, part, name, videos):
        """Return how an episode's frames of a camera are read; None where they cannot be."""
        clip = part.clips[name]
        if not clip.path.exists():
            return None  # told when it was opened
        try:
            if name not in videos or videos[name].path != clip.path:
                videos[name] = Video(clip.path)
        except ObservationError as error:
            self._lose(f'{name}, episode {part.index}, {part.rows} images, '
                       f'{part.rows / self.fps:.1f} s: {error}')
            return None
        return _Clip(videos[name], clip, part, name, self._lose)

    def _task(self, part, batch, row) -> str:
        """Return what was asked at a row, '' if it is not told."""
        number = batch.columns.get('task_index')
        if number is not None and int(number[row][0]) in self._tasks:
            return self._tasks[int(number[row][0])]
        return part.tasks[0] if part.tasks else ''

    def _stored(self, part, name, value, time_ns):
        """Return a CompressedImage of what a Parquet file has: the bytes, or a path to them."""
        data, path = value, None
        if isinstance(value, dict):
            data, path = value.get('bytes'), value.get('path')
        if data is None and path:
            places = [self._info.root / path, part.path.parent / path]
            found = next((place for place in places if place.is_file()), None)
            if found is None:
                raise ObservationError(f'{name}: its image file {places[0]} is not there')
            data = found.read_bytes()
        if not isinstance(data, bytes):
            raise ObservationError(f'{name}: no image is stored in {part.path} for this row')
        kind = IMAGE_MAGIC.get(data[:2], 'image')
        return SimpleNamespace(header=_header(time_ns, name), format=kind,
                               data=np.frombuffer(data, np.uint8))

    def _lose(self, text):
        if text not in self.losses:
            self.losses.append(text)


class _Clip:
    """The frames of one episode and camera; tells once where they end too early."""

    def __init__(self, video, clip, part, name, lose):
        self._video, self._part, self._name, self._lose = video, part, name, lose
        self._from_s, self.is_over = clip.from_s, False
        frames = video.frames if clip.frames is None else clip.frames
        self._in_order = frames == part.rows  # a frame a row, whenever timestamps begin

    def message(self, number, offset_ns, timestamp_s, time_ns):
        """Return the Image of a row; raise ObservationError where there is no frame for it."""
        at_s = self._from_s + (offset_ns * 1e-9 if self._in_order else timestamp_s)
        try:
            image = self._video.at(float(at_s))
        except ObservationError:
            self._tell(number)
            raise
        height, width = image.shape[:2]
        return SimpleNamespace(header=_header(time_ns, self._name), height=height, width=width,
                               encoding='rgb8', is_bigendian=0, step=3 * width,
                               data=image.reshape(-1))

    def _tell(self, number):
        video, rows = self._video, self._part.rows
        if video.has_ended and not self.is_over:
            self.is_over = True
            self._lose(f'{self._name}, episode {self._part.index}: {video.path} ends at '
                       f'{video.end_s:.2f} s, so the last {rows - number} of {rows} images are '
                       'lost')


def _there(root, path) -> str:
    """Return what lies where a path breaks off."""
    place = path.parent
    while not place.is_dir() and place != root:
        place = place.parent
    found = sorted(item.name for item in place.iterdir()) if place.is_dir() else []
    return (f'; in {place.relative_to(root.parent)} there {"is" if len(found) == 1 else "are"} '
            + (', '.join(found[:6]) or 'nothing'))


def _message(time_ns, topic, kind, read) -> Message:
    return Message(time_ns, topic, kind, None, read)


def _header(time_ns, frame):
    stamp = SimpleNamespace(sec=time_ns // 10**9, nanosec=time_ns % 10**9)
    return SimpleNamespace(stamp=stamp, frame_id=frame)
