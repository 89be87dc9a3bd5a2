# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One run of the demo's processes: started in order, followed line by line, ended in time.

Everything the processes say comes through the recorder; see ros/simulator/demo_recorder.py for
the lines.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import selectors
import signal
import time

from sqap_vla_ros.demo.processes import ChildDied, Children

POLL_S = 0.2
MEMORY_PERIOD_S = 1.0
LAST_REPORTS_S = 5.0


class DemoInterrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP asked the demo to end."""


@dataclass
class Records:
    """
    What a run left behind.

    episodes: finished EpisodeRecords as dictionaries; chunks, selections, frames, final_frames and
    further_selections, of other cameras than the first: the recorder's lines in order, each with
    the index of its `episode`; memory_mb: {process: {'rss', 'peak'}}; problems: diagnostics that
    were not OK, newest last.
    """

    episodes: list[dict] = field(default_factory=list)
    chunks: list[dict] = field(default_factory=list)
    selections: list[dict] = field(default_factory=list)
    further_selections: list[dict] = field(default_factory=list)
    frames: list[dict] = field(default_factory=list)
    final_frames: list[dict] = field(default_factory=list)
    memory_mb: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    wall_s: float = 0.0

    def add(self, line: dict, episode: int) -> None:
        """Sort in one line of the recorder that came during episode number `episode`."""
        kind = line['kind']
        if kind in ('chunk', 'selection', 'further_selection', 'frame', 'final_frame'):
            getattr(self, f'{kind}s').append({**line, 'episode': episode})
        elif kind == 'episode' and line['phase'] == 'finished':
            self.episodes.append(line)
        elif kind == 'diagnostic' and line['level'] > 0:
            self.problems = [*self.problems[-9:], f'{line["name"]}: {line["message"]}']


class Session:
    """
    Runs the processes until the simulator has finished its episodes.

    commands: command line by name, among them 'recorder' (started first, it misses nothing),
    'vla_node' and 'simulator'.  on_episode(record) is called at each start and end of an
    episode.
    """

    def __init__(self, commands: Mapping[str, list[str]], environment: Mapping[str, str],
                 logs: Path, episodes: int, on_episode: Callable[[dict], None]):
        self._commands, self._wanted = commands, episodes
        self._children = Children(environment, logs)
        self._on_episode = on_episode
        self._records = Records()
        self._episode = 0
        self._buffer = b''
        self._ready = False
        self._interrupted = False
        self._measured = self._heard_at = self._finished_at = 0.0

    def run(self) -> Records:
        """
        Return the records of a whole run; no process is left when it returns or raises.

        Raises DemoInterrupted after a signal, ChildDied when a process ended too early.
        """
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        old = {number: signal.signal(number, self._interrupt) for number in numbers}
        start = time.monotonic()
        try:
            with self._children:
                self._start()
                self._follow(lambda: self._finished and self._is_quiet)
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
        self._records.wall_s = time.monotonic() - start
        return self._records

    @property
    def problems(self) -> list[str]:
        """Return what diagnostics last complained about."""
        return self._records.problems

    @property
    def _finished(self) -> bool:
        return len(self._records.episodes) >= self._wanted

    @property
    def _is_quiet(self) -> bool:
        """Whether the last reports and pictures are in: the simulator waits for them too."""
        now = time.monotonic()
        self._finished_at = self._finished_at or now
        has_ended = self._children['simulator'].process.poll() is not None
        return (has_ended and now - self._heard_at > POLL_S) or (
            now - self._finished_at > LAST_REPORTS_S)

    def _interrupt(self, *_) -> None:
        self._interrupted = True

    def _start(self) -> None:
        recorder, *others = self._commands
        self._children.start(recorder, self._commands[recorder], piped=True)
        self._follow(lambda: self._ready)
        for name in others:
            self._children.start(name, self._commands[name])

    def _follow(self, done: Callable[[], bool]) -> None:
        """Handle the recorder's lines until done(); raise when something ends it earlier."""
        pipe = self._children['recorder'].process.stdout
        over_since = None
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not done():
                if selector.select(POLL_S):
                    self._read(os.read(pipe.fileno(), 2**16))
                if self._interrupted:
                    raise DemoInterrupted
                self._children.check()
                over_since = self._check_reports(over_since)
                self._measure_memory()
        self._measure_memory(at_once=True)

    def _read(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        *lines, self._buffer = (self._buffer + data).split(b'\n')
        for line in map(json.loads, filter(_is_ours, lines)):
            if line['kind'] == 'ready':
                self._ready = True
            elif line['kind'] == 'episode':
                self._episode = line['index']
            self._records.add(line, self._episode)
            if line['kind'] == 'episode':
                self._measure_memory(at_once=True)
                self._on_episode(line)

    def _check_reports(self, over_since: float | None) -> float | None:
        """Raise ChildDied when the simulator has ended and reports are still missing."""
        simulator = next((child for child in self._children if child.name == 'simulator'), None)
        if simulator is None or simulator.process.poll() is None or self._finished:
            return None
        over_since = over_since or time.monotonic()
        if time.monotonic() - over_since > LAST_REPORTS_S:
            raise ChildDied(f'the simulator has ended, and {len(self._records.episodes)} of '
                            f'{self._wanted} episodes were reported; see {simulator.log}')
        return over_since

    def _measure_memory(self, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._measured > MEMORY_PERIOD_S:
            self._measured = time.monotonic()
            for child in self._children:
                child.measure_memory()
                self._records.memory_mb[child.name] = {
                    'rss': child.rss_mb, 'peak': child.peak_mb}


def _is_ours(line: bytes) -> bool:
    """Return whether the recorder wrote a line, and not the middleware that it uses."""
    return line.startswith(b'{"kind"')
