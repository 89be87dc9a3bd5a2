# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What recordings lie below a directory that is none itself, to name them to whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import os
from pathlib import Path

DEPTH = 5  # levels that are looked through: a cache of data sets has four
LOOKED_AT = 1000  # directories at most, the nearest ones first
SHOWN = 4


def told_below(folder: Path, kinds: Mapping[str, Callable[[Path], bool]]) -> str:
    """
    Return '. There are recordings below it: ...: name one', '' where there are none.

    kinds: {what it is called: whether a directory is one}.
    """
    found = list(_below(folder, kinds))
    if not found:
        return ''
    names = ', '.join(f'{path.relative_to(folder)} ({kind})' for path, kind in found[:SHOWN])
    more = f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    many = len(found) > 1
    return (f'. There {"are recordings" if many else "is a recording"} below it: {names}{more}: '
            f'name {"one" if many else "it"}')


def _below(folder, kinds) -> Iterator[tuple[Path, str]]:
    """Yield (directory, kind), the nearest first; nothing is looked for inside of one."""
    level, left = [folder], LOOKED_AT
    for _ in range(DEPTH):
        level = [path for parent in level for path in _directories(parent)][:left]
        left -= len(level)
        found = {path: next((kind for kind, is_one in kinds.items() if is_one(path)), '')
                 for path in level}
        yield from ((path, kind) for path, kind in found.items() if kind)
        level = [path for path, kind in found.items() if not kind]


def _directories(folder) -> list[Path]:
    """Return those in a directory that can be looked into, without hidden ones."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith('.')
                  and path.is_dir() and os.access(path, os.R_OK | os.X_OK))
