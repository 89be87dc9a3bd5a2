# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
SI twists to LIBERO's unit actions and back.

A unit action of the benchmark's operational-space controller is no velocity: it puts the goal
5 cm (0.5 rad) ahead of the arm once a control step, and the arm lags behind. Held, it gives a
steady speed; these scales are that speed, measured by test/test_sim_units.py: 0.25 to 0.26 m/s
along every axis up to the full unit, reached within 0.15 s (half of it in the first step). In
rotation 2.4 to 2.55 rad/s a unit for small ones; beyond 0.5 units (1.2 rad/s) the joints' torque
limits are felt, and a full unit settles to 1.3 to 1.5 rad/s.
"""
import numpy as np

CONTROL_PERIOD_S = 0.05
LINEAR_SCALE = 0.25
ANGULAR_SCALE = 2.4
GRIPPER_THRESHOLD = 0.5

_SCALES = np.array([LINEAR_SCALE] * 3 + [ANGULAR_SCALE] * 3)
_NEGLIGIBLE = 1e-9


def twist_to_unit(twist):
    """
    Return the unit action float64 [6] in [-1, 1] for a twist [6] (m/s, rad/s, base frame).

    What is faster than the controller can go is cut off component by component.
    Raises ValueError for a twist that is not six finite numbers.
    """
    twist = np.asarray(twist, np.float64)
    if twist.shape != (6,) or not np.isfinite(twist).all():
        raise ValueError(f'a twist is six finite numbers (m/s, rad/s), found {twist}')
    unit = np.clip(twist / _SCALES, -1.0, 1.0)
    return np.where(np.abs(unit) < _NEGLIGIBLE, 0.0, unit)


def unit_to_twist(unit):
    """Return the twist float64 [6] (m/s, rad/s) that a held unit action [6] settles to."""
    return np.asarray(unit, np.float64) * _SCALES


def gripper_to_unit(gripper_open):
    """Return -1 (open) for a gripper command above 0.5 of 0 closed .. 1 open, else +1."""
    return -1.0 if gripper_open > GRIPPER_THRESHOLD else 1.0
