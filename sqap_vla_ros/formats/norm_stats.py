# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The statistics of a data set, which give a network's actions and states their units."""

from __future__ import annotations

import numpy as np

from ..errors import CheckpointError
from ..model.vla import VLAConfig
from ..support.validation import nearest

BOUNDS = {'q01_q99': ('q01', 'q99'), 'min_max': ('min', 'max')}
EPSILON = 1e-8  # keeps OpenVLA-OFT's values of a constant dimension finite
AGAIN = ('download the statistics of the checkpoint again, or compute them from the data set that '
         'it was trained on')
EXAMPLE = '{"action": {"q01": [...], "q99": [...], "mask": [...]}}'
_FLAT = ('action', 'actions', 'q01', 'mean', 'norm_stats')


def by_data_set(content: dict, source) -> dict:
    """
    Return the content of a file of statistics; raise CheckpointError for a flat one.

    Flat ones are for one data set, whose name is missing, as LeRobot and openpi write them.
    """
    found = [name for name in _FLAT if isinstance(content.get(name), (dict, list))]
    if found:
        raise CheckpointError(
            f'{source} is flat: it holds {", ".join(map(repr, list(content)[:4]))} where names of '
            f'data sets are expected: put its content under one, {{"my_data": {EXAMPLE}}}')
    if not content:
        raise CheckpointError(f'{source} holds no data set: download it again')
    return content


def action_width(entry, source: str) -> int:
    """Return the number of action values that a data set's statistics are for."""
    try:
        return len(entry['action']['q01'])
    except (KeyError, TypeError) as error:
        raise CheckpointError(_lacking(entry, source, error)) from error


def width_of(entry, part: str) -> int | None:
    """Return how many values a data set's actions, or its proprio, have; None for no such ones."""
    values = entry.get(part) if isinstance(entry, dict) else None
    bounds = [values.get(name) for name in ('q99', 'max')] if isinstance(values, dict) else []
    return next((len(found) for found in bounds if isinstance(found, list)), None)


def _lacking(entry, source: str, error) -> str:
    """Return what a data set's statistics lack, and what they have."""
    found = entry.get('action', entry) if isinstance(entry, dict) else entry
    names = ', '.join(map(str, found)) if isinstance(found, dict) else type(found).__name__
    return (f'{source}: {type(error).__name__} {error}: expected {EXAMPLE}, found '
            f'{names or "nothing"}: compute what is missing from the actions of its data set')


def statistics(stats: dict, unnorm_key: str, model: VLAConfig, source: str, file: str,
               normalization: str = 'q01_q99') -> dict:
    """
    Return the statistics of one data set as arrays, checked against the model's sizes.

    Keys: low, high [A], mask bool [A] of the actions; state_mean, state_std [S].  Floats are
    float32 for a parallel chunk and float64 for the heads whose reference computes so.
    Of OpenVLA-OFT's there are state_low, state_high [S] and state_mask bool [S] instead of the
    latter two, and epsilon, which is added to high - low; normalization says which bounds.
    Raises CheckpointError, naming source and file, for an unknown key (listing the known
    ones), for another number of values than the model has, and for values that are not finite
    or not in order.
    """
    if unnorm_key not in stats:
        raise CheckpointError(
            f'{source}: unnorm_key {unnorm_key!r} is not in {file}, which has {sorted(stats)}'
            f'{nearest(unnorm_key, stats)}: choose one of them')
    source = f'{source}/{file}, {unnorm_key}'
    if model.head.kind == 'oft':
        return _oft_statistics(stats[unnorm_key], model, normalization, source)
    dtype = np.float32 if model.head.kind == 'chunk' else np.float64
    try:
        action, state = stats[unnorm_key]['action'], stats[unnorm_key].get('state', {})
        width = model.head.action_dim
        mask = _mask(action, width, source, 'mask')
        found = {'low': _bounds(action['q01'], mask, source, 'q01', -1, dtype),
                 'high': _bounds(action['q99'], mask, source, 'q99', 1, dtype), 'mask': mask}
        if model.state_dim:
            for name in ('mean', 'std'):
                found[f'state_{name}'] = _numbers(
                    state[name], model.state_dim, source, f'state {name}')
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(_lacking(stats[unnorm_key], source, error)) from error
    std = found.get('state_std', np.ones(1))
    if (mask & (found['low'] > found['high'])).any() or (std <= 0).any():
        raise CheckpointError(f'{source}: q01 must not exceed q99 and state std must be '
                              f'above 0: {AGAIN}')
    return found


def _oft_statistics(entry, model: VLAConfig, normalization: str, source: str) -> dict:
    """Return the bounds of actions and states, which are of one kind."""
    found = {'epsilon': EPSILON, **_oft_bounds(
        entry, 'action', model.head.action_dim, normalization, 'action_head--*.pt gives', source)}
    if model.state_dim:
        state = _oft_bounds(entry, 'proprio', model.state_dim, normalization,
                            'proprio_projector--*.pt takes', source)
        if (state['low'] == state['high']).all():
            raise CheckpointError(f'{source}: proprio has no value that ever changes, and a state '
                                  'cannot be normalised by that: compute it from the data set')
        found.update({f'state_{name}': values for name, values in state.items()})
    return found


def _oft_bounds(entry, part: str, width: int, normalization: str, whose: str,
                source: str) -> dict:
    """Return low, high and mask of actions or states; raise CheckpointError for no such ones."""
    low, high = BOUNDS[normalization]
    try:
        values = entry[part]
        if len(values[high]) != width:
            raise CheckpointError(
                f'{source}: {part} has {len(values[high])} values, and {whose} {width}: the files '
                'belong to different checkpoints, or another unnorm_key is meant: choose its key, '
                'or download all files of one')
        mask = _mask(values, width, source, f'{part} mask')
        found = {'low': _bounds(values[low], mask, source, f'{part} {low}', -1, np.float64),
                 'high': _bounds(values[high], mask, source, f'{part} {high}', 1, np.float64),
                 'mask': mask}
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{source}: {part}: {type(error).__name__} {error}: expected '
                              f'{low}, {high} and mask, {width} values each: '
                              f'{AGAIN}') from error
    if (mask & (found['low'] > found['high'])).any():
        raise CheckpointError(f'{source}: {part}: {low} must not exceed {high}: {AGAIN}')
    return found


def _mask(values: dict, width: int, source: str, name: str) -> np.ndarray:
    """Return bool [width]: which values are normalised; all of them where nothing is said."""
    given = values.get('mask')
    return _numbers([True] * width if given is None else given, width, source, name) != 0


def _bounds(values, mask, source: str, name: str, unit: float, dtype) -> np.ndarray:
    """Return bounds as _numbers does; where the mask is false, `unit` stands for what is none."""
    try:
        array = np.asarray(values, dtype)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape == mask.shape:
        values = np.where(mask | np.isfinite(array), array, unit)
    return _numbers(values, len(mask), source, name, dtype)


def _numbers(values, width: int, source: str, name: str, dtype=np.float32) -> np.ndarray:
    """Return dtype [width]; raise CheckpointError naming what was found."""
    try:
        array = np.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{source}: {name} holds no numbers ({error}): '
                              f'{AGAIN}') from error
    if array.shape != (width,) or not np.isfinite(array).all():
        raise CheckpointError(
            f'{source}: {name} must be {width} finite numbers, found {array.tolist()}: {AGAIN}')
    return array
