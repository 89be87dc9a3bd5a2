# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Parameter files as they were written: whom they are for, and why ROS cannot read one.

ROS says "Cannot have a value before ros__parameters at line 1" and ends, refuses a list that has 1
beside 0.5, and takes the second of two values of one parameter without a word.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
import re

import yaml

KEY = 'ros__parameters'
FORM = f'/**: {{{KEY}: {{name: value}}}}'
WHOLE = re.compile(r'[-+]?(0[xX][0-9a-fA-F]+|\d+)')
DECIMAL = re.compile(r'[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)')


@dataclass(frozen=True)
class Section:
    """The parameters of a file, with dots for levels, under the name of the nodes they are for."""

    node: str
    names: frozenset

    def is_for(self, fully_qualified_name: str) -> bool:
        """Return whether a node hears it; * is one word of its name, and ** any number."""
        pattern = re.escape(self.node).replace(r'/\*\*', r'(/\w+)*').replace(r'\*', r'\w+')
        return re.fullmatch(pattern, fully_qualified_name) is not None

    @property
    def last(self) -> str:
        """Return the last word of the node's name."""
        return self.node.rpartition('/')[2]


def sections(path) -> list[Section]:
    """Return the sections of a parameter file; none of one that cannot be read."""
    try:
        root = yaml.compose(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []  # ROS has refused it, or launch has removed its temporary file
    found, rest = [], [('', root)]
    while rest:
        prefix, part = rest.pop()
        for key, value in _items(part):
            if key.value == KEY:
                found.append(Section(prefix, frozenset(name for name, _ in _flat(value))))
            else:
                rest.append((f'{prefix}/{key.value.lstrip("/")}', value))
    return found


def with_decimal_lists(text: str) -> str:
    """Return YAML in which numbers that stand beside decimal ones in a list are decimal, too."""
    try:
        root = yaml.compose(text)
    except yaml.YAMLError:
        return text
    for scalar in sorted(_whole_beside_decimal(root), key=lambda node: -node.start_mark.index):
        first, last = scalar.start_mark.index, scalar.end_mark.index
        text = f'{text[:first]}{float(int(scalar.value, 0))}{text[last:]}'
    return text


def why_unreadable(path) -> str:
    """Return what is wrong with a parameter file, and what to write; '' if nothing is."""
    path = Path(path)
    if not path.exists():
        return f'there is no parameter file {path}{_nearest_file(path)}'
    try:
        root = yaml.compose(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        return f'the parameter file {path} cannot be read: {error}'
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f', line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        return f'the parameter file {path} is no YAML{place}: {error.problem}'
    except yaml.YAMLError as error:
        return f'the parameter file {path} is no YAML: {error}'
    problem = _why_not(root, [])
    return f'parameter file {path}, {problem}' if problem else ''


def _why_not(part, above) -> str:
    """Return what is wrong with what stands under some keys."""
    if part is None:
        return ''
    if not isinstance(part, yaml.MappingNode):
        return (f'line {_line(part)}: {_shown(part)} stands outside of {KEY}{_misspelt(above)}: '
                f'the form is {FORM}')
    for key, value in _items(part):
        if key.value == KEY and not above:
            return (f'line {_line(key)}: no node is named above {KEY}: write /**: above it, for '
                    'all nodes, or the name of one')
        problem = (_why_no_parameters(value) if key.value == KEY
                   else _why_not(value, [*above, key.value]))
        if problem:
            return problem
    return ''


def _why_no_parameters(part) -> str:
    """Return what is wrong with what stands under ros__parameters."""
    if not isinstance(part, yaml.MappingNode):
        return f'line {_line(part)}: {KEY} has no parameters under it: the form is {FORM}'
    lines = {}
    for name, value in _flat(part):
        if name in lines:
            return f'line {_line(value)}: {name} stands in line {lines[name]}, too: leave one out'
        lines[name] = _line(value)
        if isinstance(value, yaml.ScalarNode) and value.value in ('', '~', 'null') \
                and value.style is None:
            return f'line {_line(value)}: {name} has no value: give it one, or leave it out'
        if isinstance(value, yaml.SequenceNode) and len({_kind(item) for item in value.value}) > 1:
            return (f'line {_line(value)}: {name} is a list of values of different kinds: write '
                    'all as numbers, all as texts in quotes, or all as true and false')
    return ''


def _misspelt(above) -> str:
    nearest = [key for key in above if get_close_matches(key, [KEY], 1, 0.6)]
    return f' (is {nearest[0]} meant to be {KEY}?)' if nearest else ''


def _nearest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f': there is no folder {folder}, either'
    names = [item.name for item in folder.iterdir() if item.suffix in ('.yaml', '.yml')]
    nearest = get_close_matches(path.name, names, 1, 0.5)
    return f': did you mean {folder / nearest[0]}?' if nearest else ''


def _items(part):
    return part.value if isinstance(part, yaml.MappingNode) else ()


def _flat(part, prefix=''):
    """Yield (name with dots, node of its value) of all that stands under ros__parameters."""
    for key, value in _items(part):
        if isinstance(value, yaml.MappingNode):
            yield from _flat(value, f'{prefix}{key.value}.')
        else:
            yield prefix + key.value, value


def _whole_beside_decimal(root) -> list:
    """Return the nodes of whole numbers in lists that have decimal ones, too, and no others."""
    found, rest, seen = [], [root], set()
    while rest:
        part = rest.pop()
        if id(part) in seen:  # an alias
            continue
        seen.add(id(part))
        if isinstance(part, yaml.MappingNode):
            rest += [node for pair in part.value for node in pair]
        elif isinstance(part, yaml.SequenceNode):
            rest += part.value
            kinds = {_kind(item) for item in part.value}
            if kinds == {'number'}:
                whole = [item for item in part.value if WHOLE.fullmatch(item.value)]
                found += whole if len(whole) < len(part.value) else []
    return found


def _kind(node) -> str:
    """Return 'number', 'bool', 'text' or 'more' for what a node of YAML is to ROS."""
    if not isinstance(node, yaml.ScalarNode):
        return 'more'
    if node.style is not None:
        return 'text'
    if WHOLE.fullmatch(node.value) or DECIMAL.fullmatch(node.value):
        return 'number'
    return 'bool' if node.tag == 'tag:yaml.org,2002:bool' else 'text'


def _line(node) -> int:
    return node.start_mark.line + 1


def _shown(node) -> str:
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else 'a list'


def given_files(arguments) -> list[str]:
    """Return the parameter files among the arguments of a process."""
    return [path for flag, path in zip(arguments, arguments[1:]) if flag == '--params-file']
