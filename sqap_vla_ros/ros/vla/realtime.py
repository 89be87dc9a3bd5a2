# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Real time: the robot does not wait, so rows are played while the next image is asked about.

A steady timer repeats the command even if the node's clock stands still (a dead /clock must
not leave the last twist in force), and a chunk's first command goes out when it comes in.
"""

import time

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration

from .control import Control
from .diagnostics import ERROR, OK, WARN
from .watchdog import Watchdog

ZEROS_S = 0.5  # how long a stop is repeated before the node falls silent
SLOW = 0.5  # of wall time, below which the node's clock does not keep up
SLOWING_S = 0.2  # that the arm may slow down before that is looked at


class RealTimeControl(Control):
    """
    Command at control_rate; stop whenever there is a reason not to move.

    A fault, which stays until ~/resume, stops at once, and so does deactivation; for any other
    reason the arm is slowed down within its acceleration limits.
    """

    def start(self):
        """Begin to command."""
        super().start()
        self._stuck_ns = None  # the time at which the node's clock was found to stand still
        self._slows_since = time.perf_counter(), self.now_ns()
        self._rests_since_s = -ZEROS_S  # silent until there is a task
        self._watchdog = Watchdog(1.0 / self.config.control_rate, self._stop_unserved)
        node = self.parts.node
        self._timer = node.create_timer(
            1.0 / self.config.control_rate, self._tick, clock=self.parts.steady_clock)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1))
        self._jumps = node.get_clock().create_jump_callback(
            threshold, post_callback=lambda _: self.time_jumped_back())

    def halt(self):
        """Stop the arm."""
        was_active = self.is_active
        super().halt()
        if was_active:
            self._watchdog.close()
            self.parts.node.destroy_timer(self._timer)
            self._jumps.unregister()

    def on_frame(self, frame):
        """Ask about the image if it is due, or newer than one that still waits."""
        if (not self.is_active or self.why_not_ask() or self.why_slow()
                or self._why_stale(self.now_ns())):
            return
        if self._is_before_asked(frame):
            self._start_over()
        if self.player.wants_image(frame.stamp_ns) or self._waits_with_an_older(frame):
            self._ask(frame)

    def reset(self) -> str:
        """Drop the chunk and begin an episode; the arm stops at once."""
        self.parts.inputs.forget_pictures()
        told = super().reset()
        self._tick()
        return told

    def on_task(self):
        """Stop what belongs to the old instruction; the next image is asked with the new one."""
        if self.is_active:
            self._start_over()
            self._tick()

    def _is_before_asked(self, frame):
        """Return whether the camera's clock was set back, or no image would be due for long."""
        asked_ns = self.player.asked_ns
        return (asked_ns is not None and
                (asked_ns - frame.stamp_ns) * 1e-9 > self.config.image_timeout)

    def _waits_with_an_older(self, frame):
        """Return whether an image waits for the inference thread, and this one is newer."""
        asked_ns = self.player.asked_ns
        return (self.parts.inference.is_pending and asked_ns is not None
                and frame.stamp_ns > asked_ns)

    def _ask_again(self):
        self._start_over()  # the next image is asked about

    def _tick(self):
        """Send the command for now."""
        self.parts.run.attend()
        now_ns = self.now_ns()
        if now_ns < (self.player.not_before_ns or 0):  # the machine's clock was set back
            self.time_jumped_back()
        stops = self._why_stop(now_ns)
        waits = self.why_wait()
        if (stops or waits) and not self.parts.inference.is_preparing:
            self._doubt((stops or waits)[1])
        stops = self.gate.fault and self.why_not_ask() or stops
        if stops and self.player.is_engaged or waits and self.player.stamp_ns is not None:
            self._start_over(problem=self._problem)
        if self.gate.fault or self._slows_by_no_clock(now_ns, bool(stops or waits)):
            self.commander.stop(now_ns)
        command = self._commanded(now_ns)
        if command is not None:
            self._send(command, now_ns)
        else:
            self._rest(now_ns)
        moves = command is not None and not self.config.dry_run
        self.parts.inputs.commanded(
            command.velocity if moves else None, time.perf_counter())
        self._end_run_if_latched()
        self._say(*(stops or self.why_wait() or self.why_not_ask() or self._how_it_goes()))

    _command_now = _tick

    def _say_state(self):
        """Nothing to do: each tick says it."""

    def _why_stop(self, now_ns):
        return (self._why_unserved() or self.why_not_ask() or self.why_slow()
                or self._why_stale(now_ns) or self._why_outlived(now_ns))

    def _slows_by_no_clock(self, now_ns, is_to_stop) -> bool:
        """Return whether the arm is slowed down by a clock that stands still or is slow."""
        now_s = time.perf_counter()
        if not is_to_stop:
            self._slows_since = now_s, now_ns
        since_s, since_ns = self._slows_since
        passed_s = now_s - since_s
        return is_to_stop and passed_s > SLOWING_S and (
            (now_ns - since_ns) * 1e-9 < SLOW * passed_s)

    def _send(self, command, now_ns):
        super()._send(command, now_ns)
        self._rests_since_s = None
        self._watchdog.alive(bool(command.velocity.any()))

    def _rest(self, now_ns):
        """Say zero; without a task only for a while, so that others may command the arm."""
        now_s = time.perf_counter()
        if self._rests_since_s is None:
            self._rests_since_s = now_s
        if (self.has_task or self.config.idle_zeros or now_s - self._rests_since_s < ZEROS_S):
            self._hold(now_ns)
        self._watchdog.alive(False)

    def _stop_unserved(self):
        """Stop the arm on the watchdog's thread: the executor's stands still."""
        if not self.config.dry_run:
            self.parts.output.stop(self.now_ns())

    def _why_unserved(self):
        """Return, once, that the watchdog has stopped the arm, which stands since."""
        silent_s, self._watchdog.silent_s = self._watchdog.silent_s, 0.0
        if silent_s:
            self.commander.stop(self.now_ns())
        return (ERROR, f'the node did nothing for {silent_s:.2f} s and was stopped by its '
                'watchdog: is the machine overloaded?') if silent_s else None

    def _why_stale(self, now_ns):
        reason = self.parts.inputs.why_stale(now_ns)
        return (ERROR, reason) if reason else None

    def _why_outlived(self, now_ns):
        """Return why the chunk is over by wall time, though the node's clock has a row for now."""
        limit_s = self.player.duration_ns * 1e-9 + self.config.image_timeout
        passed_s = time.perf_counter() - self._chunk_known_s
        clock_s = (now_ns - self._chunk_known_ns) * 1e-9
        if self.player.has_row(now_ns) and passed_s > limit_s and clock_s < SLOW * passed_s:
            self._stuck_ns = now_ns
        if now_ns != self._stuck_ns:
            return None
        return ERROR, ("the action chunk is over by wall time: the node's clock stands still or "
                       'is slow (/clock, with use_sim_time)')

    def _how_it_goes(self):
        if self.player.stamp_ns is None:
            return WARN, 'waiting for the first action chunk'
        return WARN if self.pace.is_slow else OK, f'moving: {self.pace}'
