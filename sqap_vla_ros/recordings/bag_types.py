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
import struct

from .parts import Channel
from ..errors import ObservationError

LANGUAGES = ('ros2msg', 'ros2idl', 'omgidl')
DISTROS = ('humble', 'jazzy', 'lyrical')  # of a bag that does not tell; without definitions, the
# first is the likely one: later ones write them into each bag


class Types:
    """Reads messages of the types of a bag."""

    def __init__(self, distro: str = ''):
        """Take the name of the distribution that wrote the bag, '' for unknown."""
        self._distros = tuple(dict.fromkeys((distro, *DISTROS) if distro else DISTROS))
        self._stores, self._readers = {}, {}

    def reader(self, channel: Channel) -> Callable[[bytes], object]:
        """Return what makes objects of a channel's messages; see read."""
        key = channel.kind, channel.definition
        if key not in self._readers:
            self._readers[key] = _Reader(self, *key)
        return self._readers[key]

    def defaults(self, kind: str):
        """Return a store that knows a type by heart, None if no distribution has it."""
        for distro in self._distros:
            store = self._store(distro)
            if store is not None and kind in store.fielddefs:
                return store
        return None

    def _store(self, distro):
        from rosbags.typesys import get_typestore, Stores
        if distro not in self._stores:
            name = f'ros2_{distro}'
            known = name in {item.value for item in Stores}
            self._stores[distro] = get_typestore(Stores(name)) if known else None
        return self._stores[distro]


class _Reader:
    """Reads the messages of one type."""

    def __init__(self, types, kind, definition):
        self._types, self._kind, self._definition = types, kind, definition
        self._store = None

    def __call__(self, data: bytes) -> object:
        """Return the message; raise ObservationError for a damaged one or an unknown type."""
        from rosbags.serde import SerdeError
        if self._store is None:
            self._store = self._embedded() or self._by_heart()
        try:
            return self._store.deserialize_cdr(data, self._kind)
        except (SerdeError, struct.error, ValueError, IndexError) as error:
            raise ObservationError(
                f'a {self._kind} of {len(data)} bytes is damaged: {error}') from error

    def _embedded(self):
        """Return a store of the bag's own definition, None where that cannot be used."""
        from rosbags.typesys import get_types_from_idl, get_types_from_msg, TypesysError
        language, text = self._definition or ('', '')
        if language not in LANGUAGES or not text.strip():
            return None
        try:
            types = (get_types_from_msg(text, self._kind) if language == 'ros2msg'
                     else get_types_from_idl(text))
            return self._completed(types)
        except (TypesysError, KeyError, ValueError, SyntaxError):
            return None

    def _completed(self, types):
        """Return a store of types and, of those that they name, the ones known by heart."""
        from rosbags.typesys import get_typestore, Stores
        if self._kind not in types:
            return None
        store = get_typestore(Stores.EMPTY)
        for name in list(types):
            if name in store.fielddefs:
                del types[name]
        store.register(types)
        missing = _named(store.fielddefs) - store.fielddefs.keys()
        while missing:
            name = missing.pop()
            other = self._types.defaults(name)
            if other is None:
                return None
            store.register({name: other.fielddefs[name]})
            missing = _named(store.fielddefs) - store.fielddefs.keys()
        return store

    def _by_heart(self):
        store = self._types.defaults(self._kind)
        if store is None:
            raise ObservationError(
                f'the type {self._kind} is not known, and the bag holds no definition of it that '
                'can be used: record it again with ROS 2 Jazzy or later, which writes '
                'definitions into the bag')
        return store


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
