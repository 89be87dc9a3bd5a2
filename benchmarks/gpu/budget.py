# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Sections that share one time, and a result file that is whole after each of them.

A section is told how long it may take and mostly keeps to it: its share, and what those before it
have left over.  One that does not is interrupted, and the others go on.  One that cannot be, since
it waits for a kernel that never ends, takes the program with it; the file says which it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import faulthandler
import json
from pathlib import Path
import signal
import sys
import time
import traceback

from sqap_vla_ros.support.files import write_whole

_OVERTIME = 1.5  # times its share, after which a section is interrupted
_GRACE = 12.0  # seconds until a section that cannot be interrupted ends the program
_LATE = 10.0  # seconds behind the end of all at which the last section is interrupted
_LEAST = 0.25  # of its share that a section begins with
_KEPT = 0.5  # of its share that others before it cannot take away


class Results:
    """The content of a result file, written after each section."""

    def __init__(self, path: Path, content: dict):
        """Begin a new file; raises OSError at once if it cannot be written."""
        self.path, self.content = path, {**content, 'sections': {}}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.save()

    def save(self) -> None:
        """Write the file."""
        write_whole(self.path, f'{json.dumps(self.content, indent=1)}\n'.encode())

    def put(self, section: str, content: dict) -> None:
        """Keep what a section has found so far."""
        self.content['sections'][section] = content
        self.save()

    def get(self, section: str) -> dict:
        """Return a section's content, empty if there is none."""
        return self.content['sections'].get(section, {})

    @property
    def failed(self) -> list[str]:
        """Return the sections that ended in an error or found something wrong."""
        return [name for name, found in self.content['sections'].items()
                if 'error' in found or found.get('ok') is False]


class OutOfTime(BaseException):
    """A section has not ended by itself; no Exception, which parts of a section may catch."""


class Budget:
    """So many seconds for all sections together; use it on the main thread."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter,
                 grace: float = _GRACE):
        """Start now; clock: tells the seconds.  grace: see _GRACE."""
        self._clock, self._grace = clock, grace
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._end - self._clock()

    def run(self, results: Results, name: str, seconds: float, measure,
            later: float | None = None) -> None:
        """
        Run measure(seconds, keep) and keep what it returns as a section of the results.

        It gets what is left but for `later`, the seconds of the sections behind it; without that
        what it asks for.  keep(content) saves what it has so far.  One that fails or takes half as
        long again is recorded with its traceback and does not stop those that follow.
        """
        if self.left() < seconds * _LEAST:
            results.put(name, {'skipped': f'{self.left():.0f} s were left of {seconds:.0f}'})
            return
        start, left = self._clock(), self.left()
        given = min(left, seconds if later is None else max(_KEPT * seconds, left - later))
        print(f'== {name} ({given:.0f} s)', flush=True)
        kept: dict = {}

        def keep(content: dict) -> None:
            kept.update(content)
            results.put(name, {**kept, 'error': 'it never ended'})
        keep({})
        try:
            with interrupted(min(_OVERTIME * given, left + _LATE), self._grace):
                kept.update(measure(given, keep))
        # the top frame: other sections still have something to tell
        except (Exception, OutOfTime) as error:
            traceback.print_exc()
            kept.update({'error': f'{type(error).__name__}: {error}',
                         'traceback': traceback.format_exc()})
        results.put(name, {**kept, 'seconds': round(self._clock() - start, 2)})


@contextlib.contextmanager
def interrupted(seconds: float, grace: float) -> Iterator[None]:
    """
    Raise OutOfTime in this block after so many seconds.

    If it is still there after `grace` more, since no Python code runs in it, all stacks are
    written to stderr and the process exits with status 1.
    """
    def stop(number, frame):
        raise OutOfTime(f'ended after {seconds:.0f} s')
    before = signal.signal(signal.SIGALRM, stop)
    faulthandler.dump_traceback_later(seconds + grace, exit=True, file=sys.__stderr__)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
