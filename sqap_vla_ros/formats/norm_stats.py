# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The statistics of a data set, which give a network's actions and states their units."""

from __future__ import annotations

import numpy as np

from ..errors import CheckpointError
from ..model.vla import VLAConfig


def action_width(entry, source: str) -> int:
    """Return the number of action values that a data set's statistics are for."""
    try:
        return len(entry['action']['q01'])
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f'{source}: {type(error).__name__} {error}: action.q01 is missing') from error


def statistics(stats: dict, unnorm_key: str, model: VLAConfig, source: str, file: str) -> dict:
    """
    Return the statistics of one data set as arrays, checked against the model's sizes.

    Keys: low, high [A], mask bool [A] of the actions; state_mean, state_std [S].  Floats are
    float32 for a parallel chunk and float64 for the heads whose reference computes so.
    Raises CheckpointError, naming source and file, for an unknown key (listing the known
    ones), for another number of values than the model has, and for values that are not finite
    or not in order.
    """
    if unnorm_key not in stats:
        raise CheckpointError(
            f'{source}: unnorm_key {unnorm_key!r} is not in {file}, '
            f'which has {sorted(stats)}')
    source = f'{source}/{file}, {unnorm_key}'
    dtype = np.float32 if model.head.kind == 'chunk' else np.float64
    try:
        action, state = stats[unnorm_key]['action'], stats[unnorm_key].get('state', {})
        width = model.head.action_dim
        found = {
            'low': _numbers(action['q01'], width, source, 'q01', dtype),
            'high': _numbers(action['q99'], width, source, 'q99', dtype),
            'mask': _numbers(action.get('mask', [True] * width), width, source, 'mask') != 0}
        if model.state_dim:
            for name in ('mean', 'std'):
                found[f'state_{name}'] = _numbers(
                    state[name], model.state_dim, source, f'state {name}')
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    std = found.get('state_std', np.ones(1))
    if (found['low'] > found['high']).any() or (std <= 0).any():
        raise CheckpointError(f'{source}: q01 must not exceed q99 and state std must be above 0')
    return found


def _numbers(values, width: int, source: str, name: str, dtype=np.float32) -> np.ndarray:
    """Return dtype [width]; raise CheckpointError naming what was found."""
    try:
        array = np.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{source}: {name} holds no numbers ({error})') from error
    if array.shape != (width,) or not np.isfinite(array).all():
        raise CheckpointError(
            f'{source}: {name} must be {width} finite numbers, found {values}')
    return array
