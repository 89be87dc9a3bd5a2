# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Bags of ROS 2 as Recordings: SQLite and MCAP, compressed, split, and what is left of damaged ones.

Read by our own code: a bag that was cut off is the one that somebody looks at, and other readers
refuse it. Blocks of all files are merged by their times, so that no more is held than overlaps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .bag_files import (
    bag_files, loaded_yaml, MAGIC_OF_ROS_1, ROS_1, temporary_folder, unpacked_file)
from .bag_types import reader, type_store
from .loading import Loading
from .mcap_file import McapFile
from .mcap_records import MAGIC as MCAP
from .merging import merged, Source
from .parts import CDR, ZSTD
from .recording import Episode, Message, Topic
from .sqlite_file import MAGIC as SQLITE, SqliteFile
from .stretches import Stretch, stretches
from ..errors import ConfigError, ObservationError
from ..support.progress import Progress
from ..support.requirements import missing_modules_as

_FORMS = {MCAP: McapFile, SQLITE: SqliteFile}  # by what they begin with
LFS = '. A pointer of Git LFS? `git lfs pull` brings the file'
TRANSIENT_LOCAL = (1, 'transient_local')
BEST_EFFORT = (2, 'best_effort')


class BagRecording:
    """A bag that is open; see Recording."""

    def __init__(self, path):
        """
        Open a bag: its directory, its metadata.yaml, or one of its files.

        Raises ConfigError for one that is not there or is none, ObservationError for one of which
        nothing can be read.
        """
        with missing_modules_as(ConfigError):
            import rosbags.typesys  # noqa: F401
        found = bag_files(path)
        self.name = found.path.name
        self._own_losses, self._metadata = found.losses, found.metadata
        self._folder, self._files = None, []
        self._open(found.files)
        if not self._files:
            raise ObservationError(f'nothing of the bag {path} can be read: '
                                   + '; '.join(self._own_losses))
        self._take_channels(path)
        self.form = 'rosbag2, ' + '/'.join(sorted({file.part.form for file in self._files}))
        if not any(file.part.blocks for file in self._files):
            raise ObservationError('; '.join((
                f'the bag {path} holds no message that can be read; its topics: '
                + (', '.join(sorted(self._kinds)) or 'none'), *self.losses)))
        self._stretches = self._in_stretches()
        self.episodes = tuple(self._episodes())
        self._compare()

    def close(self) -> None:
        """Close the files, and remove what was unpacked."""
        for file in self._files:
            file.close()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def losses(self) -> list[str]:
        """Return what could not be read, as far as it was tried."""
        return [*self._own_losses, *(text for file in self._files for text in file.losses)]

    def messages(self, topics: Collection[str], start_ns: int | None = None,
                 end_ns: int | None = None) -> Iterator[Message]:
        """Yield the messages of topics from a time to another, both included, by their times."""
        start_ns = 0 if start_ns is None else start_ns
        end_ns = 2**63 if end_ns is None else end_ns
        with ThreadPoolExecutor(1, 'load') as thread:
            for stretch in self._stretches:
                shift_ns = stretch.shift_ns
                sources = self._sources(
                    stretch, set(topics), start_ns - shift_ns, end_ns - shift_ns, thread)
                for time_ns, channel, data, read in merged(sources):
                    if start_ns <= time_ns + shift_ns <= end_ns:
                        yield Message(time_ns + shift_ns, channel.topic, channel.kind, data,
                                      partial(read, data))

    def type_store(self, topic: str):
        """
        Return rosbags' store in which a topic's type is as its messages were written.

        None where neither the bag nor a distribution tells of it.
        """
        return next((type_store(channel, self._distro) for file in self._files
                     for _, channel in self._used(file) if channel.topic == topic), None)

    def _sources(self, stretch: Stretch, topics, start_ns, end_ns, thread) -> list[Source]:
        wanted = {file: {number: (channel, reader(channel, self._distro))
                         for number, channel in self._used(file) if channel.topic in topics}
                  for file in self._files}
        pieces = []
        for file, block in stretch.pieces:
            begin_ns = max(block.start_ns, stretch.first_ns)
            if max(block.end_ns, begin_ns) < start_ns or begin_ns > end_ns:
                continue
            if block.channels is None or not block.channels.isdisjoint(wanted[file]):
                pieces.append((begin_ns, file, block))
        loading = Loading(pieces, thread)
        return [Source(begin_ns, partial(_items, loading, place, file, block, wanted[file],
                                         stretch.first_ns))
                for place, (begin_ns, file, block) in enumerate(pieces)]

    def _open(self, files):
        for path in files:
            try:
                self._files.append(self._opened(path))
            except ObservationError as error:
                self._own_losses.append(str(error))

    def _opened(self, path):
        begin = _beginning(path)
        if begin.startswith(ZSTD):
            self._folder = self._folder or temporary_folder()
            path = unpacked_file(path, self._folder.name, self._own_losses)
            begin = _beginning(path)
        if begin.startswith(MAGIC_OF_ROS_1):
            raise ConfigError(ROS_1.format(path, path.with_suffix('')))
        opened = next((form for magic, form in _FORMS.items() if begin.startswith(magic)), None)
        if opened is None:
            cure = LFS if begin.startswith(b'version ') else ''
            raise ObservationError(f'{path} is no file of a bag: it begins with {begin[:8]!r}, '
                                   f'expected {MCAP!r} (MCAP) or {SQLITE!r} (SQLite){cure}')
        with Progress(f'looking through {path.name}', path.stat().st_size, 'B',
                      scaled=True) as progress:
            return opened(path, lambda done: progress.advance(done - progress.done))

    def _in_stretches(self) -> list[Stretch]:
        size = sum(block.size for file in self._files for block in file.part.blocks)
        with Progress('looking whether time goes on', size, 'B', scaled=True) as progress:
            found = stretches(self._files, lambda done: progress.advance(done - progress.done))
        for before, after in zip(found, found[1:]):
            back_s = (before.end_ns - before.shift_ns - after.start_ns + after.shift_ns) * 1e-9
            self._own_losses.append(
                f'time goes back by {back_s:.1f} s, {_seconds(found[0].start_ns, before.end_ns)} '
                'after the beginning: an episode of its own begins there')
        return found

    def _episodes(self) -> Iterator[Episode]:
        for number, stretch in enumerate(self._stretches, 1):
            name = f'{self.name}-{number}' if len(self._stretches) > 1 else self.name
            yield Episode(name, stretch.start_ns, stretch.end_ns, number > 1,
                          shift_ns=stretch.shift_ns)

    def _compare(self):
        """Tell of messages of unknown topics, and of what only metadata.yaml knows."""
        orphans = sum(count for file in self._files for number, count in file.part.counts.items()
                      if number not in file.part.channels)
        if orphans:
            self._own_losses.append(f'{orphans} messages are of topics that are not described')
        told = _told_counts(self._metadata)
        found = {topic.name: topic.count for topic in self.topics}
        less = [f'{name} {found.get(name, 0)} of {count}' for name, count in told.items()
                if found.get(name, 0) < count]
        if less:
            total = sum(found.get(name, 0) for name in told)
            self._own_losses.append(
                f'metadata.yaml counts {sum(told.values())} messages, {total} were found: '
                + ', '.join(less))

    def _used(self, file):
        """Return (number, channel) of those whose messages are taken."""
        return [(number, channel) for number, channel in file.part.channels.items()
                if self._kinds.get(channel.topic) == channel.kind]

    def _take_channels(self, path):
        channels = [(channel, file.part.counts[number]) for file in self._files
                    for number, channel in file.part.channels.items()]
        distros = [self._metadata.get('ros_distro') or '',
                   *(file.part.distro for file in self._files)]
        self._distro = next((str(name) for name in distros if name), '')
        self._check_encodings(path, channels)
        counts = defaultdict(Counter)
        for channel, count in channels:
            if channel.encoding == CDR:
                counts[channel.topic][channel.kind] += count
        self._kinds = {topic: kinds.most_common(1)[0][0] for topic, kinds in counts.items()}
        for topic, kinds in counts.items():
            for kind, count in kinds.most_common()[1:]:
                self._own_losses.append(
                    f'{topic}: {count} messages of type {kind} beside '
                    f'{kinds[self._kinds[topic]]} of {self._kinds[topic]} are left out')
        profiles = {channel.topic: channel.qos for channel, _ in reversed(channels)}
        self.topics = tuple(sorted(
            (Topic(name, kind, counts[name][kind], *_qos(profiles[name]))
             for name, kind in self._kinds.items()), key=lambda topic: topic.name))

    def _check_encodings(self, path, channels):
        """Raise ConfigError if no message is in the form of ROS 2; tell of those that are not."""
        others = {channel.topic: channel.encoding for channel, _ in channels
                  if channel.encoding != CDR}
        if not others:
            return
        encodings = ', '.join(sorted(set(others.values())))
        if len(others) == len({channel.topic for channel, _ in channels}):
            raise ConfigError(
                f'the messages of {path} are encoded as {encodings}, expected cdr, as ROS 2 '
                f'records them; its topics: {", ".join(sorted(others)[:5])}. Record it by `ros2 '
                'bag record`, or convert it')
        self._own_losses.append(f'topics left out since they are encoded as {encodings}, not as '
                                f'cdr: {", ".join(sorted(others))}')


