# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes and tasks of a LeRobot data set: where the rows and videos of each are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import re

import numpy as np

from .lerobot_info import Info, why_unread
from ..errors import ObservationError
from ..support.requirements import missing_modules_as

_NUMBER = re.compile(r'(\d+)\D*$')


@dataclass(frozen=True)
class Clip:
    """Where an episode is in a video: from_s into it; frames: how many, None if not told."""

    path: Path
    from_s: float = 0.0
    frames: int | None = None


@dataclass(frozen=True)
class Part:
    """
    One episode.

    path: of its rows, `rows` of them from first_row on.  first_s, last_s: timestamps of the first
    and last one.  clips: of each camera whose video is there.  tasks: what was asked, where the
    rows do not tell.
    """

    index: int
    path: Path
    first_row: int
    rows: int
    first_s: float
    last_s: float
    clips: Mapping[str, Clip]
    tasks: tuple[str, ...] = ()


def parquet_module():
    """Return pyarrow.parquet; raise ObservationError with the cure where it is missing."""
    with missing_modules_as(ObservationError):
        from pyarrow import parquet
    return parquet


def parquet_errors() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises for damaged and missing files."""
    from pyarrow import ArrowException
    return ArrowException, OSError


def read_tasks(info: Info, losses: list[str]) -> dict[int, str]:
    """Return {task_index: what was asked}."""
    lines, table = info.root / 'meta/tasks.jsonl', info.root / 'meta/tasks.parquet'
    rows = _parquet_rows([table], losses) if table.exists() else _lines(lines, losses)
    for row in rows:  # its task may be the index of a table of pandas, without a name
        row.setdefault('task', row.get('__index_level_0__'))
    return {row['task_index']: str(row['task']) for row in rows
            if isinstance(row.get('task_index'), int) and row.get('task') is not None}


def read_parts(info: Info, losses: list[str]) -> tuple[list[Part], tuple[int, ...]]:
    """Return the episodes whose rows can be read, in their order, and the others' numbers."""
    told = _episodes(info, losses)
    parts = [_with_clips(info, part, known)
             for part, known in _rows_by_episode(info, told, losses)]
    return parts, tuple(sorted(set(told) - {part.index for part in parts}))


def _episodes(info, losses) -> dict[int, Mapping]:
    """Return {episode_index: what meta/ tells of it}."""
    if info.version == 2:
        rows = _lines(info.root / 'meta/episodes.jsonl', losses)
    else:
        rows = _parquet_rows(sorted((info.root / 'meta/episodes').rglob('*.parquet')), losses)
        if not rows:
            losses.append(f'{info.root / "meta/episodes"} has no episodes that can be read: they '
                          'are taken from data/, and of videos the first file of each camera')
    told = {row['episode_index']: row for row in rows
            if isinstance(row.get('episode_index'), int)}
    if not told and info.version == 2:  # by the names of the files
        files = sorted((info.root / info.data_path.partition('{')[0]).parent.rglob('*.parquet'))
        numbers = [_NUMBER.search(path.stem) for path in files]
        told = {int(number[1]): {} for number in numbers if number}
    return dict(sorted(told.items()))


def _rows_by_episode(info, told, losses):
    """Return [(Part without clips, what meta/ tells)] of all episodes that have rows."""
    bad = []
    if info.version == 2:
        files = {index: info.path(info.data_path, episode_chunk=index // info.chunk,
                                  episode_index=index) for index in told}
        found = {index: _whole(path, index, info, bad) for index, path in files.items()}
    else:
        numbers = {(row.get('data/chunk_index', 0), row.get('data/file_index', 0))
                   for row in told.values()}
        paths = [info.path(info.data_path, chunk_index=chunk, file_index=file)
                 for chunk, file in sorted(numbers)]
        paths = paths or sorted((info.root / 'data').rglob('*.parquet'))
        found = {part.index: part for path in paths for part in _shared(path, info, bad)}
    if bad:
        losses.append(bad[0] + f', and {len(bad) - 1} more files of rows' * (len(bad) > 1))
    lost = [index for index in told if not found.get(index)]
    if lost:
        frames = sum(told[index].get('length') or 0 for index in lost)
        losses.append(f'{len(lost)} of {len(told)} episodes have no rows that can be read '
                      f'({_some(lost)}): {frames} frames, {frames / info.fps:.1f} s')
    return [(part, told.get(index, {})) for index, part in sorted(found.items()) if part]


