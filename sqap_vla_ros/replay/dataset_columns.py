# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the columns of a LeRobot data set mean: the file of --dataset, or what can be known without.

Data sets tell names of columns at best, never units. An action is described as a checkpoint's
action_space is, a state in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
import re

import numpy as np

from ..control.action_space import ABSOLUTE_KINDS, ActionSpace, POSE_NAMES
from ..control.presets import preset_name
from ..errors import ConfigError
from ..support.files import nearest_path
from ..support.requirements import missing_modules_as
from ..support.validation import nearest, unknown_names

FLAG = '--dataset'
ACTIONS, STATES = ('action', 'actions'), ('observation.state', 'state')
QUATERNION = ('qx', 'qy', 'qz', 'qw')
PARTS = ('action', 'state', 'static_transforms')
_JOINTS = re.compile(r'joint|motor|shoulder|elbow|wrist|waist|\.pos$|\.q$')


@dataclass(frozen=True, eq=False)
class Columns:
    """
    What some columns of a feature are.

    feature: its name in the data set.  indices: of the columns, in the order of space.names.
    space: what they mean; of a state only positions: kind 'pose' in the base, or joint_position.
    has_quaternion: whether qx qy qz qw stand in the place of its rx ry rz.
    """

    feature: str
    indices: np.ndarray
    space: ActionSpace
    has_quaternion: bool = False


@dataclass(frozen=True)
class StaticTransform:
    """A pose of a frame in another: x y z [m], quaternion x y z w."""

    parent: str
    child: str
    xyz: tuple[float, ...]
    quaternion: tuple[float, ...]


@dataclass(frozen=True)
class Meaning:
    """What of a data set is known: None or () for what is not."""

    action: Columns | None = None
    state: Columns | None = None
    static: tuple[StaticTransform, ...] = ()


def read_meaning(path, recording) -> Meaning:
    """Return what a YAML file says of a data set; raise ConfigError, naming the file and key."""
    values = _values(Path(path))
    unknown = unknown_names(values, PARTS)
    if unknown:
        raise ConfigError(f'{FLAG} {path}: unknown keys {unknown}, expected {", ".join(PARTS)}')
    parts = {}
    for part, features in (('action', ACTIONS), ('state', STATES)):
        if values.get(part) is None:
            continue
        try:
            parts[part] = _columns(values[part], part, features, recording)
        except ConfigError as error:
            raise ConfigError(f'{FLAG} {path}: {part}: {error}') from error
    static = values.get('static_transforms') or ()
    try:
        return Meaning(**parts, static=tuple(map(_static, static)))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{FLAG} {path}: static_transforms: {error!r}, expected a list of '
                          '{parent: base, child: camera, xyz: [x, y, z], quaternion: [x, y, z, '
                          'w]}, in m') from error


def guessed_meaning(recording, space: ActionSpace | None) -> tuple[Meaning, list[str]]:
    """
    Return what can be known of a data set from the checkpoint, and notes.

    Its action is taken to be in the checkpoint's units where it has as many columns, and the
    state where it has the action's columns and those are positions.
    """
    action, notes = _feature(recording, ACTIONS), []
    state = _feature(recording, STATES)
    names = recording.columns.get(action, ())
    if action and _fits(space, names):
        order = _order(names, space)
        meant = Columns(action, order, replace(space, dt=1 / recording.fps))
        notes.append(f"{action} is read as the checkpoint's action_space says ({space.kind}: "
                     f'{", ".join(space.names)}), a row each {1 / recording.fps:.3g} s: '
                     f'{FLAG} FILE.yaml says otherwise')
        is_same = recording.columns.get(state) == names and space.kind in ABSOLUTE_KINDS and (
            space.frame == 'base')
        if is_same:
            return Meaning(meant, replace(meant, feature=state)), notes
    else:
        meant = None
        if action:
            notes.append(_unused(action, names, space))
    if state:
        notes.append(f'{state} ({_listed(recording.columns[state])}) is not used: {FLAG} '
                     'FILE.yaml says what its columns are, and in which units')
    return Meaning(meant), notes


def _columns(values, part, features, recording) -> Columns:
    if isinstance(values, str):
        values = {'preset': values}
    if not isinstance(values, Mapping):
        raise ConfigError(f'found {values!r}, expected what an action_space has, such as kind, '
                          'names, scale, and columns')
    feature = values.get('feature') or _feature(recording, features)
    known = recording.columns.get(feature)
    if known is None:
        raise ConfigError(f'the data set has no feature {feature or features[0]!r}'
                          f'{nearest(feature, recording.columns)}, but '
                          f'{", ".join(recording.columns)}')
    indices = _indices(values.get('columns'), known, recording.slices.get(part, {}))
    meant = {'dt': 1 / recording.fps, 'frame': 'base', **{
        key: value for key, value in values.items() if key not in ('columns', 'feature')}}
    if preset_name(values) is None:
        meant.setdefault('names', [known[index] for index in indices])
    has_quaternion = 'qw' in (meant.get('names') or ())
    if has_quaternion:
        indices = _with_quaternion(meant, indices)
    space = ActionSpace.from_config(meant)
    if len(space.names) + has_quaternion != len(indices):
        raise ConfigError(f'{len(space.names)} names ({_listed(space.names)}) for {len(indices)} '
                          f'columns ({_listed([known[index] for index in indices])})')
    if part == 'state' and (space.kind not in ABSOLUTE_KINDS or space.frame != 'base'):
        raise ConfigError(f'kind {space.kind!r} in {space.frame!r}, expected pose or '
                          'joint_position in base: where the arm is')
    return Columns(feature, indices, space, has_quaternion)


