# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the columns of an action mean, and actions in SI units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from .command import Command, Measured
from .output_modes import CARTESIAN_KINDS
from .presets import expanded
from .rotation import rotation_vector_from_rpy
from .row_positions import absolute_poses, integrated_poses, pose_steps
from ..errors import ConfigError, ObservationError
from ..support.validation import is_count, is_number, unknown_names

TWIST_NAMES = ('vx', 'vy', 'vz', 'wx', 'wy', 'wz')
DELTA_NAMES = ('dx', 'dy', 'dz', 'rx', 'ry', 'rz')
POSE_NAMES = ('x', 'y', 'z', 'rx', 'ry', 'rz')
NAMES_BY_KIND = {'twist': TWIST_NAMES, 'delta': DELTA_NAMES, 'pose': POSE_NAMES,
                 'joint_position': None, 'joint_delta': None}  # None: the robot's joint names
ABSOLUTE_KINDS = ('pose', 'joint_position')
ROTATION_KINDS = ('delta', 'pose')
FRAMES = ('base', 'end_effector')
ROTATIONS = ('rotvec', 'rpy')
DT_RANGE_S = (0.001, 2.0)
ASKED = {  # what a file that leaves it out is asked for
    'kind': f'one of {tuple(NAMES_BY_KIND)}',
    'names': 'a list with one name a column',
    'dt': 'seconds from one row to the next, such as 0.2 at 5 Hz',
    'frame': f'in which the actions are expressed, one of {FRAMES}',
    'rotation': "'rpy' for roll, pitch and yaw, as most Open X-Embodiment data sets have, or "
                "'rotvec' for a rotation vector, as LIBERO has",
    'gripper_open': "the gripper column's value for an open gripper",
    'gripper_closed': "the gripper column's value for a closed gripper"}


