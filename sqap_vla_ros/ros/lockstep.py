# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Lockstep: the simulator waits at each tick of /clock for the command stamped with it.

So time can stand still until a tick's inputs are complete, and two runs with one seed are the
same. A tick without an answer is sent again by the simulator; the answer is then repeated, and
the same image is never inferred on twice. Time-outs here are wall time.
"""

import time

from rosgraph_msgs.msg import Clock
from sqap_vla_ros.actions import STOP

from . import qos
from .control import Control
from .diagnostics import OK, WARN


class LockstepControl(Control):
    """Answer each tick once its command is known."""

    def __init__(self, config, space, parts):
        """See Control."""
        super().__init__(config, space, parts)
        self._tick_ns = None
        self._heard_s = 0.0
        self._repeats = 0
        self._answered_ns = None
        self._answer = STOP
        self._unpublished = None
        self._clock = None

    def start(self):
        """Listen to /clock."""
        super().start()
        self._clock = self.parts.node.create_subscription(
            Clock, '/clock', self._on_clock, qos.CLOCK)

    def halt(self):
        """Stop the arm."""
        if self._clock is not None:
            self.parts.node.destroy_subscription(self._clock)
            self._clock = None
        super().halt()
        self._tick_ns = None

    def now_ns(self) -> int:
        """Return the time of the tick."""
        return super().now_ns() if self._tick_ns is None else self._tick_ns

    def on_frame(self, frame):
        """Ask about the image, unless a row for its tick is there or it is being asked."""
        if not self.is_active or self.why_not_ask() is not None:
            return
        in_hand = self._asked_ns == frame.stamp_ns and self.inference.is_busy
        if not in_hand and self.player.row_at(frame.stamp_ns) is None:
            self._ask(frame)

    def on_instruction(self, text: str):
        """Take it with the next image; a tick that waits for it goes on."""
        if self.is_active:
            self._play()

    def on_answer(self, answer):
        """Answer the tick that waits, then publish the chunk."""
        self._unpublished = answer if answer.chunk is not None else None
        super().on_answer(answer)

    def why_not_ask(self):
        """Return (level, text) if it is no use to infer, else None."""
        problem, self._problem = self._problem, None
        try:
            return self.why_not()
        finally:
            self._problem = problem

    def _on_clock(self, message):
        tick_ns = message.clock.sec * 10**9 + message.clock.nanosec
        if self._tick_ns is not None and tick_ns < self._tick_ns:
            self.time_jumped_back()
            self._answered_ns = None
        if tick_ns == self._tick_ns:
            self._repeats += 1
        else:
            self._tick_ns, self._repeats, self._heard_s = tick_ns, 0, time.perf_counter()
        if tick_ns == self._answered_ns:
            self._send(self._answer)
        else:
            self._play()

    def _play(self):
        """Answer the tick if that is possible now."""
        if self._tick_ns is None or self._tick_ns == self._answered_ns:
            return
        command = self.player.command_at(self._tick_ns)
        if command is not None:
            command = self.gate.admit(command)
        if self.gate.fault:
            command = STOP
        if command is not None:
            self._send(command)
            return
        frame = self.parts.inputs.frame
        if frame is not None and frame.stamp_ns == self._tick_ns:
            self.on_frame(frame)
        elif self._repeats and time.perf_counter() - self._heard_s > self.config.image_timeout:
            self._send(STOP)  # joined in the middle of a run: let time go on to the next image
        self._say_state()

    def _send(self, command):
        self.parts.output.send(command, self._tick_ns)
        self._answered_ns, self._answer = self._tick_ns, command
        if self._unpublished is not None:
            answer, self._unpublished = self._unpublished, None
            self.publish_chunk(answer, time.perf_counter())
        self._say_state()

    def _command_again(self):
        self._play()

    def _start_over(self):
        super()._start_over()
        self._unpublished = None

    def _say_state(self):
        why_not = self.why_not()
        if why_not is not None:
            self._say(*why_not)
        elif self._tick_ns is None:
            self._say(WARN, 'waiting for /clock')
        elif self._answered_ns == self._tick_ns:
            self._say(OK, 'moving')
        elif time.perf_counter() - self._heard_s > self.config.image_timeout:
            self._say(WARN, 'a tick waits for its image and its chunk')
