# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What stands where a checkpoint does not say what its actions mean to a robot."""

from ..control.presets import PRESETS
from ..errors import ConfigError

EXAMPLE_ACTION_SPACE = (
    '{"action_space": {"kind": "delta", "names": ["dx", "dy", "dz", "rx", "ry", "rz", "gripper"], '
    '"dt": 0.2, "frame": "base", "rotation": "rpy", "gripper_open": 1.0, "gripper_closed": 0.0}}, '
    f'or by the name of a preset, {tuple(PRESETS)}, such as {{"action_space": "bridge"}}')


class UndeclaredActionSpace:
    """
    Stands where a checkpoint does not say what its actions mean to a robot.

    Whoever needs to know gets a ConfigError that says where to write it.
    """

    def __init__(self, file: str):
        self.file = file

    def __eq__(self, other):
        """Return whether the other one says nothing either, whatever its file."""
        return isinstance(other, UndeclaredActionSpace)

    def __hash__(self):
        """Return the same for all that say nothing."""
        return hash(UndeclaredActionSpace)

    def __getattr__(self, name):
        """Raise ConfigError, for every attribute of an ActionSpace."""
        if name.startswith('__'):
            raise AttributeError(name)
        raise ConfigError(
            'the checkpoint does not say how long one of its steps lasts, in which frame its '
            'actions are and which gripper value means open: pass an action_space to load_policy, '
            f'or declare action_space in {self.file}, such as {EXAMPLE_ACTION_SPACE}')
