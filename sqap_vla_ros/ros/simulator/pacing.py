# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How simulated time goes on: in lockstep with the policy node, or with the wall clock.

Both offer `begin(record)` at the start of an episode and `step(number)`, which sends the sensors
of a control step and moves the arm by it.
"""
from collections.abc import Callable
import time

import numpy as np
from rclpy.clock import Clock

from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.simulator.commands import SimCommands
from sqap_vla_ros.ros.simulator.episodes import EpisodeRecord
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from sqap_vla_ros.ros.simulator.publishers import NANOSECONDS, SimPublishers

GAP_TICKS = 20  # of simulated time between episodes: no transform spans two of them
CONNECTION_TRIES = 4
MOST_BEHIND_S = 0.25  # real time: what is lost beyond this is not caught up
SLICES = 5  # real time: how often in a control step commands of positions are looked for


class PolicyTimeout(RuntimeError):
    """The policy node gave no answer for too long."""


class Pacing:
    """What both ways share; spin(timeout_s) handles messages for at most so long."""

    def __init__(self, env, publishers: SimPublishers, commands: SimCommands,
                 settings: SimSettings, spin: Callable[[float], None]):
        self._env, self._settings, self._spin = env, settings, spin
        self._publishers, self._commands = publishers, commands
        self._faults = publishers.faults
        self._record = self._rendering_s = None
        commands.now_ns = lambda: self.moment_ns

    def begin(self, record: EpisodeRecord) -> None:
        """Start an episode; its record takes what is counted."""
        self._record, self._rendering_s = record, []
        self._faults.begin(record.seed)
        self._commands.restart(self._env)

    @property
    def moment_ns(self) -> int:
        """Return the time of what the arm does now [ns]."""
        return self.stamp_ns

    def _render(self) -> list[np.ndarray]:
        """Return the image, and that of the camera on the hand if there is one."""
        start = time.perf_counter()
        images = [self._env.render()]
        if self._settings.wrist_camera:
            images.append(self._env.render_wrist())
        self._rendering_s.append(time.perf_counter() - start)
        self._record.render_ms = 1e3 * float(np.mean(self._rendering_s))
        is_blank = self._settings.control == 'blank-image'
        return [np.zeros_like(image) if is_blank else image for image in images]

    def _drain(self) -> None:
        """Handle what has already arrived (both topics), without waiting."""
        for _ in range(3):
            self._spin(0.0)


class Lockstep(Pacing):
    """
    Tick n is at n * dt of simulated time, and lasts until its command is there.

    A tick sends TF, joint_states, with every image_every-th also camera_info and image, then
    /clock. Without an answer for repeat_s it is sent again. The tick's number never goes back:
    the next episode starts with an image, GAP_TICKS or a little more after the last one.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self._dt_ns = round(self._env.dt * NANOSECONDS)
        self._tick = 0
        self._tries_left = CONNECTION_TRIES

    def begin(self, record: EpisodeRecord) -> None:
        """Start an episode."""
        super().begin(record)
        every = self._settings.image_every
        self._tick = -(-(self._tick + GAP_TICKS) // every) * every

    @property
    def stamp_ns(self) -> int:
        """Return the simulated time of the current tick [ns]."""
        return max(self._tick * self._dt_ns + self._faults.clock_offset_ns, 0)

    def step(self, number: int) -> bool:
        """
        Do what answers this tick, go on to the next, and return whether the task is fulfilled.

        Raises PolicyTimeout when no answer came for policy_timeout_s.
        """
        self._faults.at(number * self._env.dt)
        messages = self._messages()
        give_up_at = time.monotonic() + self._settings.policy_timeout_s
        is_answered = self._answer(messages)
        while not is_answered or not self._is_connected():
            if time.monotonic() > give_up_at:
                raise PolicyTimeout(
                    f'no {self._commands.topic} stamped {self.stamp_ns / 1e9:.2f} s came for '
                    f'{self._settings.policy_timeout_s:.0f} s (refused: '
                    f'{dict(self._commands.refused)}): is {self._settings.policy_node} active, '
                    'with lockstep and use_sim_time? Its reason is in /diagnostics')
            self._record.repeated_ticks += 1
            is_answered = self._answer(messages)
        success = self._commands.move(self._env.dt)
        self._tick += 1
        return success

    def _is_connected(self) -> bool:
        """
        Read the gripper command sent before the arm's; return whether one ever came.

        While two nodes discover each other the arm's topic may be connected first. Then the
        tick is sent again, or the run would depend on that race; but not for ever, because a
        node that has stopped for safety sends no gripper commands.
        """
        self._drain()
        self._tries_left -= not self._commands.has_heard_gripper
        return self._commands.has_heard_gripper or self._tries_left <= 0

    def _messages(self) -> list[tuple]:
        stamp = time_message(self.stamp_ns)
        messages = self._publishers.sense(stamp)
        if self._tick % self._settings.image_every == 0:
            messages += self._publishers.camera(stamp, *self._render())
        return messages + [self._publishers.clock_tick(stamp)]

    def _answer(self, messages: list[tuple]) -> bool:
        """Send a tick and wait for its command, at most repeat_s; return whether it came."""
        self._publishers.send(messages)
        repeat_at = time.monotonic() + self._settings.repeat_s
        is_answered = False
        while not is_answered and time.monotonic() < repeat_at:
            self._spin(repeat_at - time.monotonic())
            is_answered = self._commands.at(self.stamp_ns)
        return is_answered


class RealTime(Pacing):
    """
    A control step every dt of wall time, with whatever command is there.

    Without a fresh twist the arm stands still. New positions are looked for SLICES times in a
    control step. What begins late (rendering takes longer than a period on a CPU) is made up for
    at once, up to MOST_BEHIND_S; the rest shows in the real-time factor.
    """

    def __init__(self, *args, clock: Clock):
        super().__init__(*args)
        self._clock = clock
        self._due = 0.0
        self._stream = self._publishers.joint_stream
        self._max_age_ns = round(self._settings.command_max_age_s * NANOSECONDS)

    def begin(self, record: EpisodeRecord) -> None:
        """Start an episode."""
        super().begin(record)
        self._due = time.monotonic()
        if self._stream:
            self._stream.begin(record.seed)

    @property
    def stamp_ns(self) -> int:
        """Return the wall time [ns]."""
        return self._clock.now().nanoseconds

    @property
    def moment_ns(self) -> int:
        """Return the wall time at which what the arm does now is due [ns]."""
        return self.stamp_ns + round((self._due - time.monotonic()) * NANOSECONDS)

    def step(self, number: int) -> bool:
        """Do what is told in this control step; return whether the task is fulfilled."""
        self._faults.at(number * self._env.dt)
        if self._stream:
            self._stream.at(number * self._env.dt)
        slices = SLICES if self._commands.holds else 1
        success = is_fresh = False
        for part in range(slices):
            delay_s = self._wait()
            is_fresh |= self._commands.recent(self.stamp_ns, self._max_age_ns)
            if part == 0:
                self._note_delay(delay_s)
                self._sense(number)
            success |= self._move(self._env.dt / slices)
            self._due += self._env.dt / slices
        self._commands.look(self._env.gripper_open())
        self._record.idle_steps += not is_fresh
        return success

    def _move(self, duration_s: float) -> bool:
        if self._stream:
            began_ns = self.moment_ns
            self._env.watch = lambda time_s: self._stream.note(
                began_ns + round(time_s * NANOSECONDS), self._env)
        return self._commands.move(duration_s)

    def _sense(self, number: int) -> None:
        """Send what a control step's sensors see, an image with every image_every-th."""
        stamp = time_message(self.stamp_ns + self._faults.clock_offset_ns)
        self._publishers.send(self._publishers.sense(stamp))
        if number % self._settings.image_every == 0:
            self._publishers.send(self._publishers.camera(stamp, *self._render()))

    def _note_delay(self, delay_s: float) -> None:
        self._record.late_steps += delay_s > self._env.dt
        self._record.worst_delay_ms = max(self._record.worst_delay_ms, 1e3 * delay_s)

    def _wait(self) -> float:
        """Handle messages until what comes next is due; return how late it is, s."""
        while time.monotonic() < self._due:
            self._spin(self._due - time.monotonic())
        self._drain()
        delay_s = time.monotonic() - self._due
        self._due += max(0.0, delay_s - MOST_BEHIND_S)
        return delay_s
