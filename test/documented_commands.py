# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What can be told of a documented command without running it.

check(words) raises ValueError, with what is wrong, for a command that would be refused. Programs
that are not ours are in NOT_RUN with the reason why nothing of them is tried here.
"""

import ast
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
import re
import shlex

from documented_ros2 import node, ros2
from markdown_pages import ROOT
from shell_words import commands
from sqap_vla_ros.cli import COMMANDS
from sqap_vla_ros.commands.parser import Parser

# The first words of commands, and why no test runs or parses them.
NOT_RUN = {
    ('git', 'clone'): 'the address of the repository is for the reader to fill in',
    ('apt',): 'installs system packages',
    ('rosdep',): 'is in no wheel, and asks the network',
    ('pip', 'install'): 'asks a package index; extras of ours are compared with setup.py',
    ('pip', 'download'): 'asks a package index',
    ('colcon', 'build'): 'set-up runs it, and `make colcon-test`',
    ('python3', '-m', 'venv'): 'set-up makes the environment',
    ('nvpmodel',): 'of a Jetson',
    ('jetson_clocks',): 'of a Jetson',
    ('grep',): 'of a Jetson',
    ('cat',): 'of a Jetson',
    ('source',): 'changes nothing but the shell',
    ('.',): 'changes nothing but the shell',
    ('export',): 'changes nothing but the shell; what is substituted is looked at',
    ('cd',): 'changes nothing but the shell',
    ('cp',): 'changes nothing but the disk of the reader',
    ('mkdir',): 'changes nothing but the disk of the reader',
    ('which',): 'only tells where Python is',
    ('chromium',): 'takes a picture of a page; test/browser.py drives it',
}
HELP = ('--help', '-h')


class Refusing(Parser):
    """The command line's parser that raises where others end the process."""

    def error(self, message):
        """Raise ValueError."""
        raise ValueError(message)


def check(words: list[str], is_part: bool = False) -> None:
    """
    Raise ValueError for a command that can't be right.

    is_part: of a command that is only named, such as `sqap-vla eval`: what it lacks is no matter.
    """
    name = words[0].rpartition('/')[2]
    if name in PROGRAMS:
        PROGRAMS[name](words, is_part)
    elif words[0].startswith(('scripts/', 'benchmarks/')):
        script(words, is_part)
    elif not any(tuple(words[:len(first)]) == first for first in NOT_RUN):
        raise ValueError(f'nothing is known of the program {words[0]}: check it in '
                         'test/documented_commands.py, or give the reason in NOT_RUN there')


@cache
def parser_of(command: str) -> Parser:
    """Return the parser of a command of `sqap-vla`."""
    if command not in COMMANDS:
        raise ValueError(f'sqap-vla has no command {command}, but {", ".join(COMMANDS)}')
    parser = Refusing(prog=f'sqap-vla {command}')
    import_module(COMMANDS[command][0]).add_arguments(parser)
    return parser


def sqap_vla(words, is_part):
    """Check a command of `sqap-vla` by the parser that it has."""
    if words[1:] in ([], ['COMMAND', '--help'], ['--help'], ['--version']):
        return
    parser = parser_of(words[1])
    if set(words) & set(HELP):
        return
    try:
        parser.parse_args(words[2:])
    except ValueError as error:
        if not (is_part and 'required' in str(error)):
            raise


def make(words, is_part):
    """Check target and variables of `make`, and what ARGS is handed to."""
    text = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z][\w-]*):', text, re.M))
    variables = dict(re.findall(r'^(\w+) \?= *(.*)$', text, re.M))
    given = dict(word.split('=', 1) for word in words[1:] if '=' in word)
    asked = [word for word in words[1:] if '=' not in word]
    if unknown := set(asked) - targets | set(given) - set(variables):
        raise ValueError(f'the Makefile has no {", ".join(sorted(unknown))}')
    arguments = shlex.split(given.get('ARGS', ''))
    if asked == ['demo']:
        sqap_vla(['sqap-vla', 'demo', *arguments], is_part)
    elif asked == ['test']:
        pytest(arguments)
    elif asked == ['shell'] and arguments[:1] == ['-c']:
        for command in commands(arguments[1]):
            check(command, is_part)


def python(words, is_part):
    """Check what Python is to run."""
    if words[1:2] == ['-c']:
        compile(words[2], 'docs', 'exec')
    elif words[1:3] == ['-m', 'pytest']:
        pytest(words[3:])
    elif words[1:3] in (['-m', 'venv'], ['-m', 'pip']):
        return
    elif words[1:2] == ['-m']:
        if find_spec(words[2]) is None:
            raise ValueError(f'there is no module {words[2]}')
    elif len(words) > 1:
        script(words[1:], is_part)


def pytest(arguments):
    """Check that what tests are asked for by path and name is there."""
    for word in arguments:
        path, _, name = word.partition('::')
        if path.startswith('test') and not (ROOT / path).exists():
            raise ValueError(f'there is no {path}')
        if name and f'def {name.partition("[")[0]}(' not in (ROOT / path).read_text():
            raise ValueError(f'{path} has no {name}')


def script(words, is_part):
    """Check that a script of ours is there, and that its options stand in it."""
    path = ROOT / words[0]
    if not path.exists():
        raise ValueError(f'there is no {words[0]}')
    if words[0] == 'scripts/train_on_gpu':
        return sqap_vla(['sqap-vla', 'train', *words[1:]], is_part)
    given = {word.partition('=')[0] for word in words[1:] if word.startswith('--')} - {'--help'}
    if unknown := given - options_in(path):
        raise ValueError(f'{words[0]} has no option {", ".join(sorted(unknown))}')


def options_in(path: Path) -> set[str]:
    """Return the options that are texts in a script, or in the package that it starts."""
    if path.suffix == '.sh' or path.is_dir():
        path = (path if path.is_dir() else path.parent) / '__main__.py'
    text = path.read_text(encoding='utf-8')
    if path.suffix != '.py' and not text.startswith('#!/usr/bin/env python3'):
        return set()
    tree = ast.parse(text)
    shared = [ROOT / (node.module.replace('.', '/') + '.py') for node in ast.walk(tree)
              if isinstance(node, ast.ImportFrom)
              and (node.module or '').startswith('sqap_vla_ros.commands.')]
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)
            and str(node.value).startswith('--')}.union(*map(options_in, shared))


def pip(words, is_part):
    """Check extras of this package."""
    extras = re.findall(r'\.\[([\w,]+)\]', ' '.join(words))
    text = (ROOT / 'setup.py').read_text(encoding='utf-8')
    known = set(re.findall(r"^    '(\w+)': \[", text, re.M))
    if unknown := {name for found in extras for name in found.split(',')} - known:
        raise ValueError(f'setup.py has no extra {", ".join(sorted(unknown))}')


PROGRAMS = {'sqap-vla': sqap_vla, 'make': make, 'python': python, 'python3': python,
            'pip': pip, 'ros2': ros2, 'vla_node': node, 'libero_sim_node': node}
