# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Parameter files as launch hands them to a node, read before it: what would be lost is told.

rcl refuses some of it with a line of its parser and a node that does not start, and passes over
the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
import re

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.vla.config import PER_CAMERA
from sqap_vla_ros.ros.vla.overrides import ROS_OWN, ROS_OWN_PREFIX
import yaml

KEY = 'ros__parameters'
EXPECTED = f'expected a node name or /**, below it {KEY}, below that name: value'
DOUBLE = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+')  # which YAML 1.1 takes for a text


class _Loader(yaml.SafeLoader):
    """YAML's, that tells of a key which stands twice instead of forgetting the first."""

    def construct_mapping(self, node, deep=False):
        """Return a mapping; raises yaml.MarkedYAMLError for a key that was there before."""
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f'{name} stands twice', problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def parameters_of(path: Path, node: str, known: Iterable[str]) -> dict:
    """
    Return {name: value} of what a file has for a node; nested names are joined by dots.

    node: its fully qualified name.  known: names of its parameters.
    Raises ConfigError, naming the file, for one of which something would not arrive.
    """
    sections = _sections(path)
    mine = sorted(filter(lambda name: _is_for(name, node), sections),
                  key=lambda name: '*' not in name)  # what is for all is read first
    if not mine:
        near = get_close_matches(node, sections, 1, 0.6)
        raise ConfigError(
            f'{path}: nothing is for this node, {node}: its sections are for '
            f'{", ".join(sections)} (/** is for all)' + (
                f'. Did you mean {node} where it says {near[0]}?' if near else ''))
    values = {}
    for name in mine:
        values.update(_flat(path, sections[name]))
    _check_names(path, values, {*known, *ROS_OWN})
    return values


def _check_names(path, values: Iterable[str], known: set):
    problems = []
    for name in set(values) - known:
        if name.startswith(ROS_OWN_PREFIX) or name.partition('.')[2] in PER_CAMERA:
            continue
        near = get_close_matches(name, known, 1, 0.5)
        problems.append(f'parameter {name} is unknown'
                        + (f': did you mean {near[0]}?' if near else ''))
    if problems:
        raise ConfigError(f'{path}: {"; ".join(sorted(problems))}')


def _is_for(section: str, node: str) -> bool:
    """Return whether a section's name, with * for a name and ** for any, is a node's."""
    pattern = re.escape(section).replace(r'/\*\*', r'(/\w+)*').replace(r'/\*', r'/\w+')
    return re.fullmatch(pattern, node) is not None


def content_of(path: Path):
    """Return what a YAML file holds; raises ConfigError, with the line, where it is none."""
    try:
        content = yaml.load(Path(path).read_text(encoding='utf-8'), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} cannot be read: {error}') from error
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = f' line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        raise ConfigError(f'{path}{where}: {getattr(error, "problem", error)}: it is no YAML; '
                          'indent by blanks, and write name: value with a blank') from error
    if not content:
        raise ConfigError(f'{path} is empty')
    return content


def _sections(path) -> dict[str, Mapping]:
    """Return {node name: parameters} of a file, in its order; raises ConfigError for none."""
    content = content_of(path)
    if not isinstance(content, dict):
        kind = 'a list' if isinstance(content, list) else f'{str(content)[:40]!r}'
        raise ConfigError(f'{path} holds {kind}: {EXPECTED}')
    found, keys = {}, []
    _collect(content, '', found, keys)
    if not found:
        near = get_close_matches(KEY, keys, 1, 0.6)
        raise ConfigError(f'{path} has no {KEY}: '
                          + (f'did you mean it where it says {near[0]}?' if near else EXPECTED))
    for name, values in found.items():
        if not name:
            raise ConfigError(f'{path}: {KEY} stands at the top: {EXPECTED}')
        if not isinstance(values, dict) or not values:
            kind = 'a list' if isinstance(values, list) else repr(values) if values else 'empty'
            raise ConfigError(f'{path}: {KEY} of {name} is {kind}: expected name: value')
    return found


def _collect(part: Mapping, prefix: str, found: dict, keys: list):
    for key, value in part.items():
        keys.append(str(key))
        if key == KEY:
            found[prefix] = value
        elif isinstance(value, dict):
            _collect(value, f'{prefix}/{str(key).strip("/")}', found, keys)


def _flat(path, values: Mapping, prefix: str = '') -> dict:
    """Return {dotted name: value}; raises ConfigError for a value that ROS has no type for."""
    flat = {}
    for key, value in values.items():
        name = f'{prefix}{key}'
        if isinstance(value, dict):
            flat.update(_flat(path, value, f'{name}.'))
        else:
            flat[name] = _value(path, name, value)
    return flat


def _value(path, name: str, value):
    if value is None:
        raise ConfigError(f"{path}: parameter {name} has no value: write '' for an empty text")
    if isinstance(value, list):
        _check_list(path, name, [_number(item) for item in value])
        return [_number(item) for item in value]
    return _number(value)


def _number(value):
    """Return a number for a text that ROS takes for one, and the value else."""
    return float(value) if isinstance(value, str) and DOUBLE.fullmatch(value) else value


def _check_list(path, name: str, value: Sequence):
    kinds = {type(item) for item in value}
    if kinds == {int, float}:
        raise ConfigError(f'{path}: parameter {name} is {value}: ROS takes no list of whole '
                          'numbers and others; write 1.0 for 1')
    if len(kinds) > 1 or kinds & {list, dict, type(None)}:
        raise ConfigError(f'{path}: parameter {name} is {value}: ROS takes lists of texts, '
                          'numbers, or true and false')
