# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A result file that is whole after each section."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import time
import traceback

from sqap_vla_ros.support.files import write_whole


class Results:
    """The content of a result file, written after each section."""

    def __init__(self, path: Path, content: dict):
        """Begin a new file; raises OSError at once if it cannot be written."""
        self.path, self.content = path, {**content, 'sections': {}}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._save()

    def _save(self) -> None:
        write_whole(self.path, f'{json.dumps(self.content, indent=1)}\n'.encode())

    @property
    def failed(self) -> list[str]:
        """Return the sections that ended in an error or found something wrong."""
        return [name for name, found in self.content['sections'].items()
                if 'error' in found or not found.get('ok', True)]

    def run(self, name: str, seconds: float, measure: Callable) -> None:
        """
        Run measure(seconds, keep) and keep what it returns as a section.

        keep(content) saves what it has so far.  One that fails is recorded with the reason and
        does not stop those that follow.
        """
        start, section = time.perf_counter(), {'error': 'it never ended'}
        self.content['sections'][name] = section
        print(f'== {name} ({seconds:.0f} s)', flush=True)

        def keep(content: dict) -> None:
            section.update(content)
            self._save()
        keep({})
        try:
            section.update(measure(seconds, keep))
            del section['error']
        # the top frame: other sections still have something to tell
        except Exception as error:
            traceback.print_exc()
            section['error'] = f'{type(error).__name__}: {error}'
        keep({'seconds': round(time.perf_counter() - start, 2)})
