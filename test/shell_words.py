# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of a block of code, as a shell would take them apart."""

from collections.abc import Iterator
from dataclasses import dataclass
import re
import shlex

from markdown_pages import Block

PROMPT = '$ '
SHELL_LANGUAGES = ('', 'bash', 'sh', 'console')
ASSIGNMENT = re.compile(r'[A-Za-z_]\w*=')
SUBSTITUTION = re.compile(r'\$\(([^()]*)\)')
USAGE = re.compile(r'(^|\s)\[(\S[^\]]*)\](?=\s|$)')  # [--option VALUE], as usages have it
FIRST_WORD = re.compile(r'(?:[A-Za-z_]\w*=\S* +)*([\w./~-]+)(?=\s|$)')
RUN_IN_ENVIRONMENT = ('python', '-m', 'sqap_vla_ros.support.ros_environment')
CONTINUED = re.compile(r'\\(?: +#.*)?$')
LEFT_OUT = ('OPTION', '...')  # of usages
SEPARATORS = re.compile(r'[;&|]+')


def is_transcript(block: Block) -> bool:
    """Return whether a block shows commands behind a prompt, and what they print."""
    return any(line.startswith(PROMPT) for line in block.text.splitlines())


@dataclass
class CommandLine:
    """A line to type, continued ones joined; line: where it begins; output: what it printed."""

    line: int
    text: str
    output: str = ''


def lines_of_commands(block: Block) -> list[CommandLine]:
    """Return what is typed: all that is no comment, or in a transcript what follows a prompt."""
    found, is_continued = [], False
    is_typed = not is_transcript(block)
    for number, line in enumerate(block.text.splitlines(), block.line):
        if is_continued:
            found[-1].text += line
        elif is_typed and line.strip() and not line.startswith('#') or line.startswith(PROMPT):
            found.append(CommandLine(number, line.removeprefix(PROMPT)))
        else:
            if found:
                found[-1].output += line + '\n'
            continue
        is_continued = bool(CONTINUED.search(found[-1].text))
        found[-1].text = CONTINUED.sub('', found[-1].text)
    return found


def commands(line: str) -> Iterator[list[str]]:
    """
    Yield the words of each command of a command line, substituted ones first.

    Assignments in front of a command, `sudo`, and what only prepares the environment of another
    command are left out.  Raises ValueError for quotes that are not closed.
    """
    while match := SUBSTITUTION.search(line):
        yield from commands(match.group(1))
        line = line[:match.start()] + 'SUBSTITUTED' + line[match.end():]
    lexer = shlex.shlex(USAGE.sub(r'\1\2', line), posix=True, punctuation_chars=';&|')
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ';']:
        if SEPARATORS.fullmatch(word):
            if words := plain([word for word in words if word not in LEFT_OUT]):
                yield words
            words = []
        else:
            words.append(word)


def plain(words: list[str]) -> list[str]:
    """Return a command without what stands before its name."""
    while words and (ASSIGNMENT.match(words[0]) or words[0] in ('sudo', 'time')):
        words = words[1:]
    if tuple(words[:3]) == RUN_IN_ENVIRONMENT and len(words) > 3:
        return plain(words[3:])
    return words
