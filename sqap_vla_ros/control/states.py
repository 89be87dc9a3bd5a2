# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the values of a policy's state are, by name: `"state": "libero"` in deployment.json.

x y z: the end effector's position, m.  qx qy qz qw: its quaternion.  rx ry rz: its rotation
vector, rad, as long as the angle of the quaternion says, 0 to 2 pi.  roll pitch yaw: its angles
about the fixed x, y and z axes, rad.  gripper: 0 closed .. 1 open.  gripper_position: where the
gripper's joint is, m or rad.  joint:NAME: where another joint is.  A minus before either of the
last two turns its sign.

Presets: libero: what the client of LIBERO's data sets tells (openvla-oft: run_libero_eval.py,
prepare_observation); the positions of the two fingers mirror each other.  There is none for
bridge_orig, whose angles are from a pose of its own, nor for ALOHA, where each robot names its
joints otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
import re

from ..errors import ConfigError
from ..support.validation import nearest

POSE_NAMES = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'rx', 'ry', 'rz', 'roll', 'pitch', 'yaw')
QUATERNION = POSE_NAMES[3:7]
GRIPPER, GRIPPER_POSITION, JOINT = 'gripper', 'gripper_position', 'joint:'
STATES = {'libero': ('x', 'y', 'z', 'rx', 'ry', 'rz', GRIPPER_POSITION, f'-{GRIPPER_POSITION}')}
_KNOWN = (*POSE_NAMES, GRIPPER, GRIPPER_POSITION, f'-{GRIPPER_POSITION}')
_UNDECLARED = re.compile(r'state_\d+')
VOCABULARY = ('x y z, qx qy qz qw, rx ry rz, roll pitch yaw, gripper, gripper_position, '
              'joint:NAME, -gripper_position and -joint:NAME')


def state_names(told, count: int | None = None) -> tuple[str, ...]:
    """
    Return the names of a state's values.

    told: a preset's name or a list of names, as deployment.json has it.  count: how many values
    the network takes, None where that is not known yet.  Raises ConfigError for what is unknown,
    or of another number.
    """
    wanted = f'a list of {"" if count is None else f"{count} "}names'
    if isinstance(told, str):
        if told not in STATES:
            raise ConfigError(f'state: preset {told!r} is unknown{nearest(told, STATES)}: there '
                              f'are {list(STATES)}, or give {wanted}')
        told = STATES[told]
    if not isinstance(told, Sequence) or not all(isinstance(name, str) for name in told):
        raise ConfigError(f'state is {told!r}, expected {wanted}, such as ["x", "y", "z", "roll", '
                          f'"pitch", "yaw", "gripper"], or one of the presets {list(STATES)}')
    check_names(told)
    if count is not None and len(told) != count:
        raise ConfigError(f'state names {len(told)} values ({" ".join(told)}), the network takes '
                          f'{count}')
    return tuple(told)


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError for a name that no value has, one given twice, or half a quaternion."""
    for name in names:
        if name not in _KNOWN and not joint_of(name):
            raise ConfigError(f'state: {name!r} is no value of a robot{nearest(name, _KNOWN)}: '
                              f'use {VOCABULARY}')
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise ConfigError(f'state names {", ".join(doubled)} more than once: name what each of '
                          'its values is')
    lost = [name for name in QUATERNION if name not in names]
    if lost and set(QUATERNION).intersection(names):
        raise ConfigError(f'state names a quaternion without {", ".join(lost)}, which is no '
                          f'rotation: name all of {" ".join(QUATERNION)}')


def check_kept_names(names, count: int) -> None:
    """
    Raise ConfigError unless these are the names of a state of so many values, or there are none.

    names: a tuple, as a checkpoint's own config.json keeps them; undeclared ones are among them.
    """
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'state_names is {names!r}, expected a list of names, such as '
                          f'{list(STATES["libero"])}')
    if names and len(names) != count:
        raise ConfigError(f'state_names names {len(names)} values ({" ".join(names)}), and the '
                          f'network takes a state of {count}')
    check_names([name for name in names if not _UNDECLARED.fullmatch(name)])


def joint_of(name: str) -> str:
    """Return the joint that joint:NAME or -joint:NAME is of, '' for other names."""
    found = name.removeprefix('-')
    return found.removeprefix(JOINT).strip() if found.startswith(JOINT) else ''


def undeclared(count: int) -> tuple[str, ...]:
    """Return the names of values of which nobody has told what they are."""
    return tuple(f'state_{index}' for index in range(count))


def is_undeclared(names: Sequence[str]) -> bool:
    """Return whether nobody has told what these values are."""
    return any(_UNDECLARED.fullmatch(name) for name in names)
