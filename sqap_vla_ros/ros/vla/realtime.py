# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Real time: the robot does not wait, so the row that belongs to now is played.

A steady timer repeats the command even if the node's clock stands still (a dead /clock must
not leave the last twist in force), and a chunk's first command goes out when it comes in.
"""

import time

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration

from .control import Control
from .diagnostics import ERROR, OK, WARN

FUTURE_S = 0.1  # how far a camera's clock may be ahead of ours


class RealTimeControl(Control):
    """Command at control_rate; zero whenever there is a reason not to move."""

    def start(self):
        """Begin to command."""
        super().start()
        node = self.parts.node
        self._timer = node.create_timer(
            1.0 / self.config.control_rate, self._tick, clock=self.parts.steady_clock)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1))
        self._jumps = node.get_clock().create_jump_callback(
            threshold, post_callback=lambda _: self.time_jumped_back())

    def halt(self):
        """Stop the arm."""
        if self.is_active:
            self.parts.node.destroy_timer(self._timer)
            self._jumps.unregister()
        super().halt()

    def resume(self) -> str:
        """Clear a stop or fault; motion goes on with a new chunk, never with the old one."""
        told = super().resume()
        self._start_over()
        return told

    def on_frame(self, frame):
        """Ask about the image if it is due, or newer than one that still waits."""
        if not self.is_active or self.why_not_ask() or self._why_stale(self.now_ns()):
            return
        if self._is_before_asked(frame):
            self._start_over()
        if (self._problem or self.parts.inference.is_pending or
                self.player.wants_image(frame.stamp_ns, self._asked_ns, self.space.dt)):
            self._ask(frame)

    def on_instruction(self):
        """Stop what belongs to the old instruction; the next image is asked with the new one."""
        if self.is_active:
            self._start_over()
            self._tick()

    def _is_before_asked(self, frame):
        """Return whether the camera's clock was set back, or no image would be due for long."""
        return (self._asked_ns is not None and
                (self._asked_ns - frame.stamp_ns) * 1e-9 > self.config.image_timeout)

    def _ask_again(self):
        self._asked_ns = None
        if self.parts.inputs.frame is not None:
            self.on_frame(self.parts.inputs.frame)

    def _tick(self):
        """Send the command for now."""
        now_ns = self.now_ns()
        why_not = self.why_not() or self._why_stale(now_ns) or self._why_outlived()
        command = None if why_not else self.player.command_at(now_ns)
        command = command and self.gate.admit(command)
        if command is not None:
            self.parts.output.send(command, now_ns)
            self._say(OK, 'moving')
        else:
            self.parts.output.stop(now_ns)
            self._say(*(why_not or self.why_not_ask() or self._why_no_row()))

    _command_now = _tick

    def _say_state(self):
        """Nothing to do: each tick says it."""

    def _why_stale(self, now_ns):
        frame, limit_s = self.parts.inputs.frame, self.config.image_timeout
        topic = self.parts.inputs.image_topic
        age_s = (now_ns - frame.stamp_ns) * 1e-9
        if time.perf_counter() - frame.heard_s > limit_s:
            return ERROR, f'no image on {topic} for more than {limit_s:g} s'
        if age_s > limit_s:
            return ERROR, (f'images on {topic} are more than {limit_s:g} s old when they come in: '
                           'synchronize the clocks, or use a faster connection')
        if age_s < -FUTURE_S:
            return ERROR, (f'images on {topic} are stamped more than {FUTURE_S:g} s in the '
                           'future: synchronize the clocks, or check use_sim_time')
        return None

    def _why_outlived(self):
        """Return why the chunk is over by wall time, though the node's clock has a row for now."""
        if self.player.stamp_ns is None:
            return None
        limit_s = self.player.duration_ns * 1e-9 + self.config.image_timeout
        if time.perf_counter() - self._chunk_heard_s > limit_s:
            return ERROR, ('the action chunk is over by wall time: inference is too slow, or the '
                           "node's clock stands still or is slow (/clock, with use_sim_time)")
        return None

    def _why_no_row(self):
        if self.player.stamp_ns is None:
            return WARN, 'waiting for the first action chunk'
        return WARN, 'the action chunk ended before the next one: inference or camera is too slow'