def _items(loading, place, file, block, wanted, first_ns):
    """Yield (time, channel, data, read) of a block's messages; none is before first_ns."""
    for time_ns, number, data in file.read(block, frozenset(wanted), loading.load(place)):
        channel, read = wanted[number]
        yield max(time_ns, first_ns), channel, data, read


def _beginning(path) -> bytes:
    """Return the first bytes of a file; raise ObservationError where there are none."""
    try:
        with path.open('rb') as file:
            begin = file.read(16)
    except OSError as error:
        raise ObservationError(f'{path} cannot be read: {error.strerror}') from error
    if not begin:
        raise ObservationError(f'{path} is empty: 0 bytes')
    return begin


def _seconds(start_ns, end_ns) -> str:
    return f'{(end_ns - start_ns) * 1e-9:.1f} s'


def _told_counts(metadata) -> dict[str, int]:
    """Return how many messages of each topic metadata.yaml tells, as far as it makes sense."""
    counts = {}
    for item in metadata.get('topics_with_message_count') or ():
        try:
            counts[item['topic_metadata']['name']] = int(item['message_count'])
        except (TypeError, KeyError, ValueError, OverflowError):
            continue
    return counts


def _qos(profiles) -> tuple[bool, bool, int]:
    """Return (latched, reliable, depth) of what the publishers offered."""
    if isinstance(profiles, str):
        import yaml
        try:
            profiles = loaded_yaml(profiles) if profiles else []
        except yaml.YAMLError:
            profiles = []
    offered = [item for item in profiles or () if isinstance(item, dict)]
    if not offered:
        return False, True, 10
    return (any(item.get('durability') in TRANSIENT_LOCAL for item in offered),
            not any(item.get('reliability') in BEST_EFFORT for item in offered),
            max((depth for item in offered if isinstance(depth := item.get('depth'), int)),
                default=10))
