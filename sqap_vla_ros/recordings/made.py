# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""ROS messages made of plain values, without ROS: what bags are written from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

_TEXTS = ('string', 'wstring')


@lru_cache(maxsize=1)
def standard_types():
    """Return rosbags' store of the types that a ROS 2 installation has; imports rosbags."""
    from rosbags.typesys import get_typestore, Stores
    return get_typestore(Stores.ROS2_JAZZY)


def made(store, kind: str, values: Mapping):
    """
    Return a message of a type; what values leave out is zero, empty or false.

    kind: such as sensor_msgs/msg/Image.  values: {field: number, text, list, array, or a mapping
    for a message in it}.  Raises ValueError for a field that the type does not have.
    """
    fields = store.fielddefs[kind][1]
    unknown = set(values) - {name for name, _ in fields}
    if unknown:
        raise ValueError(f'{kind} has no fields {sorted(unknown)}, but '
                         f'{[name for name, _ in fields]}')
    return store.types[kind](**{
        name: _value(store, node, values.get(name)) for name, node in fields})


def serialized(store, kind: str, values: Mapping) -> bytes:
    """Return a message as `made` makes it in its serialized form (CDR)."""
    return bytes(store.serialize_cdr(made(store, kind, values), kind))


def _value(store, node, value):
    """Return a field's value; node: its type as rosbags describes it."""
    from rosbags.interfaces import Nodetype
    form, detail = node
    if form == Nodetype.NAME:
        return made(store, detail, value or {})
    if form == Nodetype.BASE:
        return _nothing(detail[0]) if value is None else value
    (form, detail), length = detail
    if form == Nodetype.NAME:
        return [made(store, detail, each) for each in value or ()]
    if detail[0] in _TEXTS:
        return list(value or ())
    dtype = {'octet': 'uint8', 'byte': 'uint8', 'char': 'uint8'}.get(detail[0], detail[0])
    return np.zeros(length, dtype) if value is None else np.asarray(value, dtype)


def _nothing(name: str):
    if name in _TEXTS:
        return ''
    return False if name == 'bool' else 0


def stamp_values(time_ns: int) -> dict:
    """Return the fields of a builtin_interfaces/Time or Duration."""
    return {'sec': time_ns // 10**9, 'nanosec': time_ns % 10**9}


def header_values(stamp_ns: int, frame_id: str = '') -> dict:
    """Return the fields of a std_msgs/Header."""
    return {'stamp': stamp_values(stamp_ns), 'frame_id': frame_id}


def transform_values(pose, stamp_ns: int, parent: str, child: str) -> dict:
    """Return the fields of a TransformStamped that takes child coordinates to parent; pose: m."""
    translation = dict(zip('xyz', map(float, pose.translation)))
    rotation = dict(zip('xyzw', map(float, pose.quaternion)))
    return {'header': header_values(stamp_ns, parent), 'child_frame_id': child,
            'transform': {'translation': translation, 'rotation': rotation}}
