# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla compare` needs of a replay.json, read with doubt: it may be anybody's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
import math
from pathlib import Path

import numpy as np

from .metrics.summary import FORM
from ..errors import ConfigError
from ..support.files import nearest_path

NAME = 'replay.json'


@dataclass(frozen=True)
class AxisError:
    """The error along one axis in SI units; None where no row was compared."""

    count: int
    rmse: float | None
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ReplayRow:
    """
    One row of a replay's table.

    answered: images.  numbers: of the sampled images, K.  values: float64 [K, rows, D] and
    gripper: float64 [K, rows] or None, NaN where there is no answer.  errors: {truth: {axis:
    AxisError}}, of executed rows.  For the others see metrics.summary.Sample.
    """

    answered: int
    dt_s: float
    execute_steps: int
    compared_as: str
    names: tuple[str, ...]
    frame: str
    numbers: tuple[int, ...]
    values: np.ndarray
    gripper: np.ndarray | None
    errors: Mapping[str, Mapping[str, AxisError]]


@dataclass(frozen=True)
class Replay:
    """A replay.json; digest: of its frames and instructions.  about: them, in words."""

    path: str
    facts: Mapping
    losses: tuple
    digest: str
    about: str
    rows: Mapping[str, ReplayRow]


def read_replay(path) -> Replay:
    """Return a replay.json, or that of a directory; raise ConfigError for what is none."""
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise ConfigError(f'{path} does not exist{nearest_path(path)}: expected the {NAME} of '
                          '`sqap-vla replay --out`, or its directory') from error
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror or error}') from error
    except ValueError as error:
        raise ConfigError(f'{path} is no JSON ({error}): expected the {NAME} of `sqap-vla replay '
                          '--out`') from error
    return _replay(str(path), content)


def _replay(path: str, content) -> Replay:
    if not isinstance(content, Mapping) or not isinstance(content.get('summary'), Mapping):
        found = ', '.join(map(str, list(content)[:5])) if isinstance(content, Mapping) else (
            type(content).__name__)
        raise ConfigError(f'{path} has no summary of a replay (found {found}): expected the '
                          f'{NAME} of `sqap-vla replay --out`')
    summary = content['summary']
    if summary.get('form') != FORM:
        raise ConfigError(f'{path} has a summary of form {summary.get("form")!r}, this version '
                          f'compares form {FORM}: make it anew by `sqap-vla replay`')
    try:
        facts, images = dict(content.get('facts') or {}), summary['images']
        return Replay(path, facts, tuple(content.get('losses') or ()), str(images['digest']),
                      _about(facts, images), _rows(summary))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigError(f'{path} is damaged, or not as `sqap-vla replay` wrote it '
                          f'({type(error).__name__}: {error}): make it anew') from error


def _about(facts: Mapping, images: Mapping) -> str:
    asked = facts.get('instruction')
    return (f'{images["count"]} images over {float(images["duration_s"]):.1f} s of '
            f'{facts.get("source", "an unknown source")}' + (f', {asked!r}' if asked else ''))


def _rows(summary: Mapping) -> dict[str, ReplayRow]:
    samples = {each['title']: each for each in summary['samples']}
    return {row['title']: _row(row, samples[row['title']]) for row in summary['rows']}


def _row(row: Mapping, sample: Mapping) -> ReplayRow:
    steps, names = int(row['execute_steps']), tuple(sample['names'])
    numbers = tuple(map(int, sample['numbers']))
    gripper = sample['gripper']
    return ReplayRow(
        int(row['answered']), float(row['dt_s']), steps, str(sample['compared_as']), names,
        str(sample['frame']), numbers,
        _array(sample['values'], (len(numbers), steps, len(names))),
        None if gripper is None else _array(gripper, (len(numbers), steps)),
        {truth['truth']: {axis['axis']: _axis(axis) for axis in truth['executed']}
         for truth in row['against']})


def _axis(axis: Mapping) -> AxisError:
    rmse = axis['rmse']
    if rmse is None or not math.isfinite(rmse):
        return AxisError(int(axis['count']), None, 0.0, 0.0)
    return AxisError(int(axis['count']), float(rmse), float(axis['low']), float(axis['high']))


def _array(values, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers as float64, NaN for None; an image without an answer is all NaN."""
    empty = np.full(shape[1:], np.nan)
    found = np.array([empty if each is None else np.array(each, np.float64) for each in values],
                     np.float64).reshape(len(values), *shape[1:])
    if found.shape != shape:
        raise ValueError(f'samples of shape {found.shape}, expected {shape}')
    return np.where(np.isfinite(found), found, np.nan)
