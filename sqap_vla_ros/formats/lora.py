# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A base model and an adapter beside it, in the format of peft, as one checkpoint."""

from __future__ import annotations

from collections.abc import Callable
import math
from pathlib import Path

from .checkpoint import read_json
from .foreign import MERGE
from .joined import JoinedReader, MergedReader, unwrapped
from .tensors import SafetensorsReader
from ..errors import CheckpointError
from ..support.validation import is_count, is_number

CONFIG = 'adapter_config.json'
WEIGHTS = 'adapter_model.safetensors'
PREFIX = 'base_model.model.'
PLAIN = {'peft_type': 'LORA', 'use_dora': False, 'fan_in_fan_out': False, 'rank_pattern': {},
         'alpha_pattern': {}}


def with_adapter(base, folder: Path, without: str = '') -> MergedReader:
    """
    Return the tensors of a base model with those of an adapter added as they are read.

    base: its reader.  folder: of the adapter.  without: what the names begin with of those of its
    tensors that are not taken.  Raises CheckpointError for an adapter that is no plain LoRA, or
    of another base.
    """
    config = read_json(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f'{folder} has {CONFIG} and no {WEIGHTS}: copy it again, whole')
    factor = _factor(config, folder / CONFIG)
    adapter = SafetensorsReader(folder, WEIGHTS)
    names = {name.removeprefix(PREFIX): name for name in adapter.shapes
             if not (without and name.removeprefix(PREFIX).startswith(without))}
    return MergedReader(JoinedReader(folder, [(base, unwrapped(base)), (adapter, names)]), factor)


def named_base(folder: Path) -> str:
    """Return the name or path of the base model that an adapter was trained on, '' if none."""
    name = read_json(folder / CONFIG).get('base_model_name_or_path')
    return name if isinstance(name, str) else ''


def _factor(config: dict, source: Path) -> Callable[[int], float]:
    """Return the factor of an adapter by its rank; raise CheckpointError for other than LoRA."""
    odd = {name: config[name] for name, plain in PLAIN.items()
           if config.get(name) not in (None, plain)}
    rank, alpha = config.get('r'), config.get('lora_alpha')
    if odd or not is_count(rank) or rank < 1 or not is_number(alpha):
        raise CheckpointError(
            f'{source} has {odd or {"r": rank, "lora_alpha": alpha}}, this engine merges plain '
            f'LoRA: {MERGE}')

    def factor(found: int) -> float:
        if found != rank:
            raise CheckpointError(f'{source} says r {rank}, an adapter in {WEIGHTS} has {found}: '
                                  'the files belong to different runs')
        return alpha / (math.sqrt(rank) if config.get('use_rslora') else rank)
    return factor