def _whole(path, index, info, bad) -> Part | None:
    """Return the episode that a file holds alone, by its footer."""
    parquet = parquet_module()
    try:
        footer = parquet.read_metadata(path)
        times = _time_limits(footer, path)
    except parquet_errors() as error:
        bad.append(why_unread(path, error))
        return None
    if not footer.num_rows:
        return None
    first_s, last_s = times or (0.0, (footer.num_rows - 1) / info.fps)
    return Part(index, path, 0, footer.num_rows, first_s, last_s, {})


def _time_limits(footer, path):
    """Return the least and greatest timestamp, None where there are none."""
    names = [footer.schema.column(at).path for at in range(footer.num_columns)]
    if 'timestamp' not in names:
        return None
    at = names.index('timestamp')
    statistics = [footer.row_group(group).column(at).statistics
                  for group in range(footer.num_row_groups)]
    if all(each is not None and each.has_min_max for each in statistics):
        return min(each.min for each in statistics), max(each.max for each in statistics)
    column = parquet_module().read_table(path, columns=['timestamp'])['timestamp']
    values = np.array([_number(value) for value in column.to_pylist()])
    return float(values.min()), float(values.max())


def _shared(path, info, bad) -> list[Part]:
    """Return the episodes of a file that may hold many."""
    parquet = parquet_module()
    try:
        names = set(parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=[
            name for name in ('episode_index', 'timestamp') if name in names])
    except parquet_errors() as error:
        bad.append(why_unread(path, error))
        return []
    if 'episode_index' not in names:
        bad.append(f'{path} has no column episode_index, but {", ".join(sorted(names)[:6])}')
        return []
    numbers = table['episode_index'].to_numpy()
    times = table['timestamp'].to_numpy() if 'timestamp' in names else None
    parts = []
    for index, first, count in zip(*np.unique(numbers, return_index=True, return_counts=True)):
        limits = (0.0, (count - 1) / info.fps) if times is None else (
            float(times[numbers == index].min()), float(times[numbers == index].max()))
        parts.append(Part(int(index), path, int(first), int(count), *limits, {}))
    return parts


def _with_clips(info, part, told) -> Part:
    """Return the episode with where its videos are; they need not be there."""
    clips = {name: _clip(info, part.index, name, told)
             for name, feature in info.features.items()
             if feature.dtype == 'video' and not feature.why_not}
    return Part(part.index, part.path, part.first_row, part.rows, part.first_s, part.last_s,
                clips, tuple(map(str, told.get('tasks') or ())))


def _clip(info, index, name, told) -> Clip:
    key = f'videos/{name}/'
    chunk, file = (told.get(f'{key}{what}_index') or 0 for what in ('chunk', 'file'))
    path = info.path(info.video_path, video_key=name, episode_chunk=index // info.chunk,
                     episode_index=index, chunk_index=chunk, file_index=file)
    begin, end = (told.get(f'{key}{what}_timestamp') for what in ('from', 'to'))
    if info.version == 2 or begin is None:
        return Clip(path)
    frames = None if end is None else round((end - begin) * info.fps)
    return Clip(path, float(begin), frames)


def _lines(path, losses) -> list[dict]:
    """Return the objects of a file of JSON lines; what is none is counted."""
    try:
        lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError as error:
        losses.append(why_unread(path, error))
        return []
    rows, bad = [], 0
    for line in filter(str.strip, lines):
        try:
            rows.append(json.loads(line))
        except ValueError:
            bad += 1
    found = [row for row in rows if isinstance(row, dict)]
    if bad or len(found) < len(rows):
        losses.append(f'{path}: {bad + len(rows) - len(found)} of {len(rows) + bad} lines are no '
                      'JSON objects')
    return found


def _parquet_rows(paths, losses) -> list[dict]:
    """Return the rows of tables in meta/, without the statistics in them."""
    rows, parquet = [], parquet_module()
    for path in paths:
        if not path.exists():
            continue
        try:
            names = [name for name in parquet.read_schema(path).names
                     if not name.startswith('stats/')]
            rows += parquet.read_table(path, columns=names).to_pylist()
        except parquet_errors() as error:
            losses.append(why_unread(path, error))
    return rows


def _number(value) -> float:
    """Return a number that may stand in a list of one."""
    return float(value[0] if isinstance(value, list) else value)


def _some(numbers) -> str:
    text = ', '.join(map(str, numbers[:8]))
    return text + f', ... and {len(numbers) - 8} more' if len(numbers) > 8 else text
