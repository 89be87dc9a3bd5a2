# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A gate in a scenario, with an arm that does what it is told until it is told something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import math

import numpy as np

from .scenarios import is_bounded, Scenario
from ...control.command import Command, Measured
from ...control.safety_gate import SafetyGate, SILENCE_NS, SILENT_PERIODS
from ...geometry.transform_buffer import Pose


@dataclass
class Tick:
    """
    One control tick, as a witness outside the gate saw it.

    velocity: what left the gate, float64 [n], None for a stop.  wanted: what went in; None where
    it was asked to brake.  target: absolute, [7] or [n], None for none.  limits, scale: in force.
    place: [3] m or [n] rad before this command, turn: the end effector's rotation then;
    seen: the two as the gate was told them, None where it was not.  age_s: of that.
    events: names.  fault: after it.
    """

    now_ns: int
    wanted: np.ndarray | None
    target: np.ndarray | None
    gripper_in: float | None
    limits: object
    scale: float
    place: np.ndarray
    turn: np.ndarray
    seen: tuple | None
    age_s: float
    events: tuple
    velocity: np.ndarray | None = None
    gripper: float | None = None
    fault: str | None = None


@dataclass
class Arm:
    """Moves with the last velocity until the next command, or until it has heard none for long."""

    place: np.ndarray
    turn: np.ndarray
    period_ns: int
    is_turned: bool
    is_cartesian: bool
    velocity: np.ndarray | None = None
    last_ns: int | None = None
    past: list = field(default_factory=list)

    def move(self, now_ns: int) -> None:
        """Go on to now."""
        if self.velocity is not None and self.last_ns is not None:
            silent_ns = max(SILENCE_NS, round(SILENT_PERIODS * self.period_ns))
            passed_s = min(max(now_ns - self.last_ns, 0), silent_ns) * 1e-9
            self._go(self.velocity * passed_s)
        self.last_ns = now_ns
        self.past.append((now_ns, self.place, self.turn))

    def _go(self, step: np.ndarray) -> None:
        if not self.is_cartesian:
            self.place = self.place + step
            return
        self.place = self.place + (self.turn @ step[:3] if self.is_turned else step[:3])
        if step[3:].any():
            turn = rotation_matrix(step[3:])
            self.turn = self.turn @ turn if self.is_turned else turn @ self.turn

    def push(self, step: np.ndarray) -> None:
        """Be moved by another hand."""
        self.place = self.place + step
        self.past[-1] = (self.past[-1][0], self.place, self.turn)

    def seen(self, ticks_ago: int) -> tuple[int, np.ndarray, np.ndarray] | None:
        """Return when and where it was so many ticks ago; None for -1."""
        return None if ticks_ago < 0 else self.past[max(-1 - ticks_ago, -len(self.past))]

    def measured(self, seen) -> Measured | None:
        """Return what the gate is told."""
        if seen is None or not self.is_cartesian:
            return seen and Measured(joints=seen[1].copy())
        return Measured(Pose(seen[1].copy(), quaternion(seen[2]), seen[0]))


class Play:
    """A scenario in play; limits and scale are what the gate was given last."""

    def __init__(self, scenario: Scenario, gate: SafetyGate):
        """Put the arm where it begins."""
        self._scenario, self._gate = scenario, gate
        self._limits, self._scale = scenario.limits, 1.0
        self._arm = Arm(scenario.place, scenario.turn, scenario.period_ns,
                        scenario.frame == 'end_effector', scenario.is_cartesian)

    def ticks(self) -> Iterator[Tick]:
        """Yield what the gate made of each tick."""
        for index in range(len(self._scenario.times_ns)):
            yield self._tick(index)

    def _tick(self, index: int) -> Tick:
        scenario, arm = self._scenario, self._arm
        now_ns = int(scenario.times_ns[index])
        arm.move(now_ns)
        events = scenario.events.get(index, [])
        for name, value in events:
            self._happen(name, value)
        names, seen = tuple(name for name, _ in events), arm.seen(int(scenario.sight[index]))
        is_brake = 'brake' in names
        tick = Tick(
            now_ns, None if is_brake else scenario.wanted[index],
            None if is_brake or scenario.targets is None else _target(
                arm, scenario.targets[index]),
            scenario.gripper[index], self._limits, self._scale, arm.place, arm.turn,
            seen and seen[1:], (now_ns - seen[0]) * 1e-9 if seen else 0.0, names)
        is_needed = tick.target is not None or is_bounded(self._limits)
        sent = self._asked(tick, arm.measured(seen) if is_needed else None)
        if sent is not None:
            tick.velocity, tick.gripper = sent.velocity, sent.gripper
        tick.fault, arm.velocity = self._gate.fault, tick.velocity
        return tick

    def _asked(self, tick: Tick, measured: Measured | None) -> Command | None:
        period_ns = self._scenario.period_ns
        if tick.wanted is None:
            return self._gate.brake(tick.now_ns, period_ns, measured)
        command = Command(tick.wanted, tick.gripper_in, tick.target)
        return self._gate.admit(command, tick.now_ns, period_ns, measured)

    def _happen(self, name: str, value) -> None:
        """Do to the gate or the arm what an event says."""
        gate, arm = self._gate, self._arm
        if name == 'limits':
            self._limits = gate.limits = value
        elif name == 'scale':
            self._scale = gate.speed_scale = value
        elif name == 'stop':
            gate.latch('someone pressed stop')
        elif name == 'resume':
            gate.resume()
        elif name == 'rest':
            gate.rest()
        elif name == 'push':
            arm.push(value)


def _target(arm: Arm, offset: np.ndarray) -> np.ndarray:
    """Return an absolute target, so far from where the arm is."""
    if not arm.is_cartesian:
        return arm.place + offset
    return np.concatenate([arm.place + offset[:3],
                           quaternion(rotation_matrix(offset[3:]) @ arm.turn)])


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Return the matrix [3, 3] of a rotation vector [3], by Rodrigues' formula."""
    angle = math.hypot(*vector)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = (vector / angle).tolist()
    cosine, sine = math.cos(angle), math.sin(angle)
    rest = 1.0 - cosine
    return np.array([
        [cosine + rest * x * x, rest * x * y - sine * z, rest * x * z + sine * y],
        [rest * x * y + sine * z, cosine + rest * y * y, rest * y * z - sine * x],
        [rest * x * z - sine * y, rest * y * z + sine * x, cosine + rest * z * z]])


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """Return the unit quaternion [4], in the order x y z w, of a rotation matrix [3, 3]."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    x, y, z, w = (math.sqrt(max(0.0, 1.0 + part)) for part in (
        a - e - i, e - a - i, i - a - e, a + e + i))  # twice the components, without signs
    largest = max(x, y, z, w)
    if largest == w:
        found = h - f, c - g, d - b, w * w
    elif largest == x:
        found = x * x, b + d, c + g, h - f
    elif largest == y:
        found = b + d, y * y, f + h, c - g
    else:
        found = c + g, f + h, z * z, d - b
    length = math.hypot(*found)
    return np.array([number / length for number in found])
