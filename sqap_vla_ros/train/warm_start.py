# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Warm start: begin a training with the weights of a checkpoint, of other instructions too."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import ConfigError
from ..formats import open_checkpoint, Source

WORDS = 'llm.embed_tokens.weight'
_NEEDED = ('vision.', 'llm.')


def warm_start(model, tokenizer, directory) -> str:
    """Copy into a model what fits of a checkpoint; return what was taken; ConfigError for none."""
    source = open_checkpoint(directory)
    if source.config.quantization:
        raise ConfigError(f'--init {directory} holds quantized weights: give the checkpoint '
                          'that it was made from')
    own, old = model.state_dict(), source.tensors
    taken = {name: old.copy(name, torch.float32) for name, tensor in own.items()
             if name != WORDS and old.shapes.get(name) == tuple(tensor.shape)}
    if not any(name.startswith(_NEEDED) for name in taken):
        raise ConfigError(_misfit(own, old.shapes, directory))
    words = _copy_words(own, source, tokenizer)
    model.load_state_dict({**own, **taken})
    anew = [name for name in own if name not in taken and name != WORDS]
    return (f'warm start from {Path(directory).resolve().name}: took {len(taken)} of '
            f'{len(own) - 1} tensors and {len(words)} of {tokenizer.get_vocab_size()} words; '
            f'starts anew: {_summary(anew)}; new words: '
            f'{" ".join(sorted(tokenizer.get_vocab().keys() - words)) or "none"}')


def normalisation_of(directory) -> dict:
    """
    Return the normalisation of a checkpoint that `train` wrote, as recipe.normalisation does.

    Raises ConfigError for a checkpoint that normalises otherwise.
    """
    found = open_checkpoint(directory).with_key(None).statistics()
    if not found['mask'].all() or 'state_mean' not in found:
        raise ConfigError(f'--keep-norm: {directory} normalises otherwise than `train` does: '
                          'leave this option out')
    return {'state_mean': found['state_mean'], 'state_std': found['state_std'],
            'action_low': found['low'], 'action_range': found['high'] - found['low']}


def _copy_words(own: dict, source: Source, tokenizer) -> set[str]:
    """Write the known words' rows into own[WORDS] [V, D]; return those words."""
    rows, shape = own[WORDS], source.tensors.shapes.get(WORDS, ())
    if len(shape) != 2 or shape[1] != rows.shape[1]:
        return set()
    old, known = source.tensors.copy(WORDS, torch.float32), source.read_tokenizer().get_vocab()
    common = tokenizer.get_vocab().keys() & known.keys()
    with torch.no_grad():
        for word in common:
            rows[tokenizer.token_to_id(word)] = old[known[word]]
    return common


def _misfit(own: dict, old: dict, directory) -> str:
    name = next((name for name in own
                 if name != WORDS and name.startswith(_NEEDED) and name in old), None)
    example = ('no tensor has the same name' if name is None else
               f'{name} is {list(old[name])} there and {list(own[name].shape)} here')
    return (f'--init {directory} is of another shape, nothing of its vision encoder and decoder '
            f'fits: {example}. Give the --width, --vit-depth, --llm-layers and --stem of that '
            'checkpoint, or leave --init out')


def _summary(names: list[str]) -> str:
    text = ', '.join(names[:6]) or 'nothing'
    return text + (f' and {len(names) - 6} more' if len(names) > 6 else '')
