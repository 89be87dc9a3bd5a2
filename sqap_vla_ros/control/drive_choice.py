# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which drive the parameters ask for."""

from __future__ import annotations

from .drives import Drive, PoseDrive, TwistDrive
from .joint_drive import JointDrive
from .output_modes import JOINT_OUTPUTS


def make_drive(config, space, urdf: str | None = None) -> Drive:
    """
    Return the pure half of the output that a NodeConfig names; urdf: its text, for joints.

    Raises ConfigError where the URDF does not fit, or a workspace could not be kept.
    """
    config.check_space(space)
    if config.output in JOINT_OUTPUTS:
        return JointDrive.of(space, config.joint_settings, urdf, config.base_frame,
                             config.end_effector_frames[0])
    return PoseDrive(space.frame) if config.output == 'pose' else TwistDrive()
