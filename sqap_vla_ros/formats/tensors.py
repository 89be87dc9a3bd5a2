# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Tensors in files: names and shapes from the headers, values one by one when asked for.

A reader has `shapes` {name: tuple}, `dtypes` {name: torch.dtype}, `read(name)`, `path`, the
`files` that it reads, `notes` for whoever asks what it is, and `maps(name)`: whether what it reads
of a tensor shares the file's pages and must not be written to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
import ctypes
from functools import lru_cache
import logging
import math
import mmap
from pathlib import Path
import re

from safetensors import safe_open, SafetensorError
import torch

from .checkpoint import read_json
from .downloads import damage
from .foreign import MERGE, UNQUANTIZED
from .reading import read_through, safetensors_header
from ..errors import CheckpointError

SAFETENSORS_TYPES = {
    'F64': torch.float64, 'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16,
    'I64': torch.int64, 'I32': torch.int32, 'I16': torch.int16, 'I8': torch.int8,
    'U8': torch.uint8, 'BOOL': torch.bool}
INDEX = 'model.safetensors.index.json'
SINGLE = 'model.safetensors'
WRAPPERS = ('module.', '_orig_mod.', '_fsdp_wrapped_module.')  # of DDP, torch.compile and FSDP
INNER = re.compile(r'(?<=\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')
QUANTIZED = re.compile(r'\.(?:qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state\..*)$')
_log = logging.getLogger(__name__)
_DONTNEED = getattr(mmap, 'MADV_DONTNEED', None)


def forget_pages(tensor: torch.Tensor) -> None:
    """
    Drop a tensor's pages from this process.

    It must come from a reader that maps files, and not be used again.
    They stay in the page cache, but no longer count as this process's memory.
    """
    first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (tensor.data_ptr() + tensor.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if _DONTNEED is not None and length > 0:
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(first), ctypes.c_size_t(length), ctypes.c_int(_DONTNEED))


@lru_cache(maxsize=64)
def _warn_once(text: str) -> None:
    _log.warning(text)


def wrapper(names: Collection[str]) -> str:
    """Return what trainers put before every name, one after the other; '' if they did not."""
    prefix = ''
    while True:
        more = next((part for part in WRAPPERS if names and all(
            name.startswith(prefix + part) for name in names)), '')
        if not more:
            return prefix
        prefix += more


class TensorReader:
    """What readers have in common; `shapes` and `dtypes` are of what they read."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]

    def stored_bytes(self, name: str) -> int:
        """Return how much of the files a tensor is."""
        return math.prod(self.shapes[name]) * self.dtypes[name].itemsize


class SafetensorsReader(TensorReader):
    """
    One model.safetensors, or the shards that an index lists.

    Where both are there the single file counts, as it does for transformers: who merges an
    adapter into a copy of its base model leaves the base's index behind.  `notes` says so.
    """

    def __init__(self, directory: Path, file: str = ''):
        """
        Open all files; raise CheckpointError for missing or damaged ones.

        file: the name of the only one to be read, whatever else there is.
        """
        self.path = Path(directory)
        self._files, self.shapes, self.dtypes = {}, {}, {}
        self._places: dict[str, tuple[Path, int, int]] = {}  # file, first byte and the one behind
        self.files: list[Path] = []
        self.notes: tuple[str, ...] = ()
        listed = {} if file else self._listed()
        for shard in sorted(set(listed.values())) or [file or SINGLE]:
            self._open(self.path / shard)
        lost = sorted(name for name in listed if name not in self.shapes)
        if lost:
            raise CheckpointError(
                f'{self.path / listed[lost[0]]} lacks {len(lost)} tensors that {INDEX} lists, '
                f'such as {lost[0]}: copy it again')

    def read(self, name: str) -> torch.Tensor:
        """
        Return a tensor as it is on disk.

        Raises UnreadableError where the disk fails, and CheckpointError for a file that has
        changed since it was opened.
        """
        read_through(*self._places[name])
        try:
            return self._files[name].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f'{self.path}: {name} cannot be read ({error})') from error

    def maps(self, name: str) -> bool:
        """Whether a tensor shares the file's pages: all do."""
        return True

    def _listed(self) -> dict[str, str]:
        """Return {tensor name: shard file}; empty for a single file."""
        has_index = (self.path / INDEX).is_file()
        if (self.path / SINGLE).is_file():
            if has_index:
                self.notes = (f'the weights are those of {SINGLE}, and {INDEX} beside it is not '
                              'used, nor its shards: delete what you do not mean',)
                _warn_once(f'{self.path}: {self.notes[0]}')
            return {}
        if not has_index:
            raise CheckpointError(f'{self.path} holds no weights: {self._lacking()}')
        listed = read_json(self.path / INDEX).get('weight_map')
        if not isinstance(listed, dict) or not listed \
                or not all(isinstance(shard, str) for shard in listed.values()):
            raise CheckpointError(f'{self.path / INDEX} lacks its weight_map: copy it again')
        missing = sorted({shard for shard in listed.values()
                          if not (self.path / shard).is_file()})
        if missing:
            raise CheckpointError(
                f'{self.path}: {len(missing)} of {len(set(listed.values()))} shards are missing: '
                f'{", ".join(missing)}: download them')
        return listed

    def _lacking(self) -> str:
        """Return what is there in place of the weights, and what to do."""
        found = sorted(path.name for path in self.path.glob('pytorch_model*.bin'))
        if found:
            return (f'{", ".join(found[:3])} can run code when it is read, and is not: load it '
                    f'where you trust it and save it as {SINGLE} by save_pretrained(..., '
                    'safe_serialization=True)')
        shards = sorted(path.name for path in self.path.glob('model-*.safetensors'))
        if shards:
            return f'{len(shards)} shards such as {shards[0]} without {INDEX}: download that, too'
        return f'{INDEX} with its shards, or {SINGLE}, is missing: download them'

    def _open(self, path: Path) -> None:
        places, start = safetensors_header(path)
        try:
            file = safe_open(path, framework='pt')
            self.files.append(path)
            for name in file.keys():
                header = file.get_slice(name)
                self.shapes[name] = tuple(header.get_shape())
                self.dtypes[name] = SAFETENSORS_TYPES.get(header.get_dtype(), torch.uint8)
                self._files[name] = file
                first, last = places[name]['data_offsets']
                self._places[name] = path, start + first, start + last
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f'{path} cannot be read'
                + damage(path, error, 'it is truncated or damaged, copy it again')) from error


