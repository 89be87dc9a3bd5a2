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
        node = self.parts.node
        super().start()
        self._timer = node.create_timer(
            1.0 / self.config.control_rate, self.tick, clock=self.parts.steady_clock)
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
        if not self.is_active:
            return
        inputs_are_bad = self._blocked()
        due = (self._problem is not None or self.inference.is_pending or
               self.player.wants_image(frame.stamp_ns, self._asked_ns, self.space.dt))
        if due and not inputs_are_bad:
            self._ask(frame)

    def on_instruction(self, text: str):
        """Stop what belongs to the old instruction and ask with the new one."""
        if self.is_active:
            self._start_over()
            self.tick()

    def on_answer(self, answer):
        """Play the chunk at once."""
        super().on_answer(answer)
        if answer.chunk is not None:
            self.publish_chunk(answer, self._sent_s)

    def tick(self):
        """Send the command for now."""
        now_ns = self.now_ns()
        why_not = self.why_not() or self._too_old(now_ns)
        command = self.player.command_at(now_ns)
        if why_not is None and command is not None:
            command = self.gate.admit(command)
        if why_not is None and command is not None:
            self.parts.output.send(command, now_ns)
            self._sent_s = time.perf_counter()
            self._say(OK, 'moving')
            return
        self.parts.output.stop(now_ns)
        self._sent_s = time.perf_counter()
        self._say(*(why_not or self.why_not() or self._no_row()))

    def _command_again(self):
        self.tick()

    def _say_state(self):
        """Nothing to add: tick() says it at the control rate."""

    def _blocked(self):
        """Return whether it is no use to infer: fault, two cameras, or nothing to do."""
        inputs = self.parts.inputs
        return (self.gate.fault or not inputs.instruction or
                any(inputs.is_camera_topic(topic) for topic in self._doubled))

    def _too_old(self, now_ns):
        frame, limit_s = self.parts.inputs.frame, self.config.image_timeout
        age_s = (now_ns - frame.stamp_ns) * 1e-9
        topic = self.parts.inputs.image_topic
        if time.perf_counter() - frame.heard_s > limit_s:
            return ERROR, f'no image on {topic} for more than {limit_s:g} s'
        if age_s > limit_s:
            return ERROR, (f'images on {topic} are more than {limit_s:g} s old when they come in: '
                           'are the clocks of both machines the same?')
        if age_s < -FUTURE_S:
            return ERROR, (f'images on {topic} are stamped more than {FUTURE_S:g} s in the '
                           'future: synchronize the clocks, or check use_sim_time')
        return None

    def _no_row(self):
        if self.player.stamp_ns is None:
            return WARN, 'waiting for the first action chunk'
        return WARN, 'the action chunk has ended before the next one: inference is too slow'
