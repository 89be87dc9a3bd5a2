# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A directory of 4-bit weights beside the checkpoint that it was converted from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..formats import open_checkpoint
from ..formats.source import Source
from ..numerics.precision import same_weights
from ..support.checkpoint_files import weights_digest

CURE = 'make one by `sqap-vla convert CHECKPOINT DIR --precision w4a8`'
WEIGHTS = 'weights_sha256'  # in a conversion's record: of the files it was made from
_COMPARED = 8  # tensors
_EMBEDDING = 'llm.embed_tokens.weight'
_NEAR = 0.01  # of a row's length, which rotations leave alone


def open_converted(directory: str, original: Source) -> Source:
    """
    Return the opened 4-bit conversion of a checkpoint.

    Raises ConfigError where it holds other weights than of 4 bits, or was made of another
    checkpoint, with what differs.
    """
    source = open_checkpoint(directory).with_key(original.config.unnorm_key)
    record = source.config.quantization
    stored = record.get('precision', 'fp') if record else 'no quantized'
    if stored not in same_weights('w4a4'):
        raise ConfigError(f'--quantized {directory} holds {stored} weights, expected those of one '
                          f'of {", ".join(same_weights("w4a4"))}: {CURE}')
    if original.config.quantization:
        raise ConfigError(f'--quantized {directory}: {original.path} is converted already, name '
                          'the original checkpoint before it')
    if differing := _difference(source, original):
        raise ConfigError(f'--quantized {directory} was not converted from {original.path}: '
                          f'{differing}; {CURE}')
    return source


def _difference(source: Source, original: Source) -> str:
    """Return what a conversion has otherwise than its original, '' for nothing."""
    for name in ('model', 'instructions', 'action_space'):
        if getattr(source.config, name) != getattr(original.config, name):
            return f'{name} of config.json differs'
    if not _equal(source.norm_stats, original.norm_stats):
        return 'the statistics of actions differ'
    made_from = source.config.conversion.get(WEIGHTS)
    if made_from is None:  # written before it was kept
        return _other_weights(source, original)
    found = weights_digest(original.tensors)
    return '' if found == made_from else (
        f'the weights differ (SHA-256 of their files {found[:12]}, converted were '
        f'{made_from[:12]})')


def _equal(one, other) -> bool:
    """Return whether two trees of dicts and numbers are the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _equal(one[name], other[name]) for name in one)
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def _other_weights(source: Source, original: Source) -> str:
    """Compare weights that a conversion leaves as they are, in its own float type."""
    ours, theirs = source.tensors, original.tensors
    names = [name for name in sorted(ours.shapes) if name.startswith('vision')
             and tuple(theirs.shapes.get(name, ())) == tuple(ours.shapes[name])
             and ours.dtypes[name].is_floating_point]
    for name in names[::max(1, len(names) // _COMPARED)]:
        found = ours.read(name)
        if not (found == theirs.read(name).to(found.dtype)).all():
            return f'the weights {name} differ'
    return _other_embedding(ours, theirs)


def _other_embedding(ours, theirs) -> str:
    """Compare the lengths of the embeddings' rows, which a conversion rotates."""
    if _EMBEDDING not in ours.shapes or _EMBEDDING not in theirs.shapes:
        return ''
    found, expected = (each.read(_EMBEDDING).float().norm(dim=-1) for each in (ours, theirs))
    same = found.shape == expected.shape and (
        (found - expected).abs() <= _NEAR * expected + 1e-6).all()
    return '' if same else f'the weights {_EMBEDDING} differ'


def path_of(row, checkpoint: str, quantized: str | None) -> str:
    """Return the directory that a row's weights come from."""
    return str(Path(quantized)) if quantized and row.takes_converted else checkpoint
