# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`sqap-vla record`: what is said in a live graph into a bag, with the QoS that was offered.

A topic is recorded from when its publisher is seen. The bag grows at its place, second by second,
so that what was recorded survives a crash; it is closed before the disk is full.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
import signal
import sys
import time

from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

from .live_types import add_type, installed_types, message_class, UnknownType
from .quality import asked, written
from .. import qos
from ..messages import nanoseconds_of
from ..tools.session import Session
from ...errors import ConfigError
from ...recordings.bag_writer import bag_bytes, check_new_bag, opened_bag, STORAGES
from ...recordings.playlist import LEFT_OUT
from ...support.files import free_bytes, MIB
from ...support.progress import Progress

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

CLOCK_TOPIC = '/clock'
LOOK_S = 0.5  # between looks at the graph and at the disk
FLUSH_S = 1.0  # of messages, at most, is lost where the process is killed
SERVE_S = 0.05
NOBODY_S = 5.0  # after which it is told that a topic has no publisher
RESERVE_BYTES = 32 * MIB  # that stay free: to close the bag, and for everybody else
MOST_HELD = 1000  # messages that wait for the first /clock


@dataclass(frozen=True)
class RecordOptions:
    """
    What is recorded; raises ConfigError for values that make no sense.

    topics: by their full names, empty for all that are not hidden.  exclude: topics to leave out.
    duration_s: after which it ends, 0 for Ctrl-C.  sim_time: messages are of the time on /clock.
    """

    out: Path
    topics: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    duration_s: float = 0.0
    storage: str = 'mcap'
    sim_time: bool = False

    def __post_init__(self):
        """Check the values."""
        if not 0 <= self.duration_s <= 1e6:
            raise ConfigError(f'--duration is {self.duration_s:g}, expected 0 to 1000000 s')
        if self.storage not in STORAGES:
            raise ConfigError(f'--storage is {self.storage!r}, expected one of '
                              f'{", ".join(STORAGES)}')
        for name in (*self.topics, *self.exclude):
            if not name.startswith('/'):
                raise ConfigError(f'topic {name!r}: expected its full name, such as '
                                  f'/{name or "image"}')


def record(options: RecordOptions) -> int:
    """
    Record until Ctrl-C or SIGTERM, or until the time or the disk is over.

    Returns 0, or 1 if the disk is full or nothing came; what was recorded is kept.
    """
    check_new_bag(options.out, needed_bytes=RESERVE_BYTES)
    with Session('record') as session:
        store = installed_types()
        recorder = None
        try:
            with opened_bag(options.out, options.storage, store=store,
                            about={'made_by': 'sqap-vla record'}) as bag:
                recorder = Recorder(session, bag, store, options)
                print(f'recording into {options.out}: Ctrl-C ends', flush=True)
                recorder.run()
        except OSError as error:
            _tell_broken(options.out, error)
            return 1
    if session.interrupts:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a launch sends another
    return recorder.tell()


def _tell_broken(path, error: OSError) -> None:
    print(f'sqap-vla record: {path} cannot be written any further: {error.strerror or error} '
          f'({free_bytes(path)} bytes are free). What was written up to a second before '
          'stays and can be read, without an index: sqap-vla replay says what of it',
          file=sys.stderr)