class RenamedReader:
    """A reader under this engine's names; prefixes: {their prefix: ours}."""

    def __init__(self, reader, prefixes: Mapping[str, str] | None = None):
        self.path, self._reader, self._prefixes = reader.path, reader, dict(prefixes or {})
        self.files, self.notes = reader.files, reader.notes
        for pattern, what, advice in (
                (re.compile(r'\.lora_[AB]\.'), 'a LoRA adapter that is not merged', MERGE),
                (QUANTIZED, 'weights that another tool has quantized', UNQUANTIZED)):
            found = list(filter(pattern.search, reader.shapes))
            if found:
                raise CheckpointError(f'{self.path} holds {what} ({len(found)} tensors such as '
                                      f'{found[0]}): {advice}')
        self._wrapper = wrapper(reader.shapes)
        self._theirs = {self._ours(name): name for name in reader.shapes}
        self.shapes = {ours: reader.shapes[name] for ours, name in self._theirs.items()}
        self.dtypes = {ours: reader.dtypes[name] for ours, name in self._theirs.items()}

    def without(self, *patterns: str) -> RenamedReader:
        """Leave out the tensors whose names (ours) begin with a pattern; returns itself."""
        unused = re.compile('|'.join(patterns))
        for name in list(self.shapes):
            if unused.match(name):
                del self.shapes[name], self.dtypes[name]
        return self

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor as it is on disk; raise CheckpointError unless all of it is finite."""
        tensor = self._reader.read(self._theirs[name])
        if tensor.is_floating_point() and tensor.numel():
            if not all(map(torch.isfinite, torch.aminmax(tensor))):
                raise CheckpointError(f'{self.path}: {self._theirs[name]} holds values that are '
                                      'not finite: the checkpoint is broken, copy it again')
        return tensor

    def copy(self, name: str, dtype: torch.dtype | None = None,
             device: torch.device | str = 'cpu') -> torch.Tensor:
        """Return a tensor of one's own, a float as dtype, and let go of the file's pages."""
        tensor = self.read(name)
        moved = tensor.to(device)  # before the cast, which has fewer bytes to be moved
        wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        is_mapped = self._reader.maps(self._theirs[name])
        moved = moved.to(wanted, copy=moved is tensor and is_mapped)
        if is_mapped:
            forget_pages(tensor)
        return moved

    def stored_bytes(self, name: str) -> int:
        """Return how much of the files a tensor is."""
        return self._reader.stored_bytes(self._theirs[name])

    def has(self, name: str) -> bool:
        """Whether the file has a tensor, also one that the network does not use."""
        return name in self._theirs

    def theirs(self, name: str) -> str:
        """Return a tensor's name in the file."""
        if name in self._theirs:
            return self._theirs[name]
        for theirs, ours in self._prefixes.items():
            if name.startswith(ours):
                return theirs + name[len(ours):]
        return name

    def check(self, own: Mapping[str, torch.Tensor]) -> None:
        """
        Raise CheckpointError, before anything is read, for tensors that are not `own`'s.

        Names and shapes must be the same, and types unless they are floats in both.
        """
        missing = [self.theirs(name) for name in own if name not in self.shapes]
        extra = [self.theirs(name) for name in self.shapes if name not in own]
        shapes = [f'{self.theirs(name)}: file {self.shapes[name]}, model {tuple(own[name].shape)}'
                  for name in own if name in self.shapes
                  and self.shapes[name] != tuple(own[name].shape)]
        if missing or extra or shapes:
            raise CheckpointError(
                f'{self.path} does not fit its config.json: missing {sorted(missing)[:3]}, '
                f'unexpected {sorted(extra)[:3]}, other shapes {sorted(shapes)[:3]}')
        for name, dtype in self.dtypes.items():
            wanted = own[name].dtype
            if dtype != wanted and not (dtype.is_floating_point and wanted.is_floating_point):
                raise CheckpointError(
                    f'{self.path}: {self.theirs(name)} is {dtype}, expected {wanted}: it is '
                    'quantized in a way that is unknown here, start from the full-precision '
                    'weights')

    def _ours(self, name: str) -> str:
        name = INNER.sub('', name.removeprefix(self._wrapper))
        for theirs, ours in self._prefixes.items():
            if name.startswith(theirs):
                return re.sub(r'\.scale_factor$', '.gamma', ours + name[len(theirs):])
        return name
