# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What numbers, words and lists of YAML are to ROS, which reads them as C does: 1e-3, 010, on, y.

A list that has 1 beside 0.5 it refuses; such lists are made decimal on the way in.
"""

from collections.abc import Iterator
import re

import yaml

WHOLE = re.compile(r'[-+]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)')
DECIMAL = re.compile(r'[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|'
                     r'\.?(inf|Inf|INF|nan|NaN|NAN)|(?i:infinity))')
TRUTHS = {spelt: truth for words, truth in (('y yes true on', True), ('n no false off', False))
          for word in words.split() for spelt in (word, word.capitalize(), word.upper())}
NOTHING = 'tag:yaml.org,2002:null'


def scalar(node: yaml.ScalarNode) -> bool | int | float | str:
    """Return what ROS makes of a scalar of YAML."""
    text = node.value
    if node.style is not None:
        return text
    if text in TRUTHS:
        return TRUTHS[text]
    if WHOLE.fullmatch(text):
        digits = text.lstrip('+-').lower()
        return int(text, 16 if 'x' in digits else 8 if digits.startswith('0') else 10)
    return float(re.sub(r'\.(?=[a-zA-Z])', '', text)) if DECIMAL.fullmatch(text) else text


def kind(node) -> str:
    """Return 'number', 'bool', 'str' or 'more' for what a node of YAML is to ROS."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == NOTHING:
        return 'more'
    kind = type(scalar(node)).__name__
    return 'number' if kind in ('int', 'float') else kind


def with_decimal_lists(text: str) -> str:
    """Return YAML in which numbers that stand beside decimal ones in a list are decimal, too."""
    try:
        root = yaml.compose(text)
    except yaml.YAMLError:
        return text
    found = [item for part in all_nodes(root) for item in _whole_beside_decimal(part)]
    for node in sorted(found, key=lambda node: -node.start_mark.index):
        first, last = node.start_mark.index, node.end_mark.index
        text = f'{text[:first]}{float(scalar(node))}{text[last:]}'
    return text


def _whole_beside_decimal(part) -> list:
    """Return the whole numbers of a list that has decimal ones, too, and nothing else."""
    if not isinstance(part, yaml.SequenceNode) or {*map(kind, part.value)} != {'number'}:
        return []
    whole = [item for item in part.value if isinstance(scalar(item), int)]
    return whole if len(whole) < len(part.value) else []


def all_nodes(root) -> Iterator[yaml.Node]:
    """Yield each node of YAML once, however often it is referred to."""
    rest, seen = [root] if root else [], set()
    while rest:
        part = rest.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        rest += [node for pair in items(part) for node in pair]
        rest += part.value if isinstance(part, yaml.SequenceNode) else ()


def items(part):
    return part.value if isinstance(part, yaml.MappingNode) else ()
