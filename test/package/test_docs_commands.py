# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whatever the documentation says to type can be typed.

Every line of every block of commands, and commands between backticks, are taken apart: options by
the real parsers, launch arguments by the launch files, names and values by the node's parameters
and interface, paths by the tree. What is of other programs stands with the reason why not in
NOT_RUN (test/documented_commands.py) and OTHERS (test/documented_ros2.py). Blocks that are no
commands say so by their language (```yaml, ```python, ```text ...), or read as XML, JSON or YAML.
"""

import ast
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from documented_commands import check, NOT_RUN, PROGRAMS
from documented_ros2 import OTHERS
from markdown_pages import Block, blocks, pages, ROOT, spans
import pytest
from shell_words import commands, FIRST_WORD, is_transcript, lines_of_commands, SHELL_LANGUAGES
from sqap_vla_ros.support.ros_environment import ros_environment
import yaml

TREE = re.compile(r'(?:benchmarks|config|constraints|docker|docs|interfaces|launch|models|rviz|'
                  r'scripts|sqap_vla_ros|test|action|msg)/[\w./*{},-]+')
TYPES = re.compile(r'sqap_vla_ros/(?:(?:msg|action|srv)/)?[A-Z]\w+')
LOG = re.compile(r'\[[\w-]+\] \[')  # what nodes print needs no language
REFUSED = re.compile('error|fail|refus|unknown|missing', re.I)  # a transcript that shows just that
# What is quick, and changes nothing: run as it stands.
RUN = ('sqap-vla info models/libero_goal', 'make help')


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_of_commands(block: Block) -> bool:
    """Return whether a block is to be typed into a shell."""
    if block.language or is_transcript(block):
        return block.language in SHELL_LANGUAGES
    first = next((line for line in block.text.splitlines() if not line.startswith('#')), '')
    match = FIRST_WORD.match(first)
    return bool(match) and (match[1].rpartition('/')[2] in PROGRAMS or match[1] in STARTS
                            or match[1].startswith(('scripts/', 'benchmarks/')))


STARTS = {first[0] for first in NOT_RUN} | {'sudo', '.'}


def problem_of_data(block: Block) -> str:
    """Return why a block is not what it says; '' if it is."""
    if not block.language and LOG.match(block.text):
        return ''
    if block.language:
        readers = [LANGUAGES.get(block.language)]
    else:
        readers = [xml, json.loads, lambda text: [json.loads(line) for line in text.splitlines()],
                   mapping_of]
    for reader in readers:
        try:
            if reader is not None:
                reader(block.text)
                return ''
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            problem = error
    return (f'is no {block.language}: {problem}' if readers[0] and block.language else
            'is neither commands nor XML, JSON or YAML: fence it with its language, or ```text')


def xml(text):
    """Raise ValueError for what is no XML, of which a piece will do."""
    try:
        ElementTree.fromstring(f'<piece xmlns:xacro="xacro">{text}</piece>')
    except ElementTree.ParseError as error:
        raise ValueError(error) from error
    if not text.startswith('<'):
        raise ValueError('no XML')


LANGUAGES = {'python': ast.parse, 'xml': xml, 'yaml': yaml.safe_load, 'json': json.loads,
             **dict.fromkeys(('text', 'cmake', 'dockerfile', 'ini', 'cpp'), str)}


def mapping_of(text):
    value = yaml.safe_load(text)
    if not isinstance(value, dict):
        raise ValueError('no mapping')


def problem_of(line: str, is_part: bool = False) -> str:
    """Return why a command line can't be typed; '' if it can."""
    try:
        for words in commands(line):
            check(words, is_part)
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        return f'{error}'
    return ''


def lines(page: Path):
    """Yield the command lines in blocks."""
    for block in blocks(page):
        if is_of_commands(block):
            yield from lines_of_commands(block)


@pytest.mark.ros
@pytest.mark.parametrize('page', pages(), ids=name_of)
def test_every_block_is_commands_that_would_be_accepted_or_says_what_it_is(page):
    problems = [f'{name_of(page)}:{line.line}: {line.text}: {problem}' for line in lines(page)
                if (problem := problem_of(line.text)) and not REFUSED.search(line.output)]
    problems += [f'{block.place} {problem}' for block in blocks(page)
                 if not is_of_commands(block) and (problem := problem_of_data(block))]
    assert problems == []


@pytest.mark.ros
@pytest.mark.parametrize('page', pages(), ids=name_of)
def test_every_command_between_backticks_names_what_there_is(page):
    problems = []
    for number, text in spans(page):
        match = FIRST_WORD.match(text)
        if match and match[1].rpartition('/')[2] in PROGRAMS and ' ' in text:
            if problem := problem_of(text, is_part=True):
                problems.append(f'{name_of(page)}:{number}: {text}: {problem}')
    assert problems == []


@pytest.mark.parametrize('page', pages(), ids=name_of)
def test_every_path_of_the_tree_is_there(page):
    text = TYPES.sub('', page.read_text(encoding='utf-8'))
    named = {match[0].rstrip('.,') for match in TREE.finditer(text)
             if not re.search(r'[\w./~:-]', text[max(0, match.start() - 1):match.start()])}
    missing = [path for path in named if not is_there(path)]
    assert missing == []


def is_there(path: str) -> bool:
    """Return whether a path, which may have * and {a,b} in it, is in the tree."""
    if any(part.isupper() for part in re.split(r'[/.-]', path)):  # a part is for the reader
        return True
    ways = [path]
    while braces := re.search(r'\{([^{}]*)\}', ways[0]):
        ways = [way.replace(braces[0], choice) for way in ways for choice in braces[1].split(',')]
    return all(any(ROOT.glob(way.rstrip('/'))) for way in ways)


def test_what_is_said_not_to_be_run_is_still_documented():
    documented = [words for page in pages() for line in lines(page)
                  for words in commands(line.text)]
    unused = [first for first in NOT_RUN
              if not any(tuple(words[:len(first)]) == first for words in documented)]
    text = '\n'.join(page.read_text(encoding='utf-8') for page in pages())
    assert unused + [package for package in OTHERS if package not in text] == []


@pytest.mark.ros
@pytest.mark.parametrize('command', RUN)
def test_a_quick_command_of_the_documentation_runs_as_it_stands(command):
    assert any(command in page.read_text(encoding='utf-8') for page in pages())
    result = subprocess.run(command, shell=True, cwd=ROOT, env=ros_environment(),
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stdout, result.stderr


@pytest.mark.ros
@pytest.mark.parametrize('line, part', [
    ('sqap-vla infer models/libero_goal --imag x.png', 'unrecognized|required|ambiguous'),
    ('sqap-vla inferr x', 'no command inferr'),
    ('make dmeo', 'no dmeo'),
    ('make demo ARGS="--episods 3"', 'episods'),
    ('python benchmarks/outputs.py --episods 3', 'no option --episods'),
    ('python benchmarks/output.py', 'no benchmarks/output.py'),
    ('pip install -e .[simm]', 'no extra simm'),
    ('ros2 param set /vla_node max_linear_sped 0.1', 'no parameter max_linear_sped'),
    ('ros2 param set /vla_node max_linear_speed 99', 'expected 0.001 to 10'),
    ('ros2 param set /vla_node precision fp', 'read-only'),
    ('ros2 run sqap_vla_ros vla_node --ros-args -p keep_tokens:=-1', 'expected 0 to'),
    ('ros2 run sqap_vla_ros vla_nod', 'no executable vla_nod'),
    ('ros2 run sqap_vla_ros vla_node --ros-args -r images:=/camera', 'no node of ours has'),
    ('ros2 topic echo /vla_node/overlays', 'no node of ours has'),
    ("ros2 topic pub /instruction std_msgs/msg/String '{text: x}'", 'no field text'),
    ('ros2 service call /vla_node/stop std_srvs/srv/Triger', 'no type std_srvs/srv/Triger'),
    ('ros2 lifecycle set /vla_node start', 'lifecycle set start'),
    ('export A=$(ros2 topic echo /nothing)', 'no node of ours has'),
    ('true && make dmeo', 'nothing is known of the program true'),
    ('frobnicate', 'nothing is known of the program frobnicate')])
def test_what_can_not_be_typed_is_found(line, part):
    assert re.search(part, problem_of(line))


def test_a_command_is_found_behind_a_prompt_and_a_continued_one_is_one():
    block = Block(ROOT / 'README.md', 7, '', '$ make demo \\\n    ARGS=1  # so\nout\n$ make test')
    first, second = lines_of_commands(block)
    assert (first.line, first.text, first.output) == (7, 'make demo     ARGS=1  # so', 'out\n')
    assert (second.line, second.text, second.output) == (10, 'make test', '')
    assert list(commands('a=1 sudo x [--y Z] && z "b c"  # d')) == [
        ['x', '--y', 'Z'], ['z', 'b c']]


def test_the_environment_of_the_tests_finds_the_commands_that_are_run():
    assert os.access(Path(sys.prefix) / 'bin' / 'sqap-vla', os.X_OK)
