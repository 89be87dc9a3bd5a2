# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Sections that share one time, and a result file that is whole after each of them."""

from __future__ import annotations

import json
from pathlib import Path
import time
import traceback

from sqap_vla_ros.files import write_whole


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


class Budget:
    """So many seconds for all sections together."""

    def __init__(self, seconds: float):
        """Start now."""
        self._end = time.perf_counter() + seconds

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._end - time.perf_counter()

    def run(self, results: Results, name: str, seconds: float, measure) -> None:
        """
        Run measure(seconds, keep) and keep what it returns as a section of the results.

        It gets what it asks for or what is left; keep(content) saves what it has so far.  One that
        fails is recorded with its traceback and does not stop those that follow.
        """
        if self.left() < seconds / 4:
            results.put(name, {'skipped': f'{self.left():.0f} s were left of {seconds:.0f}'})
            return
        start = time.perf_counter()
        print(f'== {name} ({min(seconds, self.left()):.0f} s)', flush=True)
        kept: dict = {}

        def keep(content: dict) -> None:
            kept.update(content)
            results.put(name, kept)
        try:
            keep(measure(min(seconds, self.left()), keep))
        except Exception as error:  # the top frame: other sections still have something to tell
            traceback.print_exc()
            keep({'error': f'{type(error).__name__}: {error}',
                  'traceback': traceback.format_exc()})
        keep({'seconds': round(time.perf_counter() - start, 2)})
