# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What is being done: on a terminal one line that lives, with seconds and what pip is at.

Where the output is no terminal (a CI's log, a file) a line says that a piece of work begins and
another how long it took, and nothing else.
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
import re
import shutil
import sys
import threading
import time

# what a line of pip's, colcon's or apt's output says that is going on
DOINGS = tuple((re.compile(pattern), text) for pattern, text in (
    (r'^Installing collected packages: (.*)', 'installing'),
    (r'^ *Downloading (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*( \(.*\))?', 'downloading {0}{1}'),
    (r'^ *(?:Using cached|Processing) (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*', 'reading {0}'),
    (r'^(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9_.-]+)', 'looking for {0}'),
    (r'^ *Building (?:wheel|editable) for ([A-Za-z0-9_.-]+)', 'building {0}'),
    (r'^(?:Starting >>>|Finished <<<) (\S+)', 'building {0}'),
    (r'^Get:\d+ \S+ \S+ \S+ (\S+)', 'downloading {0}'),
    (r'^(?:Unpacking|Setting up) (\S+)', 'installing {0}'),
))
CLEAR = '\r\x1b[K'


def doing(line: str) -> str:
    """Return what a line of output says that is going on, '' if nothing."""
    for pattern, text in DOINGS:
        found = pattern.search(line)
        if found:
            return text.format(*(group or '' for group in found.groups()))
    return ''


class Follower:
    """Reads output as it grows and knows what is being done; counts pip's installed packages."""

    def __init__(self, output: Path, start: int, environment: Path):
        """Begin at a place in the output; environment: where pip installs."""
        self._output, self._place, self._environment = output, start, environment
        self._doing, self._before, self._wanted = '', 0, 0

    def now(self) -> str:
        """Return what is being done."""
        with self._output.open(encoding='utf-8', errors='replace') as output:
            output.seek(self._place)
            for line in output.read().splitlines():
                self._read(line)
            self._place = output.tell()
        if self._doing != 'installing':
            return self._doing
        return f'installing {min(self._installed() - self._before, self._wanted)} of ' \
            f'{self._wanted} packages'

    def _read(self, line: str) -> None:
        self._doing = doing(line) or self._doing
        found = DOINGS[0][0].search(line)
        if found:
            self._before, self._wanted = self._installed(), len(found.group(1).split(','))

    def _installed(self) -> int:
        return sum(1 for _ in self._environment.glob(
            'lib/python*/site-packages/*.dist-info/RECORD'))


class Display:
    """The pieces of work that are under way, perhaps in several threads."""

    def __init__(self):
        """Show nothing yet."""
        self._lock = threading.Lock()
        self._works: dict[int, list] = {}  # by thread: text, start, what it is doing

    @property
    def is_live(self) -> bool:
        """Whether there is a terminal to draw on."""
        return sys.stdout.isatty()

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Tell that a piece of work begins, and how long it took."""
        started = time.monotonic()
        self._works[threading.get_ident()] = [text, started, lambda: '']
        if not self.is_live:
            self._say(f'{text} ...')
        done = False
        try:
            yield
            done = True
        finally:
            del self._works[threading.get_ident()]
            seconds = f'{time.monotonic() - started:.0f} s'
            self._say(f'{text}: {seconds}' if done else f'{text}: not done, after {seconds}')

    @contextmanager
    def doing(self, what: Callable[[], str]) -> Iterator[None]:
        """Ask `what` what this thread's piece of work is doing."""
        work = self._works.get(threading.get_ident(), [None, 0.0, None])
        work[2] = what
        try:
            yield
        finally:
            work[2] = lambda: ''

    def show(self) -> None:
        """Draw what is under way, on a terminal; called twice a second or so."""
        if not self.is_live:
            return
        texts = []
        for text, started, what in list(self._works.values()):
            seconds, now = f'{time.monotonic() - started:.0f} s', what()
            texts.append(f'{text} {seconds}' + (f': {now}' if now else ''))
        width = max(shutil.get_terminal_size().columns - 1, 20)
        with self._lock:
            print(CLEAR + ' | '.join(texts)[:width], end='', flush=True)

    def clear(self) -> None:
        """Take away what was drawn."""
        if self.is_live:
            print(CLEAR, end='', flush=True)

    def _say(self, line: str) -> None:
        with self._lock:
            print((CLEAR if self.is_live else '') + line, flush=True)


display = Display()
