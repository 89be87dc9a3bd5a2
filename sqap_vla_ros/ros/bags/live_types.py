# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Message types of this installation by their names, and as rosbags describes them.

Made from the messages' own classes, so that they are right for whatever distribution is sourced
and whatever types of somebody's own are built.
"""

from __future__ import annotations

from importlib import import_module
import re

from rosbags.interfaces import Nodetype
from rosbags.typesys import get_typestore, Stores

_BASE = {'boolean': 'bool', 'octet': 'byte', 'float': 'float32', 'double': 'float64'}
_ARRAY, _SEQUENCE = re.compile(r'(.+)\[(\d+)\]'), re.compile(r'sequence<(.+?)(?:, (\d+))?>')
_BOUNDED = re.compile(r'string<(\d+)>')
_NOTHING = 'structure_needs_at_least_one_member'  # what a message without fields is sent as
_ALIKE = {'char': 'uint8', 'byte': 'uint8', 'octet': 'uint8'}  # of one size


class UnknownType(Exception):
    """A type that is not installed, or that no bag can hold; the message says why."""


def message_class(kind: str):
    """Return the class of a type such as sensor_msgs/msg/Image; raise UnknownType."""
    package, _, name = kind.partition('/msg/')
    try:
        return getattr(import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownType(f'the type {kind} is not installed here: source the workspace that has '
                          f'{package}') from error


def installed_types():
    """Return an empty store for `add_type`."""
    return get_typestore(Stores.EMPTY)


def add_type(store, kind: str) -> None:
    """Add the installed type, and those of its fields, to a store; raise UnknownType."""
    if kind in store.fielddefs:
        return
    found = {}
    _collect(kind, found)
    store.register({name: fields for name, fields in found.items()
                    if name not in store.fielddefs})


def _collect(kind, found):
    fields = message_class(kind).get_fields_and_field_types() or {_NOTHING: 'uint8'}
    nodes = [(name, _node(text)) for name, text in fields.items()]
    found[kind] = ([], nodes)
    for _, node in nodes:
        name = _named(node)
        if name and name not in found:
            _collect(name, found)


def _node(text: str):
    """Return a field's type as rosbags describes it, of what rosidl calls it."""
    if match := _ARRAY.fullmatch(text):
        return Nodetype.ARRAY, (_node(match[1]), int(match[2]))
    if match := _SEQUENCE.fullmatch(text):
        return Nodetype.SEQUENCE, (_node(match[1]), int(match[2] or 0))
    if 'wstring' in text:
        raise UnknownType('its texts are wstrings, which bags of ours cannot hold')
    if match := _BOUNDED.fullmatch(text):
        return Nodetype.BASE, ('string', int(match[1]))
    if '/' in text:
        package, _, name = text.rpartition('/')
        return Nodetype.NAME, f'{package.removesuffix("/msg")}/msg/{name}'
    return Nodetype.BASE, (_BASE.get(text, text), 0)


def _named(node) -> str:
    """Return the message type that a node is or holds, '' for none."""
    form, what = node
    if form in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        form, what = what[0]
    return what if form == Nodetype.NAME else ''


def difference(kind: str, recorded, installed) -> str:
    """
    Return how a type differs in two stores in what is sent, '' where it does not.

    Names of fields do not count if their types are the same: they are not sent.
    """
    mine, theirs = (store.fielddefs[kind][1] for store in (installed, recorded))
    if len(mine) != len(theirs):
        names = [{name for name, _ in fields} for fields in (theirs, mine)]
        return (f'{kind} has {len(theirs)} fields in the bag and {len(mine)} here '
                f'({", ".join(sorted(names[0] ^ names[1]))})')
    for (name, here), (_, there) in zip(mine, theirs):
        if _plain(here) != _plain(there):
            return f'{kind}.{name} is of another type in the bag'
        if deeper := _named(here) and difference(_named(here), recorded, installed):
            return deeper
    return ''


def _plain(node):
    """Return a node without what does not change how it is sent: bounds, names of bytes."""
    form, what = node
    if form == Nodetype.ARRAY:
        return form, _plain(what[0]), what[1]
    if form == Nodetype.SEQUENCE:
        return form, _plain(what[0])
    return (form, _ALIKE.get(what[0], what[0])) if form == Nodetype.BASE else node