@dataclass(frozen=True)
class ActionSpace:
    """
    What the columns of an action mean.

    kind: 'twist' (m/s, rad/s), 'delta' (m, rad for each step), 'pose' (m, rad), 'joint_position'
    or 'joint_delta' (rad, or m where a joint slides); see output_modes.py for what each drives.
    names: one a column; NAMES_BY_KIND[kind] in any order, and 'gripper' if there is one.
    dt: seconds between two rows.  frame: 'base' or 'end_effector', in which they are expressed;
    poses in 'end_effector' are relative to where that was when the image was taken.
    execute_steps: rows to play before the next image is asked about; None until the number of
    rows is known, see with_rows.
    gripper_open, gripper_closed: the checkpoint's values for an open and a closed gripper.
    scale: what each column is multiplied by to be in SI units, in the order of names or by name
    (1 where nothing is said): pi / 180 for degrees, 0.001 for millimetres.
    rotation: how rx, ry, rz of a delta or pose are meant after that, 'rotvec' or 'rpy' (see
    rotation_vector_from_rpy); None where a file of an earlier version does not say, and then it
    is a rotation vector.
    gripper_threshold: in the checkpoint's units; on its open side the gripper is opened, else
    closed.  None lets the opening be continuous.
    The defaults are those of the policies that this package trains.  Raises ConfigError.
    """

    kind: str = 'twist'
    names: tuple[str, ...] = TWIST_NAMES + ('gripper',)
    dt: float = 0.05
    frame: str = 'base'
    execute_steps: int | None = None
    gripper_open: float = 1.0
    gripper_closed: float = 0.0
    scale: tuple[float, ...] = ()
    rotation: str | None = None
    gripper_threshold: float | None = None

    def __post_init__(self):
        """Raise ConfigError for anything that could not be turned into commands."""
        self._check_choices()
        self._check_names()
        self._check_dt()
        self._check_gripper()
        object.__setattr__(self, 'names', tuple(self.names))
        object.__setattr__(self, 'scale', self._checked_scale())
        if self.execute_steps is not None and (
                not is_count(self.execute_steps) or self.execute_steps < 1):
            raise _error(f'execute_steps is {self.execute_steps!r}, expected a whole number >= 1')

    @classmethod
    def from_config(cls, config) -> ActionSpace:
        """
        Build it from an `action_space` of a file; whatever is missing is asked for.

        config: an object, or the name of a preset, see presets.py.  Raises ConfigError for
        missing and unknown keys, too.
        """
        config = expanded(config)
        if not isinstance(config, Mapping):
            raise _error(f'found {config!r}, expected an object with {", ".join(ASKED)}, or the '
                         'name of a preset')
        unknown = unknown_names(config, [field.name for field in fields(cls)])
        if unknown:
            raise _error(f'unknown keys {unknown}')
        missing = [name for name in _needed(config) if name not in config]
        if missing:
            raise _error('; '.join(f'{name} is missing: {ASKED[name]}' for name in missing))
        return cls(**config)

    @property
    def dt_ns(self) -> int:
        """Return the time between two rows in nanoseconds."""
        return round(self.dt * 1e9)

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Return the columns but the gripper's, in the order of their meaning."""
        return NAMES_BY_KIND[self.kind] or tuple(
            name for name in self.names if name != 'gripper')

    def with_rows(self, rows: int) -> ActionSpace:
        """
        Return it with execute_steps settled for a policy that answers with so many rows.

        One row is executed whole; of several rows the number is asked for, never guessed.
        Raises ConfigError when it is missing or beyond the rows.
        """
        if self.execute_steps is None and rows > 1:
            raise _error(f'execute_steps is missing: how many of the {rows} rows of an answer are '
                         f'executed before the next image is asked about, 1..{rows}')
        if (self.execute_steps or 1) > rows:
            raise _error(f'execute_steps is {self.execute_steps}, but an answer of this policy '
                         f'has {rows} row{"s" * (rows > 1)}: expected 1..{rows}')
        return replace(self, execute_steps=self.execute_steps or 1)

    @property
    def is_cartesian(self) -> bool:
        """Whether actions are about the end effector, and not about joints."""
        return self.kind in CARTESIAN_KINDS

    @property
    def needs(self) -> frozenset[str]:
        """Return what of the arm has to be measured for commands, out of 'pose' and 'joints'."""
        if self.kind not in ABSOLUTE_KINDS:
            return frozenset()
        return frozenset({'pose' if self.is_cartesian else 'joints'})

    def commands(self, actions: np.ndarray, start: Measured | None = None) -> tuple[Command, ...]:
        """
        Convert actions [T, A] in the checkpoint's units to T commands in SI units.

        start: where the arm was at the image's stamp; with it commands have positions, too, which
        absolute kinds and deltas make together from there.
        Raises ConfigError for no rows, when A is not the number of names and for what are no
        numbers, and ObservationError where an absolute kind lacks its start.  Non-finite values
        pass through: the SafetyGate is what stops on them.
        """
        actions = self._rows(actions)
        arm = (actions * np.array(self.scale))[:, [self.names.index(x) for x in self.arm_names]]
        if self.rotation == 'rpy':
            arm[:, 3:] = rotation_vector_from_rpy(arm[:, 3:])
        begun = self._start(start)
        with np.errstate(invalid='ignore', over='ignore'):
            velocities, positions = self._absolute(arm, begun) if self.needs else (
                self._relative(arm, begun))
        openings = [None] * len(actions) if 'gripper' not in self.names else map(
            float, self._opening(actions[:, self.names.index('gripper')]))
        return tuple(map(Command, velocities, openings, positions))

    def _rows(self, actions) -> np.ndarray:
        """Return actions as float64 [T, A]."""
        expected = f'expected [T, {len(self.names)}] numbers for {list(self.names)}, T >= 1'
        try:
            actions = np.asarray(actions)
        except ValueError as error:
            raise ConfigError(f'actions are rows of different lengths, {expected}') from error
        if actions.ndim != 2 or actions.shape[1] != len(self.names) or not len(actions):
            raise ConfigError(f'actions have shape {actions.shape}, {expected}')
        if actions.dtype.kind not in 'iuf':
            raise ConfigError(f'actions are of type {actions.dtype}, {expected}')
        return actions.astype(np.float64)

    def _start(self, start: Measured | None):
        """Return the pose or joints [n] to start from, None if they are not known."""
        begun = start and (start.pose if self.is_cartesian else start.joints)
        if begun is None and self.needs:
            what = 'pose of the end effector' if self.is_cartesian else 'joint positions'
            raise ObservationError(
                f"actions of kind {self.kind} need the measured {what} at the image's stamp: "
                f'{"is its TF" if self.is_cartesian else "are joint_states"} published?')
        if begun is not None and not self.is_cartesian and len(begun) != len(self.arm_names):
            raise ObservationError(f'{len(begun)} joint positions are measured, expected those of '
                                   f'{list(self.arm_names)}')
        return begun

    def _absolute(self, rows: np.ndarray, start):
        """Return velocities and positions of absolute rows."""
        if not self.is_cartesian:
            return np.diff(rows, axis=0, prepend=[start]) / self.dt, rows
        positions = absolute_poses(start, rows, self.frame)
        return pose_steps(start, positions, self.frame) / self.dt, positions

    def _relative(self, rows: np.ndarray, start):
        """Return velocities of relative rows, and their positions or None for each."""
        velocities = rows / self.dt if self.kind.endswith('delta') else rows
        if start is None:
            return velocities, [None] * len(rows)
        steps = velocities * self.dt
        return velocities, (integrated_poses(start, steps, self.frame) if self.is_cartesian
                            else start + np.cumsum(steps, axis=0))

    def _opening(self, gripper: np.ndarray) -> np.ndarray:
        """Return 0 closed .. 1 open of gripper values [T] in the checkpoint's units."""
        span = self.gripper_open - self.gripper_closed
        if self.gripper_threshold is None:
            return (gripper - self.gripper_closed) / span
        is_open = (gripper - self.gripper_threshold) / span > 0
        return np.where(np.isfinite(gripper), is_open, gripper)

    def _check_choices(self) -> None:
        for name, choices in (('kind', tuple(NAMES_BY_KIND)), ('frame', FRAMES),
                              ('rotation', (None, *ROTATIONS))):
            if getattr(self, name) not in choices:
                raise _error(f'{name} is {getattr(self, name)!r}, expected one of {choices}')
        if self.rotation == 'rpy' and self.kind not in ROTATION_KINDS:
            raise _error(f'rotation is rpy, but kind {self.kind!r} has no such angles: only '
                         f'{" and ".join(ROTATION_KINDS)} have')

    def _check_names(self) -> None:
        names, expected = self.names, NAMES_BY_KIND[self.kind]
        if not isinstance(names, (list, tuple)) or not all(
                isinstance(name, str) and name for name in names):
            raise _error(f'names are {names!r}, expected {ASKED["names"]}')
        arm = [name for name in names if name != 'gripper']
        if len(set(names)) != len(names) or not arm or (
                expected and sorted(arm) != sorted(expected)):
            each = f'each of {list(expected)}' if expected else "each of the arm's joints"
            raise _error(f'names are {list(names)}, expected {each} once, and gripper if there is '
                         f'one, for kind {self.kind!r}')

    def _check_dt(self) -> None:
        low, high = DT_RANGE_S
        if not is_number(self.dt):
            raise _error(f'dt is {self.dt!r}, expected {ASKED["dt"]}')
        if high < self.dt <= 1000:
            raise _error(f'dt is {self.dt} s: did you mean {self.dt:g} Hz, dt {1 / self.dt:.3g}? '
                         f'Expected seconds, {low}..{high}')
        if not low <= self.dt <= high:
            raise _error(f'dt is {self.dt} s, expected {low}..{high}: {ASKED["dt"]}')

    def _check_gripper(self) -> None:
        ends, threshold = (self.gripper_open, self.gripper_closed), self.gripper_threshold
        if not all(map(is_number, ends)) or ends[0] == ends[1]:
            raise _error(f'gripper_open is {ends[0]!r} and gripper_closed {ends[1]!r}, expected '
                         'two different numbers')
        if threshold is not None and not (
                is_number(threshold) and min(ends) < threshold < max(ends)):
            raise _error(f'gripper_threshold is {threshold!r}, expected a number between '
                         f'gripper_closed {ends[1]} and gripper_open {ends[0]}')

    def _checked_scale(self) -> tuple[float, ...]:
        """Return one factor a column."""
        scale, names = self.scale, self.names
        if isinstance(scale, Mapping):
            unknown = unknown_names(scale, names)
            if unknown:
                raise _error(f'scale has the unknown columns {unknown}, names are {list(names)}')
            scale = [scale.get(name, 1.0) for name in names]
        if not isinstance(scale, (list, tuple)) or len(scale) not in (0, len(names)) or not all(
                is_number(factor) and factor > 0 for factor in scale):
            raise _error(f'scale is {self.scale!r}, expected a number above 0 for each of '
                         f'{list(names)}, or an object with numbers by name')
        scale = tuple(map(float, scale)) or (1.0,) * len(names)
        if 'gripper' in names and scale[list(names).index('gripper')] != 1:
            raise _error('scale of the gripper must be 1: gripper_open and gripper_closed are in '
                         "the checkpoint's units")
        return scale


def _needed(config: Mapping) -> list[str]:
    """Return the keys that a file has to have, by what it says."""
    kind, names = config.get('kind'), config.get('names', ())
    needed = ['kind', 'names', 'dt']
    if isinstance(kind, str) and not kind.startswith('joint'):
        needed.append('frame')
    if kind in ROTATION_KINDS:
        needed.append('rotation')
    if isinstance(names, (list, tuple)) and 'gripper' in names:
        needed += ['gripper_open', 'gripper_closed']
    return needed


def _error(text: str) -> ConfigError:
    return ConfigError(f'action_space: {text}')
