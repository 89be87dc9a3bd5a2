# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are not what their names say, because a download left something else there."""

from __future__ import annotations

from pathlib import Path

_POINTER = b'version https://git-lfs'
_PAGES = (b'<!doctype html', b'<html')


def damage(path: Path, error, otherwise: str) -> str:
    """
    Return what is wrong with a file that cannot be read, and what to do, as a sentence's end.

    error: what its reader said.  otherwise: what to do if it is what it should be, but damaged.
    """
    return download_advice(path) or f' ({error}): {otherwise}'


def download_advice(path: Path) -> str:
    """Return what a file is instead, and the cure, as ': ...'; '' if it is nothing else."""
    try:
        with path.open('rb') as file:
            start = file.read(40).lstrip().lower()
    except OSError:
        return ''
    if start.startswith(_POINTER):
        return (': it is a git-lfs pointer, a few lines in place of the file: get it by git lfs '
                'pull in the repository, or by hf download')
    if start.startswith(_PAGES):
        return (': it is a web page: download the file itself, from an address with /resolve/ in '
                'place of /blob/, or by hf download')
    return ': it is empty: download it again' if not start and not path.stat().st_size else ''
