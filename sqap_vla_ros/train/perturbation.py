# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Noise on what is executed while the expert's clean action is what is recorded (DART).

A learner drifts off the expert's path; demonstrations must show the way back. See Laskey et al.,
"DART: Noise Injection for Robust Imitation Learning", CoRL 2017. Three kinds: slow noise on the
twist, short pushes in a random direction, and fingers that open or close at the wrong time.
"""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PerturbationConfig:
    """How strongly an episode is disturbed; rates are those of one control step."""

    linear: float = 0.09  # m/s, standard deviation of the slow noise at its strongest;
    angular: float = 0.10  # rad/s; each episode draws a factor in 0..1
    correlation: float = 0.85  # of the noise from one control step to the next
    push_rate: float = 0.02
    push_speed: float = 0.20  # m/s
    push_steps: tuple = (3, 9)  # fewest, most
    slip_rate: float = 0.0015  # of wrong gripper commands
    slip_steps: int = 8
    still: float = 0.3  # what is left of the slow noise where the expert stands still
    full_speed: float = 0.2  # m/s, from which on it is whole


class Perturbation:
    """The disturbances of one episode; rng decides them all."""

    def __init__(self, rng, config=PerturbationConfig()):
        self._rng, self._config = rng, config
        self._strength = rng.uniform()
        self._noise = np.zeros(6)
        self._push, self._push_left, self._slip_left = np.zeros(3), 0, 0

    def apply(self, twist, gripper_open):
        """Return the (twist, gripper_open) to execute in place of the expert's."""
        twist = np.asarray(twist, np.float64)
        speed = min(np.linalg.norm(twist[:3]) / self._config.full_speed, 1.0)
        factor = self._config.still + (1 - self._config.still) * speed
        executed = twist + factor * self._slow_noise()
        executed[:3] += self._random_push()
        if self._slips():
            gripper_open = 1.0 - gripper_open
        return executed, gripper_open

    def _slow_noise(self):
        config = self._config
        scale = np.array([config.linear] * 3 + [config.angular] * 3) * self._strength
        fresh = np.sqrt(1 - config.correlation ** 2) * scale * self._rng.standard_normal(6)
        self._noise = config.correlation * self._noise + fresh
        return self._noise

    def _random_push(self):
        config = self._config
        if self._push_left == 0 and self._rng.uniform() < config.push_rate * self._strength:
            direction = self._rng.standard_normal(3)
            self._push = direction * config.push_speed / np.linalg.norm(direction)
            self._push_left = int(self._rng.integers(*config.push_steps, endpoint=True))
        if self._push_left == 0:
            return np.zeros(3)
        self._push_left -= 1
        return self._push

    def _slips(self):
        config = self._config
        if self._slip_left == 0 and self._rng.uniform() < config.slip_rate * self._strength:
            self._slip_left = config.slip_steps
        self._slip_left = max(self._slip_left - 1, 0)
        return self._slip_left > 0
