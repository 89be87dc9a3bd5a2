# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""frames.csv and frames.parquet, a part at a time; see columns.py for what they hold."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

from .columns import Frames, LISTS
from ...errors import ConfigError
from ...support.files import growing_file, saving_to
from ...support.requirements import missing_modules_as

CSV, PARQUET = 'frames.csv', 'frames.parquet'
ABOUT = b'sqap_vla_replay'
BYTES_A_NUMBER = 12  # about what a number takes in text, and in Parquet with what goes round it


def write_tables(results, out: Path, played=(), kept: str = '') -> tuple[str, ...]:
    """
    Write frames.csv and frames.parquet into a directory; return their names.

    played: Played of answers, for what a node would have asked.  kept: what to say is on the disk
    where it is full.  Each file is there whole or not at all.  Raises ConfigError.
    """
    frames = Frames(results, played)
    needed = len(frames) * frames.numbers * BYTES_A_NUMBER
    with saving_to(out, needed, kept):
        with growing_file(out / CSV) as file:
            _write_csv(frames, file)
        with growing_file(out / PARQUET) as file:
            _write_parquet(frames, file)
    return CSV, PARQUET


def _write_csv(frames: Frames, file) -> None:
    """Write rows as text in UTF-8: what is not known is empty, yes and no are True and False."""
    text = io.TextIOWrapper(file, 'utf-8', newline='', write_through=True)
    writer = csv.writer(text)
    names = [name for name in frames.columns if name not in LISTS]
    writer.writerow(names)
    for part in frames:
        columns = [_plain(part[name]) for name in names]
        writer.writerows(zip(*columns))
    text.detach()


def _plain(values) -> list:
    """Return values of Python's own types, '' for what is not known."""
    values = values if isinstance(values, list) else values.tolist()
    return ['' if value is None or isinstance(value, float) and math.isnan(value) else value
            for value in values]


def _write_parquet(frames: Frames, file) -> None:
    with missing_modules_as(ConfigError):
        import pyarrow as arrow
        from pyarrow import parquet
    kinds = {'text': arrow.string(), 'int': arrow.int64(), 'bool': arrow.bool_(),
             'float': arrow.float64(), 'floats': arrow.list_(arrow.float64()),
             'rows': arrow.list_(arrow.list_(arrow.float64())),
             'ints': arrow.list_(arrow.int32()), 'texts': arrow.list_(arrow.string())}
    schema = arrow.schema([(name, kinds[kind]) for name, kind in frames.columns.items()],
                          {ABOUT: json.dumps(frames.about).encode()})
    with parquet.ParquetWriter(file, schema, compression='zstd') as writer:
        for part in frames:
            writer.write_table(arrow.table([
                arrow.array([None if row is None else [each.tolist() for each in row]
                             for row in part[name]], kinds['rows'])
                if kind == 'rows' else arrow.array(part[name], kinds[kind], from_pandas=True)
                for name, kind in frames.columns.items()], schema))
