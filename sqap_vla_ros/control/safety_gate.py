# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The last check before a command leaves: finite, within limits, no fault pending."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np

from .command import Command
from ..errors import ConfigError


@dataclass(frozen=True)
class CommandLimits:
    """
    What the gate lets through.

    linear: m/s and angular: rad/s, the greatest length of each half of a twist.
    reject_factor: a command beyond this many times a limit is a fault, not a big step.
    Raises ConfigError.
    """

    linear: float
    angular: float
    reject_factor: float = 5.0

    def __post_init__(self):
        """Raise ConfigError unless limits are positive and reject_factor is at least one."""
        for name in ('linear', 'angular'):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f'{name} speed limit is {getattr(self, name)}, expected > 0')
        if not (np.isfinite(self.reject_factor) and self.reject_factor >= 1):
            raise ConfigError(f'reject_factor is {self.reject_factor}, expected >= 1')


class SafetyGate:
    """
    The last check before a command leaves: finite, within limits, and no fault pending.

    Over a limit: the linear or angular half is scaled down to it, keeping its direction, and
    counted. Non-finite, or over reject_factor times a limit: latched fault; nothing passes
    until `resume`, because a policy that says such things can't be trusted with the next step.
    """

    def __init__(self, limits: CommandLimits):
        """Start without a fault."""
        self.limits = limits
        self.fault = None
        self.clamped = 0

    def latch(self, reason: str):
        """Stop until resume; the first reason is kept, later ones are its consequences."""
        if self.fault is None:
            self.fault = reason

    def resume(self) -> str | None:
        """Clear the fault and return what it was."""
        fault, self.fault = self.fault, None
        return fault

    def admit_chunk(self, commands) -> bool:
        """Check every row before the first is played; latch and return False on a bad one."""
        for row, command in enumerate(commands):
            reason = self._reason_to_reject(command)
            if reason:
                self.latch(f'row {row} of the action chunk {reason}')
                return False
        return self.fault is None

    def admit(self, command: Command) -> Command | None:
        """Return the command, scaled into the limits, or None when the arm must stop."""
        reason = self._reason_to_reject(command)
        if reason:
            self.latch(f'the command {reason}')
        if self.fault is not None:
            return None
        linear = _shortened(command.velocity[:3], self.limits.linear)
        angular = _shortened(command.velocity[3:], self.limits.angular)
        velocity = np.concatenate([linear, angular])
        self.clamped += int(not np.array_equal(velocity, command.velocity))
        gripper = command.gripper
        return replace(command, velocity=velocity,
                       gripper=None if gripper is None else min(max(gripper, 0.0), 1.0))

    def _reason_to_reject(self, command: Command) -> str | None:
        if not command.is_finite:
            return f'is not finite: twist {command.velocity}, gripper {command.gripper}'
        for name, part, unit in (('linear', command.velocity[:3], 'm/s'),
                                 ('angular', command.velocity[3:], 'rad/s')):
            limit = getattr(self.limits, name) * self.limits.reject_factor
            length = math.hypot(*part)
            if length > limit:
                return (f'has a {name} speed of {length:.3g} {unit}, more than '
                        f'{self.limits.reject_factor:g} times the limit of '
                        f'{getattr(self.limits, name):g} {unit}')
        return None


def _shortened(vector: np.ndarray, limit: float) -> np.ndarray:
    length = math.hypot(*vector)
    return vector if length <= limit else vector * (limit / length)
