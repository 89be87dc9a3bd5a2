# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A base model and an adapter beside it, in the format of peft, as one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import math
from pathlib import Path
import re

from .checkpoint import read_json
from .foreign import MERGE
from .joined import JoinedReader, MergedReader, unwrapped
from .tensors import SafetensorsReader
from ..errors import CheckpointError
from ..support.validation import is_count, is_number

CONFIG = 'adapter_config.json'
WEIGHTS = 'adapter_model.safetensors'
UNSAFE = 'adapter_model.bin'
PREFIX = 'base_model.model.'
_LAYER = re.compile(r'\.lora_[AB]\..*|\.weight$')
_FILM = re.compile(r'(?<=\d)\.block\.')
PLAIN = {'peft_type': ('LORA',), 'use_dora': (False,), 'fan_in_fan_out': (False,),
         'rank_pattern': ({},), 'alpha_pattern': ({},), 'use_qalora': (False,),
         'layer_replication': ([],), 'trainable_token_indices': ([], {}),
         # the others (pissa, olora, corda, loftq) change the base model, too
         'init_lora_weights': (True, False, 'gaussian', 'eva', 'orthogonal')}


def with_adapter(base, folder: Path, without: str = '') -> MergedReader:
    """
    Return the tensors of a base model with those of an adapter added as they are read.

    base: its reader.  folder: of the adapter.  without: what the names begin with of those of its
    tensors that are not taken.  Raises CheckpointError for an adapter that is no plain LoRA, or
    of another base.
    """
    config = read_json(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f'{folder} has {CONFIG} and no {WEIGHTS}: {_lacking(folder)}')
    factor = _factor(config, folder / CONFIG)
    adapter, of_base = SafetensorsReader(folder, WEIGHTS), unwrapped(base)
    names = {ours.removeprefix(PREFIX): theirs for ours, theirs in unwrapped(adapter).items()}
    for listed in ('target_modules', 'modules_to_save'):
        _check_layers(listed, config.get(listed), names, of_base, folder)
    names = {ours: theirs for ours, theirs in names.items()
             if not (without and ours.startswith(without))}
    return MergedReader(JoinedReader(folder, [(base, of_base), (adapter, names)]), factor)


def _lacking(folder: Path) -> str:
    """Return what to do about an adapter without weights that are read here."""
    if (folder / UNSAFE).is_file():
        return (f'{UNSAFE} can run code when it is read, and is not: load it where you trust it '
                'and save it by save_pretrained(..., safe_serialization=True)')
    return 'copy it again, whole'


def _check_layers(listed: str, layers, names: Iterable[str], of_base: Iterable[str],
                  folder: Path) -> None:
    """Raise CheckpointError for layers that are listed in the config and have no tensor."""
    adapted = ['.' + _LAYER.sub('', _FILM.sub('.', name)) for name in names]
    there = [f'.{name.removesuffix(".weight")}' for name in of_base]
    lost = [layer for layer in (layers if isinstance(layers, list) else ())
            if any(name.endswith(f'.{layer}') for name in there)
            and not any(name.endswith(f'.{layer}') for name in adapted)]
    if lost:
        raise CheckpointError(
            f'{folder / CONFIG} lists {", ".join(map(str, lost))} in {listed}, and {WEIGHTS} '
            'holds nothing of such a layer: tensors are missing, copy it again')


def named_base(folder: Path) -> str:
    """Return the name or path of the base model that an adapter was trained on, '' if none."""
    name = read_json(folder / CONFIG).get('base_model_name_or_path')
    return name if isinstance(name, str) else ''


def _factor(config: dict, source: Path) -> Callable[[int], float]:
    """Return the factor of an adapter by its rank; raise CheckpointError for other than LoRA."""
    odd = {name: config[name] for name, plain in PLAIN.items()
           if config.get(name) not in (None, *plain)}
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
