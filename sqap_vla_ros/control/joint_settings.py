# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the parameters say of joints, and the limits that come of it and of the URDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
import math

from .limits import JointLimits
from .urdf import Joint, read_joints
from ..errors import ConfigError
from ..support.validation import unknown_names

FREE = math.inf


@dataclass(frozen=True)
class JointSettings:
    """
    What is asked of joints on top of the URDF; the defaults ask nothing.

    names: of the joints that are commanded, in order; empty for all between the two frames.
    position_only: see InverseKinematics.  margin: rad or m, kept from position limits.
    speed_factor: 0..1, of the velocity limits.  speeds: rad/s or m/s, in place of the URDF's, one
    a joint or one for all; 0 for the URDF's.  lower, upper: rad or m, one a joint or one for all;
    the narrower of these and the URDF's hold.  acceleration, jerk: rad/s2 and rad/s3 (or m), of
    each joint; infinite for none.  reject_factor, first, trip_count, trip_window_s: see
    JointLimits.
    tracking: how far measured joints may be from where they were told to be; infinite for any.
    apart_m, apart_rad: how far the end effector by URDF and joint_states may be from TF's.
    """

    names: tuple[str, ...] = ()
    position_only: bool = False
    margin: float = 0.0
    speed_factor: float = 1.0
    speeds: Sequence[float] = (0.0,)
    lower: Sequence[float] = (-FREE,)
    upper: Sequence[float] = (FREE,)
    acceleration: float = FREE
    jerk: float = FREE
    reject_factor: float = 5.0
    first: float = FREE
    trip_count: int = 0
    trip_window_s: float = 10.0
    tracking: float = FREE
    apart_m: float = FREE
    apart_rad: float = FREE

    def limits(self, names: Sequence[str], described: Mapping[str, Joint],
               whole: bool = False) -> JointLimits:
        """
        Return the limits of joints by name; raise ConfigError where a speed limit is missing.

        described: the URDF's joints, empty without one.  whole: see JointLimits.
        """
        count = len(names)
        speeds = _each('max_joint_speeds', self.speeds, count)
        lower, upper = (_each(f'joint_{end}_limits', getattr(self, end), count)
                        for end in ('lower', 'upper'))
        known = [described.get(name) for name in names]
        speeds = [speed or (joint.velocity if joint else 0.0)
                  for speed, joint in zip(speeds, known)]
        _check_speeds(names, speeds, bool(described))
        return JointLimits(
            [self.speed_factor * speed for speed in speeds], (self.acceleration,) * count,
            (self.jerk,) * count,
            [max(low, joint.lower) if joint else low for low, joint in zip(lower, known)],
            [min(high, joint.upper) if joint else high for high, joint in zip(upper, known)],
            self.margin, whole, self.reject_factor, self.first, self.trip_count,
            self.trip_window_s, names)

    def tolerating(self, limits: JointLimits) -> JointLimits:
        """Return limits with what these settings call a fault; nothing else of them changes."""
        return replace(limits, reject_factor=self.reject_factor, first=self.first,
                       trip_count=self.trip_count, trip_window_s=self.trip_window_s)


def described_joints(text: str | None, names: Sequence[str]) -> dict[str, Joint]:
    """
    Return the joints of these names of a URDF, {} without one; raise ConfigError.

    For policies that tell joints: they need no chain, and the limits alone are read.
    """
    if text is None:
        return {}
    joints = read_joints(text)
    unknown = unknown_names(names, joints)
    if unknown:
        raise ConfigError(f'the URDF has no joint {unknown}, which the checkpoint commands: it '
                          f'has {", ".join(joints)}. Is it the URDF of this robot?')
    for name in names:
        joints[name].check_can_be_commanded()
    return {name: joints[name] for name in names}


def _each(name: str, values: Sequence[float], count: int) -> list[float]:
    """Return one number a joint."""
    values = list(values)
    if len(values) not in (1, count) or any(math.isnan(value) for value in values):
        raise ConfigError(f'parameter {name} is {values}: expected one number, or {count}, one a '
                          'joint')
    return values * count if len(values) == 1 else values


def _check_speeds(names: Sequence[str], speeds: Sequence[float], has_urdf: bool) -> None:
    missing = [name for name, speed in zip(names, speeds) if not 0.0 < speed < FREE]
    if missing:
        raise ConfigError(
            f'joints {", ".join(missing)} have no velocity limit'
            + (' in the URDF (<limit velocity>)' if has_urdf else ': there is no URDF')
            + ', and without one nothing moves: set parameter max_joint_speeds [rad/s or m/s], '
            + ('or mend the URDF' if has_urdf else
               'or give a URDF (urdf_file, robot_description)'))
