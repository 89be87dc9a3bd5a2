# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What differences between two answers are in: normalised, and in the units of the arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..control.action_space import ActionSpace, DELTA_NAMES
from ..formats.checkpoint import CheckpointConfig

GRIPPER = 'gripper'
UNKNOWN_UNIT = "the checkpoint's"
_UNITS = {'twist': ('m/s', 'rad/s'), 'delta': ('m/s', 'rad/s'), 'pose': ('m', 'rad'),
          'joint_position': ('rad', 'rad'), 'joint_delta': ('rad/s', 'rad/s')}


@dataclass(frozen=True, eq=False)
class Columns:
    """
    The columns of a checkpoint's actions.

    names, units: one a column.  normalised, real: float64 [A], what a difference of two actions
    is multiplied by to be in the units of training (-1 .. 1 from the low to the high bound) and
    in `units`; steps of a row are given as velocities.  rows: how many of an answer are executed.
    gripper: (its column, the value that parts open from closed), None without one or where
    nobody says which it is.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    normalised: np.ndarray
    real: np.ndarray
    rows: int
    gripper: tuple[int, float] | None = None


@dataclass(frozen=True, eq=False)
class Differences:
    """
    How far answers are from others, a mean over the rows that are executed.

    normalised, real: absolute, float64 [n, A].  agreement: float64 [n], share of rows in which
    both want the gripper open, or both closed; None without a gripper.
    """

    normalised: np.ndarray
    real: np.ndarray
    agreement: np.ndarray | None

    @property
    def error(self) -> np.ndarray:
        """Return one number a frame, float64 [n]: the mean over columns, normalised."""
        return self.normalised.mean(axis=1)


def columns_of(config: CheckpointConfig, statistics: dict) -> Columns:
    """Return the columns of a checkpoint; statistics: see norm_stats.statistics."""
    factors, width = _normalised(statistics), config.model.head.action_dim
    if not config.declares_actions:
        names = (*DELTA_NAMES, GRIPPER) if width == 7 else tuple(f'a{i}' for i in range(width))
        return Columns(names, (UNKNOWN_UNIT,) * width, factors, np.ones(width),
                       config.ensemble or config.model.head.chunk_length)
    space = config.action_space
    units, real = zip(*(_unit(space, name, scale)
                        for name, scale in zip(space.names, space.scale)))
    return Columns(space.names, units, factors, np.array(real),
                   config.ensemble or space.execute_steps or 1, _gripper(space))


def _normalised(statistics: dict) -> np.ndarray:
    """Return the factors [A]; of a column whose bounds are one value nothing is left."""
    span = 0.5 * np.asarray(statistics['high'] - statistics['low']
                            + statistics.get('epsilon', 0.0), np.float64)
    inverse = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0)
    return np.where(statistics['mask'], inverse, 1.0)


def _unit(space: ActionSpace, name: str, scale: float) -> tuple[str, float]:
    if name == GRIPPER:
        return 'of its travel', 1.0 / abs(space.gripper_open - space.gripper_closed)
    unit = _UNITS[space.kind][space.is_cartesian and space.arm_names.index(name) >= 3]
    return unit, abs(scale) / (space.dt if space.kind.endswith('delta') else 1.0)


def _gripper(space: ActionSpace) -> tuple[int, float] | None:
    if GRIPPER not in space.names:
        return None
    threshold = space.gripper_threshold
    middle = (space.gripper_open + space.gripper_closed) / 2
    return space.names.index(GRIPPER), middle if threshold is None else threshold


def differences(columns: Columns, answers, others) -> Differences:
    """Compare answers [n, T, A] with others of the same frames, both in the checkpoint's units."""
    one, other = (np.asarray(part, np.float64)[:, :columns.rows] for part in (answers, others))
    apart = np.abs(one - other).mean(axis=1)
    agreement = None
    if columns.gripper:
        place, middle = columns.gripper
        agreement = ((one[..., place] > middle) == (other[..., place] > middle)).mean(axis=1)
    return Differences(apart * columns.normalised, apart * columns.real, agreement)