def _with_quaternion(meant, indices) -> np.ndarray:
    """Name rx ry rz in the place of qx qy qz qw; return the columns in the order of names."""
    names = list(meant['names'])
    order = [*POSE_NAMES[:3], *QUATERNION, *(['gripper'] if 'gripper' in names else [])]
    if meant.get('kind') != 'pose' or sorted(names) != sorted(order) or (
            len(names) != len(indices)):
        raise ConfigError(f'names are {_listed(names)} for {len(indices)} columns, expected each '
                          f'of {_listed(order)} once, of kind pose')
    meant.update(names=[*POSE_NAMES, *order[7:]], rotation='rotvec')
    return np.array([indices[names.index(name)] for name in order])


def _indices(told, known, slices) -> np.ndarray:
    """Return indices of columns that are told by name, by number or by a part of the robot."""
    if told is None:
        return np.arange(len(known))
    if isinstance(told, (str, int)):
        told = [told]
    if not isinstance(told, Sequence) or not told:
        raise ConfigError(f'columns is {told!r}, expected names or numbers of columns')
    found = []
    for each in told:
        if isinstance(each, int) and 0 <= each < len(known):
            found.append(each)
        elif each in known:
            found.append(known.index(each))
        elif each in slices:
            found += range(*slices[each])
        else:
            names = [*known, *slices]
            raise ConfigError(f'columns has {each!r}{nearest(each, names)}, expected 0..'
                              f'{len(known) - 1} or one of {_listed(names)}')
    if len(set(found)) < len(found) or max(found) >= len(known):
        raise ConfigError(f'columns are {found}, expected each once, 0..{len(known) - 1}')
    return np.array(found)


def _static(values) -> StaticTransform:
    allowed = {item.name for item in fields(StaticTransform)}
    if set(values) - allowed:
        raise ValueError(f'unknown keys {sorted(set(values) - allowed)}')
    xyz = tuple(map(float, values.get('xyz', (0, 0, 0))))
    turn = tuple(map(float, values.get('quaternion', (0, 0, 0, 1))))
    if len(xyz) != 3 or len(turn) != 4 or not abs(np.linalg.norm(turn) - 1) < 0.01:
        raise ValueError(f'xyz {xyz} and quaternion {turn}, expected 3 and 4 numbers, the latter '
                         'of length 1')
    return StaticTransform(str(values['parent']), str(values['child']), xyz, turn)


def _feature(recording, names) -> str:
    return next((name for name in names if name in recording.columns), '')


def _fits(space, names) -> bool:
    """Whether columns can be a checkpoint's actions."""
    if space is None or len(names) != len(space.names):
        return False
    joints = sum(bool(_JOINTS.search(name.lower())) for name in names)
    return not space.is_cartesian or joints <= len(names) / 2


def _order(names, space) -> np.ndarray:
    """Return the columns in the order of the space: by name where all have one, else as is."""
    plain = [name.removesuffix('.pos') for name in names]
    if set(plain) == set(space.names):
        return np.array([plain.index(name) for name in space.names])
    return np.arange(len(names))


def _unused(action, names, space) -> str:
    expected = f', which the checkpoint ({space.kind}: {_listed(space.names)}) does not tell' \
        if space else ''
    return (f'{action} ({len(names)} columns: {_listed(names)}) is not compared: {FLAG} FILE.yaml '
            f'says what its columns are{expected}')


def _listed(names) -> str:
    names = list(map(str, names))
    return ', '.join(names[:8]) + f', ... ({len(names)})' * (len(names) > 8)


def _values(path: Path) -> Mapping:
    with missing_modules_as(ConfigError):
        import yaml
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ConfigError(f'{FLAG} {path} cannot be read: {error.strerror}'
                          f'{nearest_path(path)}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'{FLAG} {path} is no YAML: {error}') from error
    if not isinstance(values, Mapping):
        raise ConfigError(f'{FLAG} {path}: found {type(values).__name__}, expected '
                          f'{", ".join(PARTS)} with what each is; a pose has the columns '
                          f'{", ".join(POSE_NAMES)}')
    return values
