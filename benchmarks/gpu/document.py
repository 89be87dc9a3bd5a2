# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of a Markdown file that a program writes, between comments that name them."""

from __future__ import annotations

from pathlib import Path


def _split(path: Path, name: str) -> tuple[str, str, str]:
    """Return the text before a part, the part, and the text behind it, marks left out."""
    begin, end = f'<!-- begin {name} -->', f'<!-- end {name} -->'
    text = path.read_text()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise ValueError(f'{path} has no part {name!r}: write {begin!r} and {end!r} into it')
    before, _, rest = text.partition(begin)
    content, _, behind = rest.partition(end)
    return before + begin, content, end + behind


def part(path: Path, name: str) -> str:
    """Return a part's text; raise ValueError where the document has none of that name."""
    return _split(path, name)[1].strip('\n')


def replace_part(path: Path, name: str, content: str) -> None:
    """Put a text in place of a part's; raise ValueError as `part` does."""
    before, _, behind = _split(path, name)
    path.write_text(f'{before}\n{content}\n{behind}')
