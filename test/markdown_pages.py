# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation taken apart: code blocks, code spans, links and headings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import re
import textwrap

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r'\s*```(.*)')
SPAN = re.compile(r'(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)')
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')


@dataclass(frozen=True)
class Block:
    """A block of code; line: of its first line, from 1; language: '' where none is told."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Return where it stands, for messages."""
        return f'{self.page.relative_to(ROOT)}:{self.line}'


def pages() -> list[Path]:
    """Return the pages that a user reads."""
    return [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'test' / 'README.md',
            *sorted(ROOT.glob('docs/*.md')), *sorted(ROOT.glob('models/*/README.md'))]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced and the indented blocks of code."""
    begun, language, lines = 0, None, []
    after_blank = True
    for number, line in enumerate([*page.read_text(encoding='utf-8').splitlines(), 'end'], 1):
        fence = FENCE.fullmatch(line)
        if language is not None:  # inside a fence
            if fence is None:
                lines.append(line)
                continue
            yield _block(page, begun, language, lines)
            language, lines = None, []
        elif fence is not None:
            begun, language = number + 1, fence.group(1).strip()
        elif line.startswith('    ') and (lines or after_blank):
            begun = begun if lines else number
            lines.append(line)
        elif line.strip() or not lines:
            if lines:
                yield _block(page, begun, '', lines)
            lines = []
        else:
            lines.append(line)
        after_blank = not line.strip()


def _block(page, begun, language, lines) -> Block:
    return Block(page, begun, language, textwrap.dedent('\n'.join(lines)).rstrip())


def prose(page: Path) -> str:
    """Return the text of a page without its blocks of code, of as many lines."""
    lines = page.read_text(encoding='utf-8').splitlines()
    for block in blocks(page):
        for index in range(block.text.count('\n') + 1):
            lines[block.line - 1 + index] = ''
    return '\n'.join(lines)


def spans(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of code between backticks."""
    text = prose(page)
    for match in SPAN.finditer(text):
        yield text.count('\n', 0, match.start()) + 1, ' '.join(match.group(1).split())


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, target) of links, pictures included."""
    text = prose(page)
    for match in LINK.finditer(text):
        yield text.count('\n', 0, match.start()) + 1, match.group(1)


def anchors(page: Path) -> set[str]:
    """Return the anchors that headings have on GitHub."""
    found = set()
    for line in prose(page).splitlines():
        if match := re.fullmatch(r'#+ +(.*?)\s*', line):
            shown = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', match.group(1))
            title = re.sub(r'[^\w\- ]', '', shown.lower())
            name, count = title.replace(' ', '-'), 0
            while (unique := f'{name}-{count}' if count else name) in found:
                count += 1
            found.add(unique)
    return found
