# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of a node in a YAML file as ROS takes it, for who has no ROS node."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from ..support.requirements import missing_modules_as

SECTION = 'ros__parameters'


def parameters_of(path, node: str = 'vla_node') -> dict:
    """
    Return the parameters that a YAML file gives a node, by name with dots.

    Later sections win over earlier ones, as in ROS.  Raises ConfigError for a file that cannot be
    read, or has nothing for that node.
    """
    content = _content(path)
    sections = list(_sections(content, ''))
    if not sections:
        raise ConfigError(f'--config {path} has no section {SECTION}: expected "/**:" or '
                          f'"{node}:" with {SECTION}: below it')
    found, matched = {}, False
    for name, parameters in sections:
        if _is_for(name, node):
            matched = True
            found.update(_flat(parameters, ''))
    if not matched:
        names = [name for name, _ in sections]
        raise ConfigError(f'--config {path} has nothing for {node}: its sections are for '
                          f'{names} (/** is for all)')
    return found


def _content(path):
    with missing_modules_as(ConfigError):
        import yaml
    try:
        return yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise ConfigError(f'--config {path} cannot be read: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'--config {path} is no YAML: {error}') from error


def _sections(part, name):
    for key, value in part.items() if isinstance(part, dict) else ():
        if key == SECTION:
            yield name, value if isinstance(value, dict) else {}
        else:
            yield from _sections(value, f'{name}/{str(key).lstrip("/")}')


def _is_for(section: str, node: str) -> bool:
    parts = section.strip('/').split('/')
    return parts[-1] in ('**', '*', node)


def _flat(parameters, prefix):
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value
