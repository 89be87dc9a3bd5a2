# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From serialized messages to objects with the fields of their types, without ROS.

A type is what the bag says that it is, and where it says nothing, what the distribution that
wrote it has. Nothing is parsed before a message of the type is read: a type of somebody's own
that cannot be read disturbs nobody who does not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
import struct

from .parts import Channel
from ..errors import ObservationError

LANGUAGES = ('ros2msg', 'ros2idl', 'omgidl')
DISTROS = ('humble', 'jazzy', 'lyrical')  # of a bag that does not tell; without definitions, the
# first is the likely one: later ones write them into each bag


def reader(channel: Channel, distro: str = '') -> Callable[[bytes], object]:
    """
    Return what makes objects of a channel's messages.

    distro: that wrote the bag, '' for unknown.  It raises ObservationError for a damaged message
    and for a type that is not known.
    """
    distros = tuple(dict.fromkeys((distro, *DISTROS) if distro else DISTROS))
    return partial(_read, channel.kind, channel.definition, distros)


def type_store(channel: Channel, distro: str = ''):
    """Return rosbags' store in which a channel's type is as it was written, None for none."""
    distros = tuple(dict.fromkeys((distro, *DISTROS) if distro else DISTROS))
    return (_by_definition(channel.kind, channel.definition, distros)
            or _by_heart(channel.kind, distros))


def _read(kind, definition, distros, data) -> object:
    told, known = _by_definition(kind, definition, distros), _by_heart(kind, distros)
    if told is None and known is None:
        raise ObservationError(
            f'the type {kind} is not known, and the bag holds no definition of it that can be '
            'used: record it again with ROS 2 Jazzy or later, which writes definitions into the '
            'bag')
    try:
        return _message(told or known, kind, data)
    except ObservationError:
        if told is None or known is None:
            raise
        return _message(known, kind, data)  # some bags hold definitions that are none


def _message(store, kind, data):
    from rosbags.serde import SerdeError
    try:
        return store.deserialize_cdr(memoryview(data), kind)  # it makes a copy of bytes
    except (SerdeError, struct.error, ValueError, IndexError) as error:
        raise ObservationError(f'a {kind} of {len(data)} bytes is damaged: {error}') from error


@lru_cache(maxsize=256)
def _by_definition(kind, definition, distros):
    """Return a store that knows a type by the bag's own definition, None where that is none."""
    from rosbags.typesys import get_types_from_idl, get_types_from_msg, TypesysError
    language, text = definition or ('', '')
    if language not in LANGUAGES or not text.strip():
        return None
    parse = partial(get_types_from_msg, name=kind) if language == 'ros2msg' \
        else get_types_from_idl
    try:
        store = _completed(parse(text), distros)
    except (TypesysError, KeyError, ValueError, SyntaxError):
        return None
    return store if store is not None and kind in store.fielddefs else None


def _completed(types, distros):
    """Return a store of types and, of those that they name, the ones known by heart."""
    from rosbags.typesys import get_typestore, Stores
    store = get_typestore(Stores.EMPTY)
    store.register({name: fields for name, fields in types.items()
                    if name not in store.fielddefs})
    while missing := _named(store.fielddefs) - store.fielddefs.keys():
        for name in missing:
            other = _by_heart(name, distros)
            if other is None:
                return None
            store.register({name: other.fielddefs[name]})
    return store


@lru_cache(maxsize=256)
def _by_heart(kind, distros):
    """Return a store of the first distribution that has a type, None if none has it."""
    stores = filter(None, map(_of_distro, distros))
    return next((store for store in stores if kind in store.fielddefs), None)


@lru_cache
def _of_distro(distro):
    from rosbags.typesys import get_typestore, Stores
    name = f'ros2_{distro}'
    return get_typestore(Stores(name)) if name in {item.value for item in Stores} else None


def _named(fielddefs) -> set[str]:
    """Return the types that fields are of."""
    from rosbags.interfaces import Nodetype
    names = set()
    for _, fields in fielddefs.values():
        for _, (node, what) in fields:
            if node != Nodetype.NAME and node != Nodetype.BASE:
                node, what = what[0]  # what an array or a sequence is of
            if node == Nodetype.NAME:
                names.add(what)
    return names
