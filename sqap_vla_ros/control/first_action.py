# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the first target of an absolute action is near where the arm is.

A checkpoint of another robot, another base frame or another order of joints says targets that
are far away; nothing else tells it as early.
"""

from __future__ import annotations

import math

import numpy as np

from .command import Measured
from .limits import CommandLimits, JointLimits
from ..geometry.quaternions import conjugate, product, rotation_vector

_CURE = ('is the base frame, the order of columns or the scale another one than in the training '
         'data?')


def checks_first(limits: CommandLimits | JointLimits) -> bool:
    """Return whether there is a limit to how far away a first target may be."""
    if isinstance(limits, CommandLimits):
        return math.isfinite(limits.first_linear) or math.isfinite(limits.first_angular)
    return math.isfinite(limits.first)


def holds_all(limits: CommandLimits | JointLimits) -> bool:
    """Return whether a first target is limited in all that it tells."""
    if isinstance(limits, CommandLimits):
        return math.isfinite(limits.first_linear) and math.isfinite(limits.first_angular)
    return math.isfinite(limits.first)


def is_known(limits: CommandLimits | JointLimits, measured: Measured | None) -> bool:
    """Return whether what a first target is compared with was measured."""
    name = 'pose' if isinstance(limits, CommandLimits) else 'joints'
    return measured is not None and getattr(measured, name) is not None


def why_far(limits: CommandLimits | JointLimits, position: np.ndarray,
            measured: Measured) -> str | None:
    """Return why a position ([7] pose or [n] joints) is too far away, None if it is not."""
    if isinstance(limits, JointLimits):
        return _joints_far(limits, position, measured.joints)
    pose = measured.pose
    distance = math.dist(position[:3], pose.translation)
    angle = float(np.linalg.norm(rotation_vector(
        product(np.asarray(position[3:]), conjugate(pose.quaternion)))))
    if distance <= limits.first_linear and angle <= limits.first_angular:
        return None
    return (f'begins {distance:.3g} m and {angle:.3g} rad from the measured pose, more than '
            f'{limits.first_linear:g} m or {limits.first_angular:g} rad: {_CURE}')


def _joints_far(limits: JointLimits, position, joints) -> str | None:
    off = np.abs(np.asarray(position) - joints)
    worst = int(np.argmax(off))
    if off[worst] <= limits.first:
        return None
    return (f'begins with {limits.names[worst]} {off[worst]:.3g} rad from where it is measured, '
            f'more than {limits.first:g} rad: {_CURE}')
