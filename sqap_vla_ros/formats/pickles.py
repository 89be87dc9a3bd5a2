# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Tensors in a .pt file that torch.save wrote, read one by one and without running any of it.

Such a file is a zip of a pickle, data.pkl, which says what the tensors are, and their values,
data/0 and on, uncompressed.  The pickle is read with an unpickler that knows the handful of names
that tensors need.  torch.load can only map such a file writable, which Linux refuses for one that
is larger than the machine's memory: CogACT's have 30 GB.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
import errno
import math
from pathlib import Path
import pickle
import struct
import zipfile
import zlib

import torch

from .downloads import damage
from .reading import unreadable
from .tensors import TensorReader, wrapper
from ..errors import CheckpointError

_STORAGES = {f'{name}Storage': dtype for name, dtype in (
    ('Double', torch.float64), ('Float', torch.float32), ('Half', torch.float16),
    ('BFloat16', torch.bfloat16), ('Long', torch.int64), ('Int', torch.int32),
    ('Short', torch.int16), ('Char', torch.int8), ('Byte', torch.uint8), ('Bool', torch.bool))}
_DAMAGES = (zipfile.BadZipFile, pickle.UnpicklingError, zlib.error, struct.error, OSError,
            EOFError, ValueError, TypeError, AttributeError, LookupError, StopIteration,
            RuntimeError, MemoryError, OverflowError)
_NESTS = ('state_dict', 'model', 'model_state_dict')  # what may be round a part's tensors
_LOCAL_HEADER = 30  # bytes of a zip entry's own header, before its name and extra field


class _RefusedError(Exception):
    """The pickle is for more than tensors."""


class _Unchangeable:
    """What no instruction of a pickle can change once it is made."""

    def __setstate__(self, state):
        raise _RefusedError(f'it changes a {type(self).__name__}')


@dataclass(frozen=True)
class Storage(_Unchangeable):
    """Values of one type in the file, `count` of them, under data/`key`."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class Entry(_Unchangeable):
    """A tensor: where its values are in a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def span(self) -> int:
        """Return the number of values from its first to its last one."""
        if not math.prod(self.shape):
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride))


class _Unpickler(pickle.Unpickler):
    """Build entries; refuse every name that tensors do not need."""

    def find_class(self, module, name):
        if (module, name) in _NAMES:
            return _NAMES[module, name]
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise _RefusedError(f'it refers to {module}.{name}')

    def persistent_load(self, identity):
        kind, dtype, key, _, count = identity
        if kind != 'storage' or not isinstance(dtype, torch.dtype):
            raise _RefusedError(f'it refers to {kind!r}')
        return Storage(str(key), dtype, int(count))


def _entry(storage: Storage, offset, shape, stride, requires_grad=False, hooks=None,
           metadata=None) -> Entry:
    """Stand for torch._utils._rebuild_tensor_v2; metadata says how values are to be changed."""
    if metadata:
        raise _RefusedError(f'a tensor with {metadata}')
    return Entry(storage, offset, tuple(shape), tuple(stride))


def _first(value, *_):
    """Stand for torch._utils._rebuild_parameter."""
    return value


_NAMES = {
    ('collections', 'OrderedDict'): OrderedDict, ('torch', 'Size'): tuple,
    ('torch._utils', '_rebuild_tensor_v2'): _entry,
    ('torch._utils', '_rebuild_parameter'): _first,
    **{('torch', name): dtype for name, dtype in _STORAGES.items()}}


