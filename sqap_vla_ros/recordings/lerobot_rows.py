# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of an episode of a LeRobot data set, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .lerobot_tables import parquet_errors, parquet_module, Part
from ..errors import ObservationError

ROWS = 1024
ROWS_WITH_IMAGES = 16
SNAP = 0.1  # of a frame's time: timestamps are float32, and meant to be whole frames


@dataclass(frozen=True, eq=False)
class Batch:
    """
    Some rows of an episode.

    first: number of the first one in the episode.  offsets_ns: int64 [n], from the episode's
    first row.  timestamps_s: float64 [n], as they are told.  columns: {name: values}, of numbers
    float64 [n, columns], of images a list of bytes or paths, of tasks int64 [n].
    """

    first: int
    offsets_ns: np.ndarray
    timestamps_s: np.ndarray
    columns: dict


def episode_rows(part: Part, fps: float, numbers, images=()) -> Iterator[Batch]:
    """
    Yield the rows of an episode, with the columns of numbers and of images that are named.

    Columns that a file does not have are missing in the batch.  Raises ObservationError where
    the file is damaged, after what comes before.
    """
    parquet, wanted = parquet_module(), {*numbers, *images}
    done = 0
    try:
        with parquet.ParquetFile(part.path) as file:
            names = [name for name in file.schema_arrow.names
                     if name in wanted | {'timestamp', 'episode_index', 'task_index'}]
            for table in _tables(file, part, names, ROWS_WITH_IMAGES if images else ROWS):
                batch = _batch(table, part, fps, done, images)
                done += len(batch.offsets_ns)
                yield batch
    except parquet_errors() as error:
        raise ObservationError(
            f'{part.path} cannot be read beyond row {done} of {part.rows} of episode '
            f'{part.index}: {str(error).strip().splitlines()[0]}') from error


def offsets_ns(part: Part, fps: float, first: int, timestamps_s: np.ndarray) -> np.ndarray:
    """Return nanoseconds from an episode's first row; timestamps are snapped to whole frames."""
    frames = np.arange(first, first + len(timestamps_s))
    seconds = timestamps_s - part.first_s
    is_whole = ~(np.abs(seconds - frames / fps) > SNAP / fps)  # what is no number counts, too
    return np.where(is_whole, np.round(frames * (1e9 / fps)),
                    np.round(np.nan_to_num(seconds) * 1e9)).astype(np.int64)


def _tables(file, part, names, size):
    """Yield tables of the episode's rows: of a file of many, the groups that it lies in."""
    ends = np.cumsum([file.metadata.row_group(at).num_rows
                      for at in range(file.num_row_groups)])
    last = part.first_row + part.rows
    groups = [at for at, end in enumerate(ends)
              if end > part.first_row and (at == 0 or ends[at - 1] < last)]
    row = int(ends[groups[0] - 1]) if groups and groups[0] else 0
    for table in file.iter_batches(size, row_groups=groups, columns=names):
        begin, end = max(part.first_row - row, 0), min(last - row, table.num_rows)
        row += table.num_rows
        if begin < end:
            yield table.slice(begin, end - begin)


def _batch(table, part, fps, done, images):
    columns = {}
    for name in table.schema.names:
        column = table.column(name)
        columns[name] = column.to_pylist() if name in images else _numbers(column)
    times = columns.pop('timestamp', None)
    times = part.first_s + np.arange(done, done + table.num_rows) / fps if times is None \
        else times[:, 0]
    return Batch(done, offsets_ns(part, fps, done, times), times, columns)


def _numbers(column) -> np.ndarray:
    """Return a column as float64 [n, width]; raise ObservationError for rows unlike each other."""
    values = column.to_pylist() if column.null_count else None
    if hasattr(column, 'flatten') and hasattr(column, 'value_lengths') and values is None:
        flat = column.flatten().to_numpy(zero_copy_only=False)
        if len(column) and len(flat) % len(column) == 0 and len(set(
                column.value_lengths().to_pylist())) == 1:
            return flat.astype(np.float64).reshape(len(column), -1)
    try:
        if values is None:
            values = column.to_pylist()
        return np.array(values, np.float64).reshape(len(values), -1)
    except (TypeError, ValueError) as error:
        raise ObservationError(f'rows of different lengths or types: {error}') from error