class Recorder:
    """Records while run(); counts: messages by topic."""

    def __init__(self, session: Session, bag, store, options: RecordOptions):
        """Nothing is subscribed to yet; store: of the bag, which gets the types."""
        self._session, self._bag, self._store, self._options = session, bag, store, options
        self.counts, self.lost = Counter(), Counter()
        self.is_full = False
        self._subscriptions, self._held = {}, []
        self._left_out, self._told_missing = set(), set()
        self._clock_ns = None
        self._clock_subscription = session.node.create_subscription(
            Clock, CLOCK_TOPIC, self._on_clock, qos.CLOCK) if options.sim_time else None

    def run(self) -> None:
        """Record until it is over; raise OSError where the bag cannot be written."""
        session, began_s, looked_s = self._session, time.monotonic(), 0.0
        flushed_s = began_s
        with Progress('record') as progress:
            while not (session.interrupts or self.is_full or self._is_over(began_s)):
                if time.monotonic() - looked_s > LOOK_S:
                    looked_s = time.monotonic()
                    self._look(progress)
                    self._tell_missing(looked_s - began_s)
                    self._show(progress)
                session.serve(SERVE_S)
                if time.monotonic() - flushed_s > FLUSH_S:
                    self._bag.flush()
                    flushed_s = time.monotonic()
        for subscription in self._subscriptions.values():
            session.node.destroy_subscription(subscription)

    def tell(self) -> int:
        """Say what was recorded; return the exit status."""
        out, total = self._options.out, sum(self.counts.values())
        for topic, count in sorted(self.lost.items()):
            print(f'lost: {count} messages of {topic}: they came faster than they were written',
                  file=sys.stderr)
        if self._held:
            print(f'lost: {len(self._held)} messages, for no /clock came: is somebody telling the '
                  'time? Without --sim-time the time of this computer is taken', file=sys.stderr)
        print(f'{out}: {total} messages of {len(self.counts)} topics, '
              f'{bag_bytes(out) / MIB:.2f} MiB')
        if self.is_full:
            print(f'sqap-vla record: the disk of {out} has less than {RESERVE_BYTES // MIB} MiB '
                  'left: the bag was closed and is whole. Make room, and record into another one',
                  file=sys.stderr)
        elif not total:
            print(f'sqap-vla record: no message came, {out} is empty: `sqap-vla watch --topics` '
                  'shows what there is', file=sys.stderr)
        return int(self.is_full or not total)

    def _is_over(self, began_s) -> bool:
        limit_s = self._options.duration_s
        return bool(limit_s) and time.monotonic() - began_s > limit_s

    def _look(self, progress) -> None:
        """Subscribe to topics that are new; look whether there is room."""
        self.is_full = free_bytes(self._options.out) < RESERVE_BYTES
        for topic, kinds in self._session.node.get_topic_names_and_types():
            if topic in self._subscriptions or topic in self._left_out or (
                    not self._wanted(topic)):
                continue
            infos = self._session.node.get_publishers_info_by_topic(topic)
            if infos:
                self._subscribe(topic, kinds[0], infos, progress)

    def _wanted(self, topic: str) -> bool:
        if topic in self._options.exclude:
            return False
        if self._options.topics:
            return topic in self._options.topics
        return topic not in LEFT_OUT and '/_' not in topic

    def _subscribe(self, topic, kind, infos, progress) -> None:
        profiles = [info.qos_profile for info in infos]
        try:
            add_type(self._store, kind)
            self._bag.add_topic(topic, kind, [written(profile) for profile in profiles])
        except UnknownType as error:
            self._left_out.add(topic)
            print(f'not recorded: {topic}: {error}', file=sys.stderr)
            return
        self._subscriptions[topic] = self._session.node.create_subscription(
            message_class(kind), topic, lambda data: self._on_message(topic, data),
            asked(profiles), raw=True, event_callbacks=SubscriptionEventCallbacks(
                message_lost=lambda event: self.lost.update({topic: event.total_count_change}),
                incompatible_qos=lambda event: self._tell_incompatible(topic),
                use_default_callbacks=False))
        progress.write(f'recording {topic} ({kind})')

    def _tell_incompatible(self, topic: str) -> None:
        print(f'a publisher of {topic} that came later offers another QoS: what it says is not '
              'recorded', file=sys.stderr)

    def _tell_missing(self, passed_s: float) -> None:
        missing = [name for name in self._options.topics if not any(
            name in known for known in (self._subscriptions, self._left_out, self._told_missing))]
        if missing and passed_s > NOBODY_S:
            self._told_missing.update(missing)
            print(f'nobody publishes {", ".join(missing)} yet: they are recorded once somebody '
                  'does', file=sys.stderr)

    def _show(self, progress) -> None:
        progress.show(f'{sum(self.counts.values())} messages of {len(self._subscriptions)} '
                      f'topics, {free_bytes(self._options.out) // MIB} MiB free')

    def _on_clock(self, message: Clock) -> None:
        self._clock_ns = nanoseconds_of(message.clock)
        held, self._held = self._held, []
        for topic, data in held:
            self._write(topic, self._clock_ns, data)

    def _on_message(self, topic: str, data: bytes) -> None:
        if not self._options.sim_time:
            self._write(topic, time.time_ns(), data)
        elif topic == CLOCK_TOPIC:
            self._write(topic, nanoseconds_of(deserialize_message(data, Clock).clock), data)
        elif self._clock_ns is not None:
            self._write(topic, self._clock_ns, data)
        elif len(self._held) < MOST_HELD:
            self._held.append((topic, data))
        else:
            self.lost[topic] += 1

    def _write(self, topic: str, time_ns: int, data: bytes) -> None:
        self._bag.write(topic, time_ns, bytes(data))
        self.counts[topic] += 1
