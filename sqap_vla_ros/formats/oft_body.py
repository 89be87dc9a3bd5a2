# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The OpenVLA in an OpenVLA-OFT: shards that hold the adapter, or a base model and an adapter."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path

from .checkpoint import read_json
from .foreign import files, HEAD_FILES
from .lora import CONFIG as ADAPTER_CONFIG, named_base, with_adapter
from .tensors import INDEX, SafetensorsReader, SINGLE
from ..errors import CheckpointError

ADAPTER = 'lora_adapter'
WEIGHTS = (INDEX, SINGLE, 'model-*.safetensors', 'pytorch_model*.bin')


@dataclass(frozen=True)
class Body:
    """
    An OpenVLA's tensors and config.json, and the directory that both are of.

    notes: what `info` should say of them.
    """

    reader: object
    content: dict
    directory: Path
    notes: tuple[str, ...] = ()


def open_body(directory: Path, content: dict, base: str | None, has_vision: bool) -> Body:
    """
    Open the weights without heads; raise CheckpointError, saying what to do, if there are none.

    content: of config.json, empty if there is none.  base: what deployment.json names.
    has_vision: whether a file of FiLM's brings the vision encoders.
    """
    has_weights = any(map(any, map(directory.glob, WEIGHTS)))
    adapter = directory / ADAPTER
    adapter = adapter if (adapter / ADAPTER_CONFIG).is_file() else None
    if has_weights and (base is None or adapter is None):
        return _merged(directory, content, adapter, base)
    if adapter is None:
        raise CheckpointError(
            f'{directory} has heads of an OpenVLA-OFT and neither weights ({INDEX} with its '
            f'shards) nor {ADAPTER}/: copy it again, whole')
    folder = _base_directory(directory, adapter, base)
    if has_weights and folder.resolve() != directory.resolve():
        raise CheckpointError(
            f'{directory} has weights of its own, and deployment.json names the base model '
            f'{folder}: take "base" out if {adapter.name}/ is merged in the weights, else move '
            'these weights elsewhere')
    if folder.resolve() != directory.resolve():
        _check_base(folder, adapter)
    return _with_base(folder, adapter, has_vision)


def _merged(directory: Path, content: dict, adapter: Path | None, base: str | None) -> Body:
    """Return the weights of a directory in which the adapter is merged already."""
    if base is not None:
        raise CheckpointError(f'{directory} has weights and no {ADAPTER}/, and deployment.json '
                              f'names the base model {base!r}: take "base" out')
    notes = () if adapter is None else (
        f'{ADAPTER}/ is not read: what it adds is in the weights already, as the trainer leaves '
        'them',)
    return Body(SafetensorsReader(directory), content, directory, notes)


def _base_directory(directory: Path, adapter: Path, base: str | None) -> Path:
    """Return the base model's directory; raise CheckpointError, saying how to tell it."""
    named = named_base(adapter)
    place = Path(os.path.normpath(directory / (base if base is not None else named)))
    if (base is not None or Path(named).is_absolute()) and (place / 'config.json').is_file():
        return place
    reason = (f'{place} has no config.json' if base is not None else
              f'{ADAPTER_CONFIG} there says that it is for '
              f'{named or "a base model without a name"}')
    raise CheckpointError(
        f'{directory} has an adapter that is not merged, in {adapter.name}/, and {reason}: '
        'download the base model, and name its directory in deployment.json, such as '
        '{"oft": {"base": "../openvla-7b"}}')


def _check_base(folder: Path, adapter: Path) -> None:
    """Raise CheckpointError for a base model that was trained further and may hold the adapter."""
    found = files(*HEAD_FILES, f'{ADAPTER}/')(folder, {})
    if found:
        raise CheckpointError(
            f'the base model {folder} of the adapter in {adapter} has {", ".join(found)}, so it '
            'is an OpenVLA-OFT itself, in which an adapter is merged already: name the directory '
            'of the plain OpenVLA that the training began with, such as openvla-7b')


def _with_base(folder: Path, adapter: Path, has_vision: bool) -> Body:
    """Return a base model with an adapter, but for that of encoders that are replaced."""
    reader = with_adapter(SafetensorsReader(folder), adapter,
                          'vision_backbone.' if has_vision else '')
    return Body(reader, read_json(folder / 'config.json'), folder, (
        f'{reader.merged} weights of {folder} with those of {adapter.name}/ added',))
