# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""When a node asks, is answered and says a command: as time goes on, or in lockstep."""

from __future__ import annotations

import numpy as np

from .metrics.times import known_stamps_ns
from .play_run import NEVER, Question, Run
from ..control.command import Command
from ..ingest.stamps import why_stamp_is_off


class RealTime(Run):
    """The robot does not wait: rows are played while the next image is asked about."""

    def play(self) -> None:
        """Go through the episode by what comes next: an image, an answer or a tick."""
        self._busy = self._pending = None
        self._done_ns, self._newest, self._text = NEVER, self._part.start, None
        period_ns = self._options.period_ns(self._space)
        self._tick_ns = int(self._arrived_ns[0])
        rest_ns = round(min(self._answers.execute_steps * self._answers.dt_s,
                            self._options.image_timeout) * 1e9)
        self._ends_ns, index = int(self._arrived_ns[-1]) + rest_ns, 0
        self._spoke_ns = self._tick_ns  # when an image or an answer came last
        if self._shared:
            self._ends_ns = min(self._ends_ns, self._next_ns - self._shift_ns)
        while True:
            heard_ns = int(self._arrived_ns[index]) if index < len(self._arrived_ns) else NEVER
            now_ns = min(heard_ns, self._done_ns, self._tick_ns)
            if now_ns > self._ends_ns:
                return
            if heard_ns == now_ns:
                self._hear(self._part.start + index, now_ns)
                self._spoke_ns, index = now_ns, index + 1
            elif self._done_ns == now_ns:
                self._answered(now_ns)
                self._spoke_ns = now_ns
            else:
                self._tick(now_ns)
            while self._tick_ns <= now_ns and heard_ns != now_ns:
                self._tick_ns += period_ns
            if index < len(self._arrived_ns):
                self._skip_silence(int(self._arrived_ns[index]), period_ns)

    def _skip_silence(self, until_ns: int, period_ns: int) -> None:
        """Say nothing until the next image once the arm stands for long."""
        ahead_ns = until_ns - self._tick_ns
        if ahead_ns > 0 and self._tick_ns > self._spoke_ns + self._silence_ns:
            self._tick_ns += -(-ahead_ns // period_ns) * period_ns

    def _hear(self, image: int, now_ns: int) -> None:
        """Ask about an image if it is due, or newer than one that still waits."""
        self._newest, text = image, self._images.instructions[image]
        if self._text not in (None, text):
            self._start_over(now_ns)
            self._tick(now_ns)
        self._text = text
        if self._gate.fault or self._is_stale(now_ns):
            return
        stamp_ns, asked_ns = self._stamp_ns(image), self._player.asked_ns
        waits = self._pending is not None and asked_ns is not None and stamp_ns > asked_ns
        if self._player.wants_image(stamp_ns) or waits:
            self._player.ask(stamp_ns)
            self._pending = Question(image, self._epoch)
            if self._busy is None:
                self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        """Let the policy look at the image that waits."""
        self._busy, self._pending = self._pending, None
        self._told.questions.append(self._busy)
        self._done_ns = now_ns + self._took_ns(self._busy.image)

    def _took_ns(self, image: int) -> int:
        if self._options.latency_s is not None:
            return round(self._options.latency_s * 1e9)
        stages = self._answers.latency_ms
        took_ms = [stages[name][image] for name in ('observe', 'total') if name in stages]
        return round(float(np.nansum(took_ms)) * 1e6)

    def _answered(self, now_ns: int) -> None:
        """Take the answer that is there now; its first command goes out at once."""
        question, self._busy, self._done_ns = self._busy, None, NEVER
        if self._pending is not None:
            self._begin(now_ns)
        if question.epoch != self._epoch or self._gate.fault:
            return
        self._take(question, now_ns)
        self._tick(now_ns)

    def _start_over(self, now_ns: int) -> None:
        super()._start_over(now_ns)
        self._pending = None

    def _tick(self, now_ns: int) -> None:
        if self._player.is_engaged and (self._gate.fault or self._is_stale(now_ns)):
            self._start_over(now_ns)
        if self._gate.fault:
            self._commander.stop(now_ns)
        self._tell(now_ns, self._newest)

    def _is_stale(self, now_ns: int) -> bool:
        """Return whether the newest image says too little of now."""
        return bool(why_stamp_is_off(self._stamp_ns(self._newest), now_ns,
                                     self._options.image_timeout, ''))


class Lockstep(Run):
    """Time stands still until an image is answered; there is a tick a row."""

    def play(self) -> None:
        """Answer all ticks, those of images and those between them."""
        stamps_ns, dt_ns = known_stamps_ns(self._images)[self._part], self._space.dt_ns
        self._arrived_ns, text = stamps_ns, None
        for index, stamp_ns in enumerate(map(int, stamps_ns)):
            image = self._part.start + index
            told, text = text, self._images.instructions[image]
            if told not in (None, text):
                self._start_over(stamp_ns)
            self._look(image, stamp_ns)
            next_ns = int(stamps_ns[index + 1]) if index + 1 < len(stamps_ns) else stamp_ns + 1
            ends_ns = min(max(next_ns - dt_ns // 2, stamp_ns + 1), stamp_ns + self._silence_ns)
            for tick_ns in range(stamp_ns, ends_ns, dt_ns):
                self._tell(tick_ns, image)

    def _look(self, image: int, stamp_ns: int) -> None:
        if not self._gate.fault and self._player.wants_image(stamp_ns):
            self._player.ask(stamp_ns)
            question = Question(image, self._epoch)
            self._told.questions.append(question)
            self._take(question, stamp_ns)

    def _keep(self, now_ns: int, command: Command | None) -> None:
        if self._gate.fault and self._player.is_engaged:
            self._start_over(now_ns)
        super()._keep(now_ns, command)
