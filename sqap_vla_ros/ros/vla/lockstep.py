# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Lockstep: the simulator waits at each tick of /clock for the command stamped with it.

So time can stand still until a tick's inputs are complete, and two runs with one seed are the
same. A tick without an answer is sent again by the simulator; the answer is then repeated, and
the same image is never answered twice. Time-outs here are wall time: when /clock falls silent, one
zero command goes out that is not stamped with a tick, so that it is no tick's answer.
"""

import time

from rosgraph_msgs.msg import Clock
from sqap_vla_ros.control.command import STOP

from .control import Control
from .diagnostics import OK, WARN
from .. import qos
from ..messages import nanoseconds_of


class LockstepControl(Control):
    """Answer each tick once its command is known."""

    def __init__(self, config, space, parts):
        super().__init__(config, space, parts)
        self._clock = None
        self._forget_ticks()

    def start(self):
        """Listen to /clock."""
        self._forget_ticks()
        super().start()
        self._clock = self.parts.node.create_subscription(
            Clock, '/clock', self._on_clock, qos.CLOCK, event_callbacks=qos.SILENT_SUBSCRIPTION)

    def halt(self):
        """Stop the arm."""
        super().halt()
        if self._clock is not None:
            self.parts.node.destroy_subscription(self._clock)
            self._clock = None

    def now_ns(self) -> int:
        """Return the time of the tick."""
        return super().now_ns() if self._tick_ns is None else self._tick_ns

    def resume(self) -> str:
        """Clear a stop or fault; a tick that waits is asked about again."""
        told = super().resume()
        self._retry()
        return told

    def on_frame(self, frame):
        """Ask about the image, unless its tick has a row or it is being asked about."""
        in_hand = self.player.asked_ns == frame.stamp_ns and self.parts.inference.is_busy
        if (self.is_active and not in_hand and not self.why_not_ask()
                and self.player.wants_image(frame.stamp_ns)):
            self._ask(frame)

    def on_task(self):
        """Stop what belongs to the old instruction; a tick that waited for this one goes on."""
        if self.is_active:
            self._start_over()
            self._retry()

    def on_answer(self, answer):
        """Take an answer, unless the instruction has changed since it was asked for."""
        if answer.bug or answer.instruction == self.instructions.text:
            super().on_answer(answer)
        else:
            self._retry()

    def check(self):
        """Stop the arm when /clock has died, too."""
        limit_s = max(self.config.image_timeout, self.config.inference_timeout)
        silent_s = time.perf_counter() - self._alive_s
        if self._tick_ns is not None and not self._is_silent and silent_s > limit_s:
            self._is_silent = True
            self._hold(abs(self._tick_ns - 1))  # 1 ns off: no tick's answer
        super().check()

    def _on_clock(self, message):
        tick_ns = nanoseconds_of(message.clock)
        last_ns = self.player.not_before_ns if self._tick_ns is None else self._tick_ns
        has_jumped_back = last_ns is not None and tick_ns < last_ns
        if has_jumped_back:
            self._forget_ticks()
        if tick_ns == self._tick_ns:
            self._repeats += 1
        else:
            self._tick_ns, self._repeats, self._heard_s = tick_ns, 0, time.perf_counter()
        if has_jumped_back:
            self.time_jumped_back()
        self._note_life()
        self.parts.run.attend()
        if tick_ns == self._answered_ns:
            if self.why_not_ask():
                self._answer = STOP
                self._drop_chunk()
            self._send(self._answer, tick_ns)
        else:
            self._play()

    def _play(self):
        """Answer the tick if its command is known by now."""
        if self._tick_ns is None or self._tick_ns == self._answered_ns:
            return
        command = self._commanded(self._tick_ns)
        self._end_run_if_latched()
        must_stop = self.gate.fault or (command is not None and self.why_not_ask())
        if must_stop:
            self._drop_chunk()
        if must_stop or (command is None and self._is_between_images()):
            command = STOP
        if command is not None:
            self._send(command, self._tick_ns)
            self._answered_ns, self._answer = self._tick_ns, command
            self._note_life()
        self._say_state()

    _command_now = _play

    def _drop_chunk(self):
        """Let no row of a chunk be played after the arm was told to stop."""
        if self.player.is_engaged:
            self._start_over(problem=self._problem)

    def _ask_again(self):
        self._retry()

    def _retry(self):
        """Ask again about the image of the tick that waits."""
        frame = self.parts.inputs.frame
        if frame is not None and frame.stamp_ns == self._tick_ns != self._answered_ns:
            self.on_frame(frame)

    def _is_between_images(self):
        """
        Return whether the tick is sent again and again and has no image.

        So it is for a node that joins in the middle of a run: time must go on.
        """
        frame = self.parts.inputs.frame
        has_image = frame is not None and frame.stamp_ns == self._tick_ns
        waited_s = time.perf_counter() - self._heard_s
        return not has_image and self._repeats and waited_s > self.config.image_timeout

    def _forget_ticks(self):
        self._tick_ns, self._repeats, self._heard_s = None, 0, 0.0
        self._answered_ns, self._answer = None, STOP
        self._note_life()

    def _note_life(self):
        """Note that /clock was heard, or a tick answered."""
        self._alive_s, self._is_silent = time.perf_counter(), False

    def _say_state(self):
        why_not = self.why_not_ask() or self.why_slow() or self.why_wait()
        if why_not is not None:
            self._say(*why_not)
        elif self._tick_ns is None:
            self._say(WARN, 'waiting for /clock')
        elif self._is_silent:
            self._say(WARN, '/clock is silent: has the simulator stopped?')
        elif self._answered_ns == self._tick_ns:
            self._say(OK, 'moving')
        elif time.perf_counter() - self._heard_s > self.config.image_timeout:
            self._say(WARN, 'a tick waits for its image or its chunk')
