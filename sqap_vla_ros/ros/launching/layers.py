# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a simulator's file changes of a robot's that it lies on top of, and what it may not."""

from collections.abc import Mapping

from sqap_vla_ros.options import plain_default
from sqap_vla_ros.ros.vla.config import PARAMETERS

ROBOTS_OWN = ('camera_frame', 'output')  # which a file on top only fills in


def kept(robot: Mapping, layer: Mapping) -> dict:
    """
    Return {parameter: value} that a robot's file decides though a file on top has another.

    robot, layer: {parameter: value} of the two files.
    """
    return {name: robot[name] for name in ROBOTS_OWN
            if name in layer and robot.get(name, '') not in ('', plain_default(PARAMETERS[name]),
                                                             layer[name])}


def notes(robot: Mapping, layer: Mapping, names: tuple[str, str], given) -> list[str]:
    """
    Return what to tell of parameters that both files have, with other values.

    names: of the two files.  given: names of parameters that arguments overrule anyway.
    """
    below, above = names
    stays = kept(robot, layer)
    differs = [name for name in layer if name in robot and robot[name] != layer[name]
               and name not in given]
    told = [f'{name} is {robot[name]}, of {below}; in {above} it is {layer[name]}: '
            f'{name}:={layer[name]} takes that' for name in differs if name in stays]
    changed = ', '.join(f'{name} ({layer[name]} for {robot[name]})'
                        for name in differs if name not in stays)
    return [*told, *([f'{above} overrules {below}: {changed}; NAME:=VALUE overrules both']
                     if changed else [])]
