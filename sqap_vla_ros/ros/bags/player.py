# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`sqap-vla play`: a bag into a live graph, message by message as it was recorded.

What is latched is offered latched, and what was latched before the first moment that is played is
there from the beginning, as for a late subscriber. With a clock, /clock never runs ahead of the
message that is next, however late this process is.
"""

from __future__ import annotations

from collections.abc import Mapping
import select
import signal
import sys
import time

from rclpy.duration import Duration
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from .alone import check_alone, Watch
from .latched import latched_before
from .live_types import add_type, difference, installed_types, message_class, UnknownType
from .play_options import PlayOptions
from .quality import offered
from .waiting import ActiveNode
from .. import qos
from ..messages import time_message
from ..tools.session import Session
from ..vla.config import check_ros_name
from ...errors import ConfigError
from ...recordings.bag import BagRecording
from ...recordings.open import open_recording
from ...recordings.playlist import CLOCK, is_latched, playlist, STRING
from ...recordings.stamp_offset import StampClock
from ...support.progress import Progress

INTERRUPTED = 130
CLOCK_TOPIC = '/clock'
CLOCK_DEPTH = 10
PATIENCE_S = 0.05  # between looks at Ctrl-C
LATE_S = 0.1
FLUSH_S = 1.0
OTHERS_WAYS = ', or under other names (--remap), or say --beside-others'
REST_S = 0.2  # before time goes back: what was said last has to arrive first


def play(options: PlayOptions) -> int:
    """
    Play a bag; return 0 at its end, 130 after Ctrl-C or SIGTERM.

    On a terminal Ctrl-C is a pause: Enter goes on, another Ctrl-C ends.
    """
    recording = open_recording(options.path)
    if not isinstance(recording, BagRecording):
        raise ConfigError(f'{options.path} is no bag ({recording.form}), and holds no ROS '
                          'messages that could be played: sqap-vla replay reads it')
    with Session('play') as session:
        player = Player(session, recording, options)
        player.tell()
        try:
            player.run()
            status = 0
        except _Ended:
            print(f'ended at {player.position_s:.1f} s of {player.length_s:.1f} s')
            status = INTERRUPTED
        finally:
            player.close()
            for text in recording.losses:
                print(f'lost: {text}', file=sys.stderr)
    if status:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a launch sends another
    return status


class _Ended(Exception):
    """Ctrl-C or SIGTERM asked for the end."""


class Player:
    """Plays a Recording; position_s: how far it is; length_s: of the recording."""

    def __init__(self, session: Session, recording, options: PlayOptions):
        """Make the publishers; raise ConfigError for what cannot, or must not, be played."""
        self._session, self._recording, self._options = session, recording, options
        self.skipped = {}
        whole = recording.episodes[0].start_ns, recording.episodes[-1].end_ns
        self.length_s = (whole[1] - whole[0]) * 1e-9
        if options.start_s and options.start_s >= self.length_s:
            raise ConfigError(f'--start is {options.start_s:g} s, but {recording.name} is '
                              f'{self.length_s:.1f} s long')
        self._begin_ns = whole[0]
        self._start_ns = whole[0] + round(options.start_s * 1e9)
        self._end_ns = whole[1] if options.end_s is None else min(
            whole[1], whole[0] + round(options.end_s * 1e9))
        self._kinds = {topic.name: topic for topic in recording.topics}
        self._names = self._playable(playlist(
            recording.topics, options.topics, options.own_names, not options.clock_hz))
        self._told = self._told_kinds()
        self._stamps = StampClock(recording, self._names) if options.clock_hz else None
        node = session.node
        self._publishers = {
            name: node.create_publisher(message_class(self._kinds[name].kind), played,
                                        offered(self._kinds[name]))
            for name, played in self._names.items()}
        self._instruction = node.create_publisher(
            String, options.instruction_topic, qos.INSTRUCTION_LATCHED
        ) if options.instruction else None
        self._clock = node.create_publisher(
            Clock, CLOCK_TOPIC, CLOCK_DEPTH) if options.clock_hz else None
        self._at_ns, self._next_tick_ns, self._clock_ns = self._start_ns, 0, 0
        self._began_s, self._late_s = time.monotonic(), 0.0
        self._watch = None
        if not options.beside_others:
            check_alone(session, self._told, options.wait_for, OTHERS_WAYS)
            self._watch = Watch(node, self._told, options.wait_for, OTHERS_WAYS)

    @property
    def position_s(self) -> float:
        """Return how far it is, from the recording's beginning."""
        return (self._at_ns - self._begin_ns) * 1e-9

    def tell(self) -> None:
        """Say what is played under which names, and what is not."""
        for name, played in self._names.items():
            other = '' if played == name else f' as {played}'
            latched = ', latched' if is_latched(self._kinds[name]) else ''
            print(f'{name}{other}: {self._kinds[name].kind}{latched}')
        for name, why in self.skipped.items():
            print(f'not played: {name}: {why}', file=sys.stderr)
        if self._stamps is not None and self._stamps.offset_ns:
            print(f'stamps are {self._stamps.offset_ns * 1e-9:+.1f} s from the times of '
                  'recording: /clock follows the stamps', file=sys.stderr)
        sys.stdout.flush()

    def run(self) -> None:
        """Play, again and again with loop; raise _Ended after Ctrl-C."""
        self._latch()
        self._wait_for_node()
        number = 1
        with Progress('play', unit='s') as self._progress:
            while True:
                self._pass()
                if not self._options.loop:
                    break
                number += 1
                time.sleep(REST_S)
                self._progress.write(f'time {number}: back from {self.position_s:.1f} s to '
                                     f'{self._options.start_s:.1f} s')
                self._latch()
        if self._late_s > LATE_S:
            print(f'the latest message was {self._late_s:.2f} s late: this computer is too slow '
                  f'for --rate {self._options.rate:g}', file=sys.stderr)

    def close(self) -> None:
        """Wait until the last messages have arrived, and leave."""
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=FLUSH_S))
        self._recording.close()

    def _playable(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return those topics whose types are here as they were recorded; remapped."""
        store, playable = installed_types(), {}
        remap = dict(self._options.remap)
        for name, played in names.items():
            try:
                self._check_type(name, store)
            except UnknownType as error:
                self.skipped[name] = str(error)
                continue
            played = remap.pop(played, played)
            if self._options.instruction and played == self._options.instruction_topic:
                self.skipped[name] = 'another instruction is told'
                continue
            playable[name] = played
        if remap:
            raise ConfigError(f'--remap {next(iter(remap))}: nothing is played under this name, '
                              f'but {", ".join(playable.values())}')
        if not playable:
            raise ConfigError('nothing can be played: ' + '; '.join(
                f'{name}: {why}' for name, why in self.skipped.items()))
        return playable

    def _check_type(self, name, store):
        kind = self._kinds[name].kind
        add_type(store, kind)
        recorded = self._recording.type_store(name)
        told = recorded is not None and difference(kind, recorded, store)
        if told:
            raise UnknownType(f'{told}: it was recorded by another version of the package')

    def _told_kinds(self) -> dict[str, str]:
        """Return {name: type} of all that is said; raise ConfigError for two types on one."""
        options, said = self._options, {}
        pairs = [(played, self._kinds[name].kind, name) for name, played in self._names.items()]
        pairs += [(CLOCK_TOPIC, CLOCK, '--clock')] if options.clock_hz else []
        if options.instruction:
            pairs += [(options.instruction_topic, STRING, '--instruction')]
        for played, kind, source in pairs:
            check_ros_name(f'{source}, played as,', played, may_be_empty=False)
            other, first = said.setdefault(played, (kind, source))
            if other != kind:
                raise ConfigError(
                    f'{first} ({other}) and {source} ({kind}) would both be played as {played}, '
                    'and a topic has one type: give one of them another name by --remap, or '
                    'leave it out by --topics')
        return {played: kind for played, (kind, _) in said.items()}

    def _latch(self) -> None:
        """Be at the first moment that is played, and publish what was latched before."""
        self._next_tick_ns = 0
        self._tick(self._start_ns)
        if self._instruction is not None:
            self._instruction.publish(String(data=self._options.instruction))
        if self._start_ns > self._begin_ns:
            for message in latched_before(self._recording, self._names, self._start_ns):
                self._publishers[message.topic].publish(bytes(message.data))

    def _wait_for_node(self) -> None:
        """Let time stand still until the node is active."""
        wanted = self._options.wait_for
        if not wanted:
            return
        node = ActiveNode(self._session, wanted)
        with Progress(f'waiting for {wanted} to be active'):
            while not node.is_active():
                self._next_tick_ns = 0
                self._tick(self._start_ns)
                self._pause_if_asked()
                self._look_around()
        node.close()

    def _pass(self) -> None:
        """Play once from start to end."""
        self._began_s = time.monotonic()
        for message in self._recording.messages(
                self._names, self._start_ns, self._end_ns):
            self._wait_until(message.time_ns)
            late_s = self._began_s + self._due_s(message.time_ns) - time.monotonic()
            self._late_s = max(self._late_s, -late_s)
            self._publishers[message.topic].publish(bytes(message.data))
        self._wait_until(self._end_ns)

    def _look_around(self) -> None:
        """Raise ConfigError where somebody has begun who would be misled."""
        if self._watch is not None:
            try:
                self._watch.look()
            except ConfigError as error:
                raise ConfigError(f'ended at {self.position_s:.1f} s: {error}') from error

    def _due_s(self, time_ns: int) -> float:
        """Return when a moment of the recording is due, from the beginning of this pass."""
        return (time_ns - self._start_ns) * 1e-9 / self._options.rate

    def _wait_until(self, time_ns: int) -> None:
        """Wait until a moment is due, and tell the time on the way."""
        while True:
            self._pause_if_asked()
            self._look_around()
            left_s = self._began_s + self._due_s(time_ns) - time.monotonic()
            if left_s <= 0:
                break
            passed_s = time.monotonic() - self._began_s
            self._tick(min(time_ns, self._start_ns + round(
                passed_s * self._options.rate * 1e9)))
            time.sleep(min(left_s, self._step_s()))
        self._tick(time_ns)

    def _step_s(self) -> float:
        """Return how long it may sleep until it has to tell the time."""
        if self._clock is None:
            return PATIENCE_S
        left_ns = self._next_tick_ns - self._at_ns
        return min(max(left_ns * 1e-9 / self._options.rate, 1e-3), PATIENCE_S)

    def _tick(self, time_ns: int) -> None:
        """Be at a moment; tell it on /clock as often as is wanted."""
        self._at_ns = time_ns
        if self._clock is None:
            return
        clock_ns = self._stamps.at(time_ns)
        if time_ns < self._next_tick_ns and clock_ns >= self._clock_ns:  # it was not set back
            return
        self._clock_ns = clock_ns
        self._clock.publish(Clock(clock=time_message(clock_ns)))
        period_s = self._options.rate / self._options.clock_hz
        self._next_tick_ns = time_ns + round(period_s * 1e9)

    def _pause_if_asked(self) -> None:
        """Stand still after Ctrl-C on a terminal; raise _Ended for the end."""
        if not self._session.interrupts:
            return
        if self._session.is_terminated or not sys.stdin.isatty():
            raise _Ended
        paused_s, asked = time.monotonic(), self._session.interrupts
        print(f'\npaused at {self.position_s:.1f} s: Enter goes on, Ctrl-C ends', flush=True)
        while not select.select([sys.stdin], [], [], PATIENCE_S)[0]:
            if self._session.interrupts > asked:
                raise _Ended
        sys.stdin.readline()
        self._session.interrupts = 0
        self._began_s += time.monotonic() - paused_s
