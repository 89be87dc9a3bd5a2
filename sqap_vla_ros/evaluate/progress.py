# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Episodes on the disk as they end, so that an interrupted evaluation goes on where it was.

The file has one JSON object a line: the options of the run, then one line an episode.  A last
line that was cut off (a kill, a full disk) is dropped.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .plan import Job
from .rollouts import EpisodeResult
from ..errors import ConfigError
from ..support.files import saving_to, write_whole


class Progress:
    """The finished episodes of one run: `finished` maps Job.key to EpisodeResult."""

    def __init__(self, path: Path | None, options: dict):
        """
        Begin or go on with a run; without a path nothing is written.

        Raises ConfigError when the file holds a run of other options.
        """
        self.finished: dict[tuple, EpisodeResult] = {}
        self._path = path
        if path is None:
            return
        lines = _whole_lines(path)
        if lines:
            _compare(lines[0], options, path)
        for entry in lines[1:]:
            key = entry.pop('variant'), entry.pop('control'), entry['seed']
            self.finished[key] = EpisodeResult(**entry)
        with self._saving():
            write_whole(path, b''.join(
                [_line(options), *(_entry(*item) for item in self.finished.items())]))

    def add(self, job: Job, result: EpisodeResult) -> None:
        """Keep an episode; raise ConfigError if it cannot be written."""
        self.finished[job.key] = result
        if self._path is not None:
            with self._saving(), self._path.open('ab') as file:
                file.write(_entry(job.key, result))

    def remove(self) -> None:
        """Delete the file: the results are elsewhere now."""
        if self._path is not None:
            self._path.unlink()

    def _saving(self):
        return saving_to(self._path.parent, 0, 'the finished episodes are kept')


def _entry(key: tuple, result: EpisodeResult) -> bytes:
    return _line({'variant': key[0], 'control': key[1], **dataclasses.asdict(result)})


def _line(content: dict) -> bytes:
    return json.dumps(content).encode() + b'\n'


def _whole_lines(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    whole = path.read_text().split('\n')[:-1]  # what follows the last newline was cut off
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise ConfigError(f'{path} is damaged ({error}): delete it to start again') from error


def _compare(found: dict, options: dict, path: Path) -> None:
    options = json.loads(json.dumps(options))
    changed = [f'{name} was {found.get(name)!r} and is {options.get(name)!r}'
               for name in sorted(found.keys() | options.keys())
               if found.get(name) != options.get(name)]
    if changed:
        raise ConfigError(
            f'{path} holds an interrupted run of other options: {"; ".join(changed)}. Give the '
            'same options to go on with it, another --out, or delete it')
