# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Faults of sensors on a schedule, so that a robot's bad day can be tried in the simulator.

    faults: [image_freeze@5+3, tf_jump:0.3@2+1, joints_stop@8, clock_jump:-2@4]

Each is SENSOR_EFFECT[:VALUE]@START[+DURATION]: seconds of every episode, counted in control
steps, to its end without a duration. fault_effects.py tells what the effects are.
"""
from __future__ import annotations

from dataclasses import dataclass, field
import re

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.simulator.fault_effects import EFFECTS

FORM = 'SENSOR_EFFECT[:VALUE]@START[+DURATION], such as image_freeze@5+3 or tf_jump:0.3@2'
DELAY, CLOCK_JUMP = 'delay', 'clock_jump'
DELAY_S, JUMP_S = 0.5, 2.0
_NUMBER = r'[-+]?\d+(?:\.\d*)?'
_PATTERN = re.compile(
    rf'(?P<kind>[a-z_]+)(?::(?P<value>{_NUMBER}))?@(?P<start>{_NUMBER})'
    rf'(?:\+(?P<duration>{_NUMBER}))?')


@dataclass
class Fault:
    """
    One line of a schedule.

    sensor: image, wrist, info, tf, joints or clock.  value: what the effect makes of it.
    start_s, end_s: of an episode.  state: the effect's memory while it lasts.
    """

    sensor: str
    effect: str
    value: float
    start_s: float
    end_s: float
    state: dict = field(default_factory=dict)

    def is_active(self, time_s: float) -> bool:
        """Return whether it is there at a time of the episode."""
        return self.start_s - 1e-9 <= time_s < self.end_s - 1e-9


def read_fault(text: str) -> Fault:
    """Return the fault that a text describes; raise ConfigError with what is known."""
    found = _PATTERN.fullmatch(text.strip())
    if not found:
        raise ConfigError(f'parameter faults: {text!r} is not of the form {FORM}')
    sensor, _, effect = found['kind'].partition('_')
    usual = _usual_values(sensor).get(effect)
    if usual is None:
        raise ConfigError(f'parameter faults: {found["kind"]!r} is unknown: use one of '
                          f'{", ".join(known_faults())}')
    value = usual if found['value'] is None else float(found['value'])
    start_s, duration_s = float(found['start']), float(found['duration'] or np.inf)
    if start_s < 0 or duration_s <= 0:
        raise ConfigError(f'parameter faults: {text!r} has to start at 0 s or later, and to last')
    return Fault(sensor, effect, value, start_s, start_s + duration_s)


def known_faults() -> list[str]:
    """Return the names of all faults."""
    return [f'{sensor}_{effect}' for sensor in (*EFFECTS, 'clock')
            for effect in _usual_values(sensor)]


def _usual_values(sensor: str) -> dict[str, float]:
    """Return {effect: its usual value} of a sensor; empty for an unknown one."""
    if sensor == 'clock':
        return {'jump': JUMP_S}
    if sensor not in EFFECTS:
        return {}
    return {**{name: value for name, (_, value) in EFFECTS[sensor].items()}, DELAY: DELAY_S}


class Faults:
    """A schedule at work on the messages of an episode."""

    def __init__(self, texts):
        """Read a schedule; raise ConfigError for a line that makes no sense."""
        self._faults = [read_fault(text) for text in texts if text]  # ROS: [''] for none
        self._late = []  # (when to send [s], publisher, message), oldest first
        self._time_s = 0.0

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._late.clear()
        self._time_s = 0.0
        for number, fault in enumerate(self._faults):
            fault.state = {'rng': np.random.default_rng([seed, number])}

    def at(self, time_s: float) -> None:
        """Go on to a time of the episode."""
        self._time_s = time_s

    @property
    def clock_offset_ns(self) -> int:
        """Return how far the clock of all stamps is off now."""
        return sum(round(fault.value * 1e9) for fault in self._active('clock'))

    def applied(self, sensor: str, publisher, message) -> list[tuple]:
        """Return the (publisher, message) pairs that are sent where one was to be."""
        delay_s = 0.0
        for fault in self._active(sensor):
            if fault.effect == DELAY:
                delay_s += fault.value
            elif message is not None:
                effect, _ = EFFECTS[sensor][fault.effect]
                message = effect(message, fault.value, fault.state)
        if message is None:
            return []
        if delay_s > 0:
            self._late.append((self._time_s + delay_s, publisher, message))
            return []
        return [(publisher, message)]

    def overdue(self) -> list[tuple]:
        """Return the (publisher, message) pairs whose delay is over."""
        due = [entry for entry in self._late if entry[0] <= self._time_s + 1e-9]
        self._late = [entry for entry in self._late if entry[0] > self._time_s + 1e-9]
        return [(publisher, message) for _, publisher, message in due]

    def _active(self, sensor: str) -> list[Fault]:
        return [fault for fault in self._faults
                if fault.sensor == sensor and fault.is_active(self._time_s)]
