# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which kind of actions can drive an arm through which output."""

from __future__ import annotations

from ..errors import ConfigError

CARTESIAN_OUTPUTS = ('twist', 'pose')
JOINT_OUTPUTS = ('joint_trajectory', 'joint_position')
OUTPUTS = CARTESIAN_OUTPUTS + JOINT_OUTPUTS
CARTESIAN_KINDS = ('twist', 'delta', 'pose')
JOINT_KINDS = ('joint_position', 'joint_delta')
# how a kind gets to an output; what is not here does not go
DIRECT, BY_KINEMATICS = 'direct', 'by kinematics'
ROUTES = {
    **{(kind, output): DIRECT for kind in CARTESIAN_KINDS for output in CARTESIAN_OUTPUTS},
    **{(kind, output): DIRECT for kind in JOINT_KINDS for output in JOINT_OUTPUTS},
    **{(kind, output): BY_KINEMATICS for kind in CARTESIAN_KINDS for output in JOINT_OUTPUTS}}


def check_output(kind: str, output: str) -> None:
    """Raise ConfigError unless actions of a kind can drive an arm through an output."""
    if output not in OUTPUTS:
        raise ConfigError(f'output is {output!r}, expected one of {", ".join(OUTPUTS)}')
    if (kind, output) not in ROUTES:
        raise ConfigError(
            f"output is {output}, but the checkpoint's actions are of kind {kind}: where its "
            f'joints are to be, which no {output} can tell. Set output to one of '
            f'{", ".join(JOINT_OUTPUTS)}')


def needs_kinematics(kind: str, output: str) -> bool:
    """Return whether a URDF is needed to get from actions of a kind to an output."""
    return ROUTES.get((kind, output)) == BY_KINEMATICS
