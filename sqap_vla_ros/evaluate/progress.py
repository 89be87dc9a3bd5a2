# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Episodes on the disk as they end, so that an interrupted evaluation goes on where it was.

The file has one JSON object a line: the options of the run, then one line an episode.  A last
line that was cut off (a kill, a full disk) is dropped.  Which rows and how many episodes are asked
for may change from run to run, and a finished table is gone on with, too.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .encoder_type import NOT_ROUNDED
from .plan import Job, names_auto, Row, VARIANTS
from .rollouts import EpisodeResult
from ..errors import ConfigError
from ..support.files import saving_to, write_whole


EXTENDED = ('variants', 'keep', 'controls', 'control_variants', 'episodes_per_task')
RESULTS = ('machine', 'versions', 'table', 'episodes')  # of a table; all else are options


class Progress:
    """
    The finished episodes of one run: `finished` maps Job.key to EpisodeResult.

    options: of the run, and what auto stood for in episodes of it that are kept from earlier.
    """

    def __init__(self, path: Path | None, options: dict, table: Path | None = None):
        """
        Begin or go on with a run; without a path nothing is written.

        table: the JSON file of a finished run, if there is one.  Raises ConfigError when a file
        holds a run of other options.
        """
        self.finished: dict[tuple, EpisodeResult] = {}
        self.options = dict(options)
        self._path = path
        if path is None:
            return
        for found, entries, file in _earlier(path, table):
            _compare(found, self.options, entries, file)
            if _has_auto(entries):
                self.options['auto'] = found.get('auto')
            for entry in entries:
                key = entry.pop('variant'), entry.pop('control'), entry['seed']
                self.finished[key] = EpisodeResult(**entry)
        with self._saving():
            write_whole(path, b''.join(
                [_line(self.options), *(_entry(*item) for item in self.finished.items())]))

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


def _earlier(path: Path, table: Path | None) -> list[tuple[dict, list, Path]]:
    """Return (options, episodes, file) of a finished table and of an interrupted run."""
    found = [(*_of_table(table), table)] if table is not None and table.is_file() else []
    lines = _whole_lines(path)
    return found + ([(lines[0], lines[1:], path)] if lines else [])


def _of_table(path: Path) -> tuple[dict, list]:
    try:
        content = json.loads(path.read_text())
        episodes = content['episodes']
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{path} is no table of an evaluation ({error!r}): give another --out, '
                          'or delete it') from error
    return {name: value for name, value in content.items() if name not in RESULTS}, episodes


def _whole_lines(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    whole = path.read_text().split('\n')[:-1]  # what follows the last newline was cut off
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise ConfigError(f'{path} is damaged ({error}): delete it to start again') from error


def _compare(found: dict, options: dict, entries: list, path: Path) -> None:
    """Raise ConfigError unless the episodes of one run may stand beside those of the other."""
    found, options = {**NOT_ROUNDED, **found}, {**NOT_ROUNDED, **json.loads(json.dumps(options))}
    names = (found.keys() | options.keys()) - set(EXTENDED)
    if 'auto' not in options or not _has_auto(entries):
        names -= {'auto'}
    if not any(_takes_converted(entry['variant']) for entry in entries):
        names -= {'quantized', 'quantized_sha256'}
    changed = [f'{name} was {found.get(name)!r} and is {options.get(name)!r}'
               for name in sorted(names) if found.get(name) != options.get(name)]
    if changed:
        raise ConfigError(
            f'{path} holds a run of other options: {"; ".join(changed)}. Give the same options to '
            'go on with it, another --out, or delete it')


def _has_auto(entries: list) -> bool:
    """Return whether an episode is of a row whose precision auto chose."""
    return names_auto(entry['variant'].split('@')[0] for entry in entries)


def _takes_converted(name: str) -> bool:
    """Return whether a row of this name may have run on converted weights."""
    variant = name.split('@')[0]
    return variant not in VARIANTS or Row(variant).takes_converted or names_auto([variant])
