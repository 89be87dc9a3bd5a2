# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What files, -p and launch gave the node: nothing of it may be lost without a word.

rclpy passes silently over a misspelt parameter and over the sections of a file that are for nodes
of other names; a robot would run with the defaults in the place of its own limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from sqap_vla_ros.errors import ConfigError
import yaml

from .config import PER_CAMERA

ROS_OWN = ('use_sim_time', 'start_type_description_service')  # undeclared on some distributions
ROS_OWN_PREFIX = 'qos_overrides.'
ALIKE = 0.85  # of two node names, 1 if they are the same


def check_overrides(node, known: Iterable[str], arguments: Sequence[str] = ()) -> None:
    """
    Raise ConfigError for what reaches nobody, with the nearest name.

    known: names of the node's parameters.  arguments: the process's, for the files among them.
    """
    problems = [*unknown_parameters(node, known), *unheard_files(node, arguments)]
    if problems:
        raise ConfigError(' '.join(problems))


def overrides(node) -> Mapping:
    """Return the parameters that files, -p and launch gave a node, by name."""
    return node._parameter_overrides  # rclpy shows those alone that were declared


def unknown_parameters(node, known: Iterable[str]) -> list[str]:
    """Return what to say of given parameters that the node does not have."""
    problems = []
    for name in overrides(node):
        if not (node.has_parameter(name) or name in ROS_OWN or name.startswith(ROS_OWN_PREFIX)):
            nearest = get_close_matches(name, known, 1, 0.5)
            camera, _, rest = name.partition('.')
            if rest in PER_CAMERA:
                problems.append(_unknown_camera(node, camera, rest))
                continue
            problems.append(f'parameter {name} is unknown: ' + (
                f'did you mean {nearest[0]}?' if nearest else
                'is it for another node? What stands under /** reaches this one, too'))
    return problems


def _unknown_camera(node, camera: str, rest: str) -> str:
    """Return what to say of a parameter of a camera that is not there."""
    cameras = [name for name in node.get_parameter_or('cameras').value or () if name]
    nearest = get_close_matches(camera, cameras, 1, 0.5)
    return (f'parameter {camera}.{rest} is of a camera {camera!r}, and cameras has {cameras}: '
            + (f'did you mean {nearest[0]}.{rest}?' if nearest else
               f'add {camera} to cameras, or set {rest}' if not cameras else
               f'add {camera} to cameras'))


def unheard_files(node, arguments: Sequence[str]) -> list[str]:
    """Return what to say of parameter files that nothing arrives of, or perhaps not all."""
    paths = [path for flag, path in zip(arguments, arguments[1:]) if flag == '--params-file']
    return [problem for path in paths for problem in _problems(node, path)]


def _problems(node, path) -> list[str]:
    sections, own = _sections(path), node.get_fully_qualified_name()
    if sections and not set().union(*sections.values()) & set(overrides(node)):
        return [f'nothing in the parameter file {path} is for this node: its sections are for '
                f'{sorted(sections)}, this is {own} (/** is for all)']
    name = own.rpartition('/')[2]
    found = {section: section.rpartition('/')[2] for section in sections}
    if name in found.values():
        return []
    return [f'section {section} of the parameter file {path} is not for this node, which is '
            f'{own}: did you mean {name}? If not, give {name} a section of its own, too'
            for section, last in found.items() if get_close_matches(last, [name], 1, ALIKE)]


def _sections(path) -> dict[str, set[str]]:
    """Return the names of the parameters in a file by the node's name that they stand under."""
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError):
        return {}  # rclpy has refused it, or launch has removed its temporary file
    found, rest = {}, [('', content)]
    while rest:
        prefix, part = rest.pop()
        for key, value in part.items() if isinstance(part, dict) else ():
            if key == 'ros__parameters':
                found[prefix] = set(value or ())
            else:
                rest.append((f'{prefix}/{str(key).lstrip("/")}', value))
    return found
