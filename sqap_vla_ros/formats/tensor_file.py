# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A .safetensors file that is written tensor by tensor, in any order, with little memory.

Its size is known and taken from the disk before the first value is written.  The format is
https://huggingface.co/docs/safetensors: eight bytes with the header's length, a JSON header, then
the values without holes, those of the widest types first so that all are aligned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import json
import math
import os
from pathlib import Path
import zlib

import torch

from .tensors import SAFETENSORS_TYPES

_NAMES = {dtype: name for name, dtype in SAFETENSORS_TYPES.items()}
_PIECE = 2 ** 24
Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]


def tensor_bytes(dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    """Return the size of a tensor."""
    return math.prod(shape) * dtype.itemsize


def layout_bytes(layout: Layout) -> int:
    """Return the size of all tensors of a layout."""
    return sum(tensor_bytes(*entry) for entry in layout.values())


class TensorFile:
    """An open file for the tensors of `layout`, {name: (type, shape)}."""

    def __init__(self, path, layout: Layout):
        """
        Open the file; make it, or make it anew if it is not for this layout.

        is_new tells which.  Raises OSError where there is no room for all of it.
        """
        self.path, self._layout = Path(path), dict(layout)
        header, self._offsets, self.size = _header(self._layout)
        self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), 'r+b',
                               buffering=0)
        self.is_new = self._file.read(len(header)) != header or (
            os.fstat(self._file.fileno()).st_size != self.size)
        if self.is_new:
            self._file.truncate(0)
            os.posix_fallocate(self._file.fileno(), 0, self.size)
            self._file.seek(0)
            self._write(header)

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Write one tensor; raise ValueError unless it has the type and shape of the layout."""
        if (tensor.dtype, tuple(tensor.shape)) != self._layout[name]:
            raise ValueError(f'{name}: {tensor.dtype} {tuple(tensor.shape)} is to be written, '
                             f'the layout has {self._layout[name]}')
        self._file.seek(self._offsets[name])
        self._write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())

    def checksum(self, names: Iterable[str]) -> int:
        """Return the CRC-32 of the values of some tensors, as they are in the file."""
        value = 0
        for name in names:
            left = tensor_bytes(*self._layout[name])
            self._file.seek(self._offsets[name])
            while left:
                piece = self._file.read(min(left, _PIECE))
                if not piece:  # it was cut while it was open
                    return -1
                value, left = zlib.crc32(piece, value), left - len(piece)
        return value

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, content) -> None:
        content = memoryview(content)
        while content:
            content = content[self._file.write(content):]


def _header(layout: Layout) -> tuple[bytes, dict[str, int], int]:
    """Return the first bytes of the file, each tensor's place in it, and its size."""
    entries, places, end = {'__metadata__': {'format': 'pt'}}, {}, 0
    for name in sorted(layout, key=lambda name: (-layout[name][0].itemsize, name)):
        dtype, shape = layout[name]
        places[name], end = end, end + tensor_bytes(dtype, shape)
        entries[name] = {'dtype': _NAMES[dtype], 'shape': list(shape),
                         'data_offsets': [places[name], end]}
    text = json.dumps(entries, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    first = 8 + len(text)
    return (len(text).to_bytes(8, 'little') + text,
            {name: first + place for name, place in places.items()}, first + end)
