# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Parameter files, read as ROS reads them: what it refuses or would lose is told with the line.

ROS says "Cannot have a value before ros__parameters at line 1" and ends, refuses a list that has 1
beside 0.5, and takes the second of two values of one parameter without a word. Launch files, nodes
and check-camera all read them by this file; no ROS in here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
import re

from sqap_vla_ros.errors import ConfigError
import yaml

from .yaml_values import all_nodes, items, kind, NOTHING, scalar

KEY = 'ros__parameters'
FORM = f'the form is /**: {{{KEY}: {{name: value}}}}'
NODE = re.compile(r'(/(\w+|\*\*?))+', re.ASCII)
ALIKE = 0.85  # of two node names, 1 if they are the same


@dataclass(frozen=True)
class Section:
    """
    What a file has for the nodes of one name, which begins with a slash.

    line: of the name.  values: by the parameter's name, with dots for levels.
    """

    node: str
    line: int
    values: Mapping

    def is_for(self, fully_qualified_name: str) -> bool:
        """Return whether a node hears it; * is one word of its name, and ** any number."""
        pattern = self.node.replace('/**', r'(/\w+)#').replace('*', r'\w+').replace('#', '*')
        return re.fullmatch(pattern, fully_qualified_name) is not None

    @property
    def last(self) -> str:
        """Return the last word of the node's name."""
        return self.node.rpartition('/')[2]


def given_files(arguments: Sequence[str]) -> list[str]:
    """Return the parameter files among the arguments of a process."""
    return [path for flag, path in zip(arguments, arguments[1:]) if flag == '--params-file']


def values_for(path, own: str) -> dict:
    """
    Return {parameter: value} of what a file has for a node.

    own: its fully qualified name.  Raises ConfigError, naming the file, if part of it would be
    lost.
    """
    found = read_sections(path)
    problems = why_unheard(path, found, own)
    if problems:
        raise ConfigError(' '.join(problems))
    return {name: value for section in found if section.is_for(own)
            for name, value in section.values.items()}


def why_unheard(path, found: Sequence[Section], own: str) -> list[str]:
    """Return what to say of sections of a file that a node does not hear, or would lose."""
    name = own.rpartition('/')[2]
    heard = [section for section in found if section.is_for(own)]
    if not heard:
        cure = f', did you mean {own}?' if _alike(found, name) else ''
        told = ', '.join(f'{section.node} (line {section.line})' for section in found)
        return [f'nothing in the parameter file {path} is for this node: its sections are for '
                f'{told}, this is {own}{cure} (/** is for all)']
    lost = _overruled(path, heard)
    if lost or any(section.last == name for section in heard):
        return lost
    return [f'section {section.node} (line {section.line}) of the parameter file {path} is not '
            f'for this node, which is {own}: did you mean {_meant(section, own)}? If not, give '
            f'{name} a section of its own, too' for section in _alike(found, name)]


def _overruled(path, heard: Sequence[Section]) -> list[str]:
    """Return what to say of a node's own parameters that a section for more nodes overrules."""
    return [f'parameter file {path}: {name} of {own.node} (line {own.line}) is overruled by '
            f'{more.node} (line {more.line}), since the later goes before: put {more.node} above'
            for place, own in enumerate(heard) if '*' not in own.node
            for more in heard[place + 1:] if '*' in more.node
            for name in own.values if name in more.values]


def _alike(found, name) -> list:
    """Return the sections whose node's name is nearly this one, or the same elsewhere."""
    return [section for section in found if get_close_matches(section.last, [name], 1, ALIKE)]


def _meant(section, own) -> str:
    name = own.rpartition('/')[2]
    return name if section.last != name else own


def read_sections(path) -> list[Section]:
    """Return the sections of a file in its order; raises ConfigError for what ROS can't read."""
    text = _text(path)
    root = _root(path, text)
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken):
            raise _problem(path, token, f'*{token.value}: ROS knows no such references: write '
                           'the value again')
    if not isinstance(root, yaml.MappingNode):
        raise _problem(path, root, f'{_shown(root)} stands outside of {KEY}: {FORM}')
    found, lines = [], {}
    for node, key, part in _parts(path, root, []):
        if not NODE.fullmatch(node):
            raise _problem(path, key, f'{node} is no name of a node: letters, digits and _, or '
                           '* or ** between slashes')
        values = _values(path, part, lines.setdefault(node, {}))
        found.append(Section(node, _line(key), values))
    if not found:
        raise _problem(path, root, f'there is no {KEY}: {FORM}')
    return found


