# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
SI commands to LIBERO's unit actions.

A unit action of the benchmark's operational-space controller is no velocity: it puts the goal
5 cm (0.5 rad) ahead of the arm once a control step, and the arm lags behind. Held, it gives a
steady speed, measured by test/sim/test_sim_units.py: 0.25 to 0.26 m/s along every axis up to the
full unit, reached within 0.15 s (half of it in the first step). In rotation 2.4 to 2.55 rad/s a
unit for small ones; beyond 0.5 units (1.2 rad/s) the joints' torque limits are felt, and a full
unit settles to 1.3 to 1.5 rad/s.

So there are two ways to read a command. Policies of kind 'twist' say how fast the arm shall be:
SPEEDS. Policies of kind 'delta' were trained on goal offsets, which the arm was given whole and
did not reach: GOAL_OFFSETS, so that a checkpoint whose action space has LIBERO's scale (0.05 m
and 0.5 rad a step of 0.05 s) gives the unit action that it was trained on.
"""
from dataclasses import dataclass

import numpy as np

from sqap_vla_ros.control.limits import CommandLimits

CONTROL_PERIOD_S = 0.05
GRIPPER_THRESHOLD = 0.5
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class CommandScale:
    """What a unit of the controller's action is worth: linear m/s, angular rad/s."""

    linear: float
    angular: float

    def unit_action(self, twist):
        """
        Return the unit action float64 [6] in [-1, 1] for a twist [6] (m/s, rad/s, base frame).

        What is more than the controller takes is cut off component by component.
        Raises ValueError for a twist that is not six finite numbers.
        """
        twist = np.asarray(twist, np.float64)
        if twist.shape != (6,) or not np.isfinite(twist).all():
            raise ValueError(f'a twist is six finite numbers (m/s, rad/s), found {twist}')
        unit = np.clip(twist / ([self.linear] * 3 + [self.angular] * 3), -1.0, 1.0)
        return np.where(np.abs(unit) < _NEGLIGIBLE, 0.0, unit)

    @property
    def limits(self) -> CommandLimits:
        """Return limits a little beyond what the controller takes (a unit along every axis)."""
        return CommandLimits(2.0 * self.linear, 1.875 * self.angular)


SPEEDS = CommandScale(linear=0.25, angular=2.4)
GOAL_OFFSETS = CommandScale(linear=0.05 / CONTROL_PERIOD_S, angular=0.5 / CONTROL_PERIOD_S)
COMMAND_SCALES = {'twist': SPEEDS, 'delta': GOAL_OFFSETS}  # by ActionSpace.kind


def gripper_to_unit(gripper_open):
    """Return -1 (open) for a gripper command above 0.5 of 0 closed .. 1 open, else +1."""
    return -1.0 if gripper_open > GRIPPER_THRESHOLD else 1.0
