# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Readers on top of readers: several files as one checkpoint, and adapters that are merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
import math
from pathlib import Path
import re

import torch

from .foreign import MERGE
from .tensors import forget_pages, INNER, TensorReader, wrapper
from ..errors import CheckpointError

_FIRST = re.compile(r'(.*)\.lora_A\.(?:default\.)?weight')
_BASE = '.base_layer.'


def unwrapped(reader) -> dict[str, str]:
    """Return {name without what trainers wrap round a network: name} of a reader."""
    prefix = wrapper(reader.shapes)
    return {INNER.sub('', name.removeprefix(prefix)): name for name in reader.shapes}


class JoinedReader(TensorReader):
    """Tensors of several readers; of one name the last reader's counts."""

    def __init__(self, path: Path, parts: Iterable[tuple[object, Mapping[str, str]]]):
        """Keep the readers; parts: each with {name here: name there}."""
        self.path = Path(path)
        self.files, self.notes = [], ()
        self._places = {}
        for reader, names in parts:
            self.files += reader.files
            self.notes += reader.notes
            self._places.update({ours: (reader, theirs) for ours, theirs in names.items()})
        self.shapes = {name: reader.shapes[theirs]
                       for name, (reader, theirs) in self._places.items()}
        self.dtypes = {name: reader.dtypes[theirs]
                       for name, (reader, theirs) in self._places.items()}

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor as it is on disk."""
        reader, theirs = self._places[name]
        return reader.read(theirs)

    def maps(self, name: str) -> bool:
        """Whether a tensor shares a file's pages."""
        reader, theirs = self._places[name]
        return reader.maps(theirs)

    def stored_bytes(self, name: str) -> int:
        """Return how much of the files a tensor is."""
        reader, theirs = self._places[name]
        return reader.stored_bytes(theirs)


class MergedReader(TensorReader):
    """
    A reader whose low-rank adapters are added to the weights that they are for, as these are read.

    L.lora_A and L.lora_B, of a linear layer or of a convolution, belong to L.base_layer or, where
    there is none, to L.  What is merged is float32.
    """

    def __init__(self, reader, factor: Callable[[int], float]):
        """factor: what an adapter of a rank is multiplied by.  Raises CheckpointError."""
        self.path, self.files, self.notes = reader.path, reader.files, reader.notes
        self._reader = reader
        self._pairs = dict(_pair(reader, name) for name in reader.shapes if _FIRST.fullmatch(name))
        self._factors = {name: factor(reader.shapes[first][0])
                         for name, (_, first, _) in self._pairs.items()}
        taken = {part for pair in self._pairs.values() for part in pair}
        self._plain = {name.replace(_BASE, '.'): name for name in sorted(
            reader.shapes, key=lambda name: _BASE in name) if name not in taken}
        odd = sorted(name for name in self._plain if '.lora_' in name)
        if odd:
            raise CheckpointError(
                f'{self.path} has {len(odd)} tensors of adapters such as {odd[0]}, this engine '
                f'merges those of linear layers and convolutions: {MERGE}')
        self.shapes = {name: reader.shapes[theirs] for name, theirs in self._plain.items()
                       } | {name: reader.shapes[pair[0]] for name, pair in self._pairs.items()}
        self.dtypes = {name: reader.dtypes[theirs] for name, theirs in self._plain.items()
                       } | dict.fromkeys(self._pairs, torch.float32)

    @property
    def merged(self) -> int:
        """Return how many weights have an adapter."""
        return len(self._pairs)

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor, with its adapter where it has one."""
        if name not in self._pairs:
            return self._reader.read(self._plain[name])
        base, first, second = (self._reader.read(part) for part in self._pairs[name])
        weight = base.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        weight.view(len(weight), -1).addmm_(
            second.float().flatten(1), first.float().flatten(1), alpha=self._factors[name])
        for part, tensor in zip(self._pairs[name], (base, first, second)):
            if self._reader.maps(part):
                forget_pages(tensor)
        return weight

    def maps(self, name: str) -> bool:
        """Whether a tensor shares a file's pages; what is merged does not."""
        return name not in self._pairs and self._reader.maps(self._plain[name])

    def stored_bytes(self, name: str) -> int:
        """Return how much of the files a tensor is, with its adapter."""
        parts = self._pairs.get(name) or (self._plain[name],)
        return sum(self._reader.stored_bytes(part) for part in parts)


def _pair(reader, first: str) -> tuple[str, tuple[str, str, str]]:
    """Return a merged weight's name, and those that it is made of; raise CheckpointError."""
    layer = _FIRST.fullmatch(first)[1]
    second = first.replace('.lora_A.', '.lora_B.')
    base = next((name for name in (f'{layer}.base_layer.weight', f'{layer}.weight')
                 if name in reader.shapes), None)
    if base is None or second not in reader.shapes:
        raise CheckpointError(f'{reader.path} has {first} without '
                              f'{second if base else f"{layer}.weight"}, which it is for: the '
                              'adapter belongs to another base model, or a file is not whole')
    down, up, whole = (reader.shapes[name] for name in (first, second, base))
    if (down[0], up[0], math.prod(down[1:])) != (
            math.prod(up[1:]), whole[0], math.prod(whole[1:])):
        raise CheckpointError(f'{reader.path}: {first} {down} and {second} {up} do not fit the '
                              f'weight {whole} that they are for: the adapter belongs to another '
                              'base model')
    return f'{layer}.weight', (base, first, second)
