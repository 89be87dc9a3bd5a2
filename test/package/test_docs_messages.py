# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every message that docs/troubleshooting.md quotes is still one that the code says."""

import ast
from functools import cache
import re

from markdown_pages import ROOT
import pytest

PAGE = ROOT / 'docs' / 'troubleshooting.md'
CODE = ('sqap_vla_ros', 'launch', 'scripts')
FILLED_IN = '\0'  # what an f-string fills in
SAID = re.compile(r'^\| it says \|.*?\n\n', re.M | re.S)


@cache
def texts() -> tuple[str, ...]:
    """Return all texts of the code, with FILLED_IN for what is filled in."""
    found = []
    for folder in CODE:
        for path in (ROOT / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                if isinstance(node, ast.JoinedStr):
                    found.append(''.join(
                        part.value if isinstance(part, ast.Constant) else FILLED_IN
                        for part in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(re.sub(r'%[rsd.0-9]*[rsdf]|\{[^}]*\}', FILLED_IN, node.value))
    return tuple(text for text in found if ' ' in text)


def is_said(message: str) -> bool:
    """Return whether the code has a message, in which `...` stands for what is filled in."""
    parts = [part.strip() for part in message.split('...') if part.strip()]
    pattern = re.compile(f'(?:{FILLED_IN}|\\W)*'.join(map(re.escape, parts)))
    return any(pattern.search(text) for text in texts() if all(part in text for part in parts))


def messages() -> list[str]:
    """Return what the page quotes: the first column of its tables of messages."""
    text = PAGE.read_text(encoding='utf-8') + '\n'
    return [message for table in SAID.findall(text)
            for message in re.findall(r'^\| `([^`]+)` \|', table, re.M)]


@pytest.mark.parametrize('message', messages())
def test_a_quoted_message_is_one_of_the_code(message):
    assert is_said(message)


def test_every_row_of_messages_is_looked_at_and_there_are_many():
    text = PAGE.read_text(encoding='utf-8') + '\n'
    rows = sum(table.strip().count('\n') - 1 for table in SAID.findall(text))
    assert len(messages()) == rows > 90


def test_what_nobody_says_is_found():
    assert not is_said('no image on ... for more than ... minutes')
    assert not is_said('for more than ... s no image on ...')
    assert is_said('no image on ... for more than ... s')