class PickleReader(TensorReader):
    """A .pt file of {'model': {group: {name: tensor}}}. Names are 'group.name'."""

    notes = ()

    def __init__(self, path: Path):
        """Read what is in the file; CheckpointError for a damaged one, or one with code in it."""
        self.path = Path(path)
        self.files = [self.path]
        self._places: dict[str, tuple[int, int]] = {}
        self._entries = self._named(self._content())
        for name, entry in self._entries.items():
            try:
                self._check(entry)
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                raise self._damaged(f'{name}: {error}') from error
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}
        self.dtypes = {name: entry.storage.dtype for name, entry in self._entries.items()}

    def read(self, name: str) -> torch.Tensor:
        """
        Return a copy of a tensor.

        Raises UnreadableError where the disk fails, and CheckpointError for a file that has
        changed since it was opened.
        """
        entry = self._entries[name]
        values = torch.empty(entry.span, dtype=entry.storage.dtype)
        first = self._places[entry.storage.key][0] + entry.offset * values.itemsize
        try:
            with self.path.open('rb') as file:
                file.seek(first)
                found = file.readinto(memoryview(values.view(torch.uint8).numpy()))
        except OSError as error:
            raise unreadable(self.path, error) from error
        if found != values.nbytes:
            raise self._damaged(f'{name} ends early')
        return values.as_strided(entry.shape, entry.stride)

    def maps(self, name: str) -> bool:
        """Whether a tensor shares the file's pages: what read() returns is the caller's own."""
        return False

    def _named(self, content) -> dict[str, Entry]:
        """Return the entries of a file's content by name; raise CheckpointError for others."""
        groups = content.get('model') if isinstance(content, dict) else None
        if not isinstance(groups, dict) or not all(map(_is_state, groups.values())):
            raise CheckpointError(f'{self.path} is no CogACT checkpoint: expected a dict "model" '
                                  f'of parts, each with its tensors by name, found '
                                  f'{_described(content)}')
        return {f'{group}.{name.removeprefix(wrapper(entries))}': entry
                for group, entries in groups.items() for name, entry in entries.items()}

    def _content(self):
        """Return what was pickled, tensors as entries, and note where the values are."""
        try:
            with self.path.open('rb') as opened, zipfile.ZipFile(opened) as archive:
                pickled = next(name for name in archive.namelist() if name.endswith('/data.pkl'))
                self._find_values(archive, pickled.removesuffix('data.pkl'))
                with archive.open(pickled) as file:
                    return _Unpickler(file).load()
        except _RefusedError as error:
            raise CheckpointError(
                f'{self.path} holds more than tensors and was not loaded, because such a file '
                'can run any code: take the checkpoint from its authors, or save only its '
                f'tensors ({error})') from error
        except _DAMAGES as error:
            cause = error if isinstance(error, OSError) else error.__context__
            # what is cut off makes a zip's reader seek before the first byte
            if isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL):
                raise unreadable(self.path, cause) from error
            raise self._damaged(error) from error

    def _find_values(self, archive: zipfile.ZipFile, prefix: str) -> None:
        """Note {storage: place and length in the file}; raise ValueError if it has none."""
        names = set(archive.namelist())
        if prefix + 'byteorder' in names and archive.read(prefix + 'byteorder') != b'little':
            raise ValueError('its numbers are big-endian')
        with self.path.open('rb') as file:
            for info in archive.infolist():
                if info.filename.startswith(prefix + 'data/'):
                    if info.compress_type != zipfile.ZIP_STORED:
                        raise ValueError('its tensors are compressed')
                    file.seek(info.header_offset)
                    header = file.read(_LOCAL_HEADER)
                    lengths = sum(int.from_bytes(header[at:at + 2], 'little') for at in (26, 28))
                    self._places[info.filename.removeprefix(prefix + 'data/')] = (
                        info.header_offset + _LOCAL_HEADER + lengths, info.file_size)

    def _check(self, entry: Entry) -> None:
        """Raise CheckpointError unless an entry is within its storage, and this in the file."""
        storage = entry.storage
        numbers = (entry.offset, storage.count, *entry.shape, *entry.stride)
        if not all(type(number) is int and 0 <= number < 2 ** 48 for number in numbers) or (
                len(entry.shape) != len(entry.stride)
                or entry.offset + entry.span > storage.count):
            raise self._damaged(f'a tensor {entry.shape} does not fit its {storage}')
        _, length = self._places.get(storage.key, (0, -1))
        if length < storage.count * storage.dtype.itemsize:
            raise self._damaged(f'data/{storage.key} has {length} bytes')

    def _damaged(self, reason) -> CheckpointError:
        return CheckpointError(f'{self.path} cannot be read' + damage(
            self.path, reason, 'it is truncated or damaged, copy it again (one of torch before '
            '1.6 must be loaded and saved again)'))


class StateReader(PickleReader):
    """A .pt file of {name: tensor}, such as one part of a network's state_dict() gives."""

    def _named(self, content) -> dict[str, Entry]:
        for key in _NESTS:
            inner = content.get(key) if isinstance(content, dict) else None
            content = inner if inner and _is_state(inner) else content
        if not _is_state(content) or not content:
            raise CheckpointError(f'{self.path} is no part of a network: expected its tensors by '
                                  f'name, found {_described(content)}: download it again')
        return dict(content)


def _described(content) -> object:
    """Return what there is instead of tensors, in short."""
    return sorted(map(str, content))[:4] if isinstance(content, dict) else type(content)


def _is_state(group) -> bool:
    return isinstance(group, dict) and all(
        isinstance(name, str) and isinstance(entry, Entry) for name, entry in group.items())
