# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters, options and messages as Markdown."""

from dataclasses import Field, fields
from math import inf
from pathlib import Path

from sqap_vla_ros.options import flag_name, known, OPTIONS, parameter_name, plain_default
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from sqap_vla_ros.ros.vla import option_groups
from sqap_vla_ros.ros.vla.config import PARAMETERS

HEAD = '| parameter | type, default | range | live | what it is |\n|---|---|---|---|---|\n'
TYPES = {bool: 'bool', int: 'integer', float: 'double', str: 'string'}


def row(*cells) -> str:
    """Return one row of a table."""
    texts = [str(cell).replace('|', '\\|').replace('<', '&lt;') for cell in cells]
    return f'| {" | ".join(texts)} |\n'


def value_text(value) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, (list, tuple)):
        if len(value) > 1 and len(set(value)) == 1 and isinstance(value[0], float):
            return f'{len(value)} times {value_text(value[0])}'
        return '[' + ', '.join(map(value_text, value)) + ']'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return {inf: '.inf', -inf: '-.inf'}.get(value, repr(value))
    return "''" if value == '' else str(value)


def type_text(value) -> str:
    """Return the type that ROS has for a value."""
    if isinstance(value, (list, tuple)):
        return f'{TYPES[type(value[0]) if value else str]}[]'
    return TYPES[type(value)]


def range_text(item: Field) -> str:
    """Return what values are taken; '' for any."""
    facts = known(item)
    if facts.choices:
        return ', '.join(f'`{choice}`' for choice in facts.choices)
    return '' if facts.low is None else f'{value_text(facts.low)} .. {value_text(facts.high)}'


def parameter_row(name: str, item: Field, live: bool = True) -> str:
    """Return the row of a parameter; live: whether that column is there."""
    default = plain_default(item)
    cells = [f'`{name}`', f'{type_text(default)}, `{value_text(default)}`', range_text(item)]
    cells += ['yes' if known(item).live else ''] if live else []
    return row(*cells, known(item).description)


def parameter_tables() -> str:
    """Return the parameters of vla_node, a table a group."""
    groups = {'The policy': ('What is loaded, and how it is run.', [
        *((name, PARAMETERS[name]) for name in ('checkpoint', 'hardware_id')),
        *((parameter_name(item), item) for item in OPTIONS)])}
    for title, kind in (('What it sees', option_groups.InputOptions),
                        ('What it commands', option_groups.OutputOptions),
                        ('Who starts and stops it', option_groups.StartOptions),
                        ('Limits', option_groups.LimitOptions),
                        ('Joints', option_groups.JointOptions),
                        ('Time, and doubts', option_groups.TimeOptions)):
        groups[title] = (kind.__doc__.strip(), [(item.name, item) for item in fields(kind)])
    missing = set(PARAMETERS) - {name for _, items in groups.values() for name, _ in items}
    if missing:
        raise KeyError(f'parameters in no group of this page: {sorted(missing)}')
    return '\n'.join(
        f'### {title}\n\n{text}\n\n{HEAD}' + ''.join(parameter_row(*item) for item in items)
        for title, (text, items) in groups.items())


def simulator_table() -> str:
    """Return the parameters of libero_sim_node."""
    return ('| parameter | type, default | range | what it is |\n|---|---|---|---|\n' + ''.join(
        parameter_row(item.name, item, live=False) for item in fields(SimSettings)))


def policy_table() -> str:
    """Return the fields of PolicyOptions with the names that they have elsewhere."""
    return ('| field | default | on the command line | parameter of the node | what it is |\n'
            '|---|---|---|---|---|\n' + ''.join(
                row(f'`{item.name}`', f'`{item.default!r}`', f'`{flag_name(item)}`',
                    f'`{parameter_name(item)}`', known(item).description) for item in OPTIONS))


def message_texts(root: Path) -> str:
    """Return our messages and actions as they are defined."""
    return '\n'.join(
        f'### {path.stem}\n\n```text\n{path.read_text(encoding="utf-8").strip()}\n```\n'
        for path in sorted([*root.glob('action/*.action'), *root.glob('msg/*.msg')]))