def content_of(path):
    """Return what a YAML file of any form holds; raises ConfigError, with the line, for none."""
    return yaml.SafeLoader('').construct_document(_root(path, _text(path)))


def _text(path) -> str:
    path = Path(path)
    try:
        return path.read_text(encoding='utf-8')
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f'there is no file {path}{_nearest_file(path)}') from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} cannot be read: {error}') from error


def _nearest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f': there is no folder {folder}, either'
    try:
        names = [item.name for item in folder.iterdir() if item.suffix in ('.yaml', '.yml')]
    except PermissionError:  # a folder may be passed through and not be listed
        return ''
    nearest = get_close_matches(path.name, names, 1, 0.5)
    return f': did you mean {folder / nearest[0]}?' if nearest else ''


def _root(path, text: str) -> yaml.Node:
    """Return the root of a file that is YAML, not empty, and has no key twice."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = f', line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        raise ConfigError(f'{path}{where}: {getattr(error, "problem", error)}: it is no YAML; '
                          'indent by blanks, and write name: value with a blank') from error
    if root is None or not root.value:
        raise ConfigError(f'{path} is empty')
    for part in all_nodes(root):
        lines = {}
        for key, _ in items(part):
            if not isinstance(key, yaml.ScalarNode):
                raise _problem(path, key, f'{_shown(key)} is no name: write name: value')
            _check_new(path, key, key.value, lines)
    return root


def _check_new(path, node, name: str, lines: dict):
    """Note the line of a name; raises ConfigError where it has one."""
    if name in lines:
        raise _problem(path, node, f'{name} stands in line {lines[name]}, too: leave one out')
    lines[name] = _line(node)


def _parts(path, part, above: list) -> Iterator[tuple]:
    """Yield (node's name, key below it, value of ros__parameters) of what stands under keys."""
    for key, value in items(part):
        if key.value == KEY and not above:
            raise _problem(path, key, f'no node is named above {KEY}: write /**: above it, for '
                           'all nodes, or the name of one')
        if key.value == KEY:
            yield '/' + '/'.join(word.value.strip('/') for word in above), above[-1], value
        elif isinstance(value, yaml.MappingNode):
            yield from _parts(path, value, [*above, key])
        else:
            raise _problem(path, value, f'{_shown(value)} stands outside of {KEY}'
                           f'{_misspelt([*above, key])}: {FORM}')


def _misspelt(keys) -> str:
    nearest = [key.value for key in keys if get_close_matches(key.value, [KEY], 1, 0.6)]
    return f' (is {nearest[0]} meant to be {KEY}?)' if nearest else ''


def _values(path, part, lines: dict) -> dict:
    """Return {parameter: value} of ros__parameters; lines: of those this node has already."""
    if not isinstance(part, yaml.MappingNode):
        raise _problem(path, part, f'{KEY} has no parameters under it, but {_shown(part)}: {FORM}')
    values = {}
    for name, key, value in _flat(part):
        _check_new(path, key, name, lines)
        values[name] = _value(path, name, value)
    return values


def _flat(part, prefix='') -> Iterator[tuple]:
    """Yield (name with dots, key, value) of all that stands under ros__parameters."""
    for key, value in items(part):
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _flat(value, f'{prefix}{key.value}.')
        else:
            yield prefix + key.value, key, value


def _value(path, name: str, node):
    """Return the value of a parameter; raises ConfigError for one that ROS has no type for."""
    if isinstance(node, yaml.MappingNode) or node.tag == NOTHING:
        raise _problem(path, node, f"{name} has no value: give it one ('' for an empty text), or "
                       'leave it out')
    if isinstance(node, yaml.ScalarNode):
        return scalar(node)
    kinds = {kind(item) for item in node.value}
    if len(kinds) > 1 or 'more' in kinds:
        raise _problem(path, node, f'{name} is a list of values of different kinds: write all as '
                       'numbers, all as texts in quotes, or all as true and false')
    values = [scalar(item) for item in node.value]
    return [*map(float, values)] if float in map(type, values) else values


def _problem(path, node, text: str) -> ConfigError:
    return ConfigError(f'{path}, line {_line(node)}: {text}')


def _line(node) -> int:
    return node.start_mark.line + 1


def _shown(node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.tag != NOTHING else 'nothing'
    return 'a list' if isinstance(node, yaml.SequenceNode) else 'a mapping'
