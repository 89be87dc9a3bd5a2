# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the columns of an action mean, and actions in SI units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .command import Command
from ..errors import ConfigError

TWIST_NAMES = ('vx', 'vy', 'vz', 'wx', 'wy', 'wz')
DELTA_NAMES = ('dx', 'dy', 'dz', 'rx', 'ry', 'rz')
NAMES_BY_KIND = {'twist': TWIST_NAMES, 'delta': DELTA_NAMES}
FRAMES = ('base', 'end_effector')


@dataclass(frozen=True)
class ActionSpace:
    """
    What the columns of an action mean.

    kind: 'twist' (m/s, rad/s) or 'delta' (m and rad, as a rotation vector, for each step).
    names: one a column; NAMES_BY_KIND[kind] in any order, and 'gripper' if there is one.
    dt: seconds between two rows.  frame: 'base' or 'end_effector', in which they are expressed.
    execute_steps: rows to play before the next image is asked about.
    gripper_open, gripper_closed: the checkpoint's values for an open and a closed gripper.
    Raises ConfigError.
    """

    kind: str = 'twist'
    names: tuple[str, ...] = TWIST_NAMES + ('gripper',)
    dt: float = 0.05
    frame: str = 'base'
    execute_steps: int = 4
    gripper_open: float = 1.0
    gripper_closed: float = 0.0

    def __post_init__(self):
        """Raise ConfigError for anything that could not be turned into a twist."""
        if self.kind not in NAMES_BY_KIND:
            raise ConfigError(f'action space: kind is {self.kind!r}, expected one of '
                              f'{sorted(NAMES_BY_KIND)}')
        missing = [name for name in NAMES_BY_KIND[self.kind] if name not in self.names]
        unknown = set(self.names) - set(NAMES_BY_KIND[self.kind]) - {'gripper'}
        if missing or unknown or len(set(self.names)) != len(self.names):
            raise ConfigError(
                f'action space {self.kind!r}: names are {list(self.names)}, expected each of '
                f'{list(NAMES_BY_KIND[self.kind])} once, and gripper if there is one')
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise ConfigError(f'action space: dt is {self.dt}, expected seconds > 0')
        if self.frame not in FRAMES:
            raise ConfigError(f'action space: frame is {self.frame!r}, expected one of {FRAMES}')
        if self.execute_steps < 1:
            raise ConfigError(
                f'action space: execute_steps is {self.execute_steps}, expected at least 1')
        if self.gripper_open == self.gripper_closed:
            raise ConfigError('action space: gripper_open and gripper_closed are both '
                              f'{self.gripper_open}')

    @classmethod
    def from_config(cls, config) -> ActionSpace:
        """Build it from a checkpoint's `action_space` mapping; unknown keys raise ConfigError."""
        unknown = set(config) - set(cls.__dataclass_fields__)
        missing = {'kind', 'names', 'dt'} - set(config)
        if unknown or missing:
            raise ConfigError(f'action space: missing keys {sorted(missing)}, '
                              f'unknown keys {sorted(unknown)}')
        return cls(**{**config, 'names': tuple(config['names'])})

    def commands(self, actions: np.ndarray) -> tuple[Command, ...]:
        """
        Convert actions [T, A] in the checkpoint's units to T commands in SI units.

        Raises ConfigError when A is not the number of names. Non-finite values pass through:
        the SafetyGate is what stops on them.
        """
        actions = np.asarray(actions, dtype=np.float64)
        if actions.ndim != 2 or actions.shape[1] != len(self.names):
            raise ConfigError(f'actions have shape {actions.shape}, expected '
                              f'[T, {len(self.names)}] for {list(self.names)}')
        columns = [self.names.index(name) for name in NAMES_BY_KIND[self.kind]]
        twists = actions[:, columns] / (self.dt if self.kind == 'delta' else 1.0)
        if 'gripper' not in self.names:
            return tuple(Command(twist) for twist in twists)
        span = self.gripper_open - self.gripper_closed
        opening = (actions[:, self.names.index('gripper')] - self.gripper_closed) / span
        return tuple(Command(twist, float(g)) for twist, g in zip(twists, opening))
