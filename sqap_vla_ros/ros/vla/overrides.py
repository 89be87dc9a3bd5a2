# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What files, -p and launch gave the node: nothing of it may be lost without a word.

rclpy passes silently over a misspelt parameter and over the sections of a file that are for nodes
of other names; a robot would run with the defaults in the place of its own limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
import re

from sqap_vla_ros.errors import ConfigError

from .config import PER_CAMERA
from ..parameter_files import ALIKE, given_files, read_sections, values_for, why_unheard

ROS_OWN = ('use_sim_time', 'start_type_description_service')
ROS_OWN_PREFIX = 'qos_overrides.'
OF_A_NODE = re.compile(r'([^:=]+):([^:=]+):=')


def check_overrides(node, known: Iterable[str], arguments: Sequence[str] = ()) -> None:
    """
    Raise ConfigError for what reaches nobody, with the nearest name.

    known: names of the node's parameters.  arguments: the process's, for the files among them.
    """
    problems = [*unknown_parameters(node, known), *unheard_files(node, arguments),
                *unheard_arguments(node, arguments)]
    if problems:
        raise ConfigError(' '.join(problems))


def overrides(node) -> Mapping:
    """Return the parameters that files, -p and launch gave a node, by name."""
    return node._parameter_overrides  # rclpy shows those alone that were declared


def unknown_parameters(node, known: Iterable[str]) -> list[str]:
    """Return what to say of given parameters that the node does not have."""
    return [unknown_parameter(node, name, known) for name in overrides(node)
            if not (node.has_parameter(name) or is_of_ros(name))]


def unknown_parameter(node, name: str, known: Iterable[str]) -> str:
    """Return what to say of a parameter that the node does not have, with the nearest name."""
    level, _, last = name.rpartition('.')
    if level and last in PER_CAMERA:
        return _unknown_camera(node, level, last)
    return unknown_name(name, known)


def unknown_name(name: str, known: Iterable[str]) -> str:
    """Return what to say of a parameter that is not known, with the nearest name."""
    level, _, last = name.rpartition('.')
    if level and last in known:
        return (f'parameter {name} is unknown: did you mean {last}? It stands under {level}, and '
                'belongs right under ros__parameters')
    nearest = get_close_matches(name, [*known, *ROS_OWN], 1, 0.5)
    return f'parameter {name} is unknown: ' + (
        f'did you mean {nearest[0]}?' if nearest else
        'is it for another node? What stands under /** reaches this one, too')


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
    own = node.get_fully_qualified_name()
    return [problem for path in given_files(arguments) for problem in _unheard(own, path)]


def unheard_arguments(node, arguments: Sequence[str]) -> list[str]:
    """Return what to say of `-p NODE:NAME:=VALUE` for a node that has nearly this one's name."""
    own, found = node.get_fully_qualified_name().rpartition('/')[2], []
    for flag, rule in zip(arguments, arguments[1:]):
        rule = OF_A_NODE.match(rule) if flag in ('-p', '--param') else None
        if rule and rule[1] != own and get_close_matches(rule[1], [own], 1, ALIKE):
            found.append(f'{flag} {rule[0]} is for a node {rule[1]}, this is {own}: did you mean '
                         f'{own}:{rule[2]}?')
    return found


def _unheard(own: str, path) -> list[str]:
    try:
        found = read_sections(path)
    except ConfigError:
        return []  # it was read when the process joined ROS; launch removes its temporary files
    return why_unheard(path, found, own)


def parameters_of(path, own: str, known: Iterable[str]) -> dict:
    """
    Return {name: value} of what a file has for a node that is not there yet.

    own: its fully qualified name.  known: names of its parameters.  Raises ConfigError, naming
    the file, where something would not arrive; cameras are not looked at.
    """
    values = values_for(path, own)
    problems = [unknown_name(name, known) for name in values if not (
        name in known or is_of_ros(name) or name.partition('.')[2] in PER_CAMERA)]
    if problems:
        raise ConfigError(f'{path}: {"; ".join(problems)}')
    return values


def is_of_ros(name: str) -> bool:
    """Return whether a parameter is one of ROS's own, which some distributions do not declare."""
    return name in ROS_OWN or name.startswith(ROS_OWN_PREFIX)
