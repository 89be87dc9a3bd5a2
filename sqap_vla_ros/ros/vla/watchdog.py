# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Stops the arm when the executor thread stands still while it moves.

A callback that hangs, a debugger, a machine that swaps: the control timer does not run, and the
last command would stay in force for as long as its receiver lets it. Where all of the process
stands still there is nothing but the receiver's own time-out, or the deadline that the command
topics offer.
"""

import threading
import time

LEAST_S = 0.25  # a busy machine may be late by less
PERIODS = 5


class Watchdog:
    """A thread that calls stop() once when nobody has called alive() for too long in motion."""

    def __init__(self, period_s: float, stop):
        """period_s: of the control timer; stop(): is called on the watchdog's thread."""
        self.limit_s = max(LEAST_S, PERIODS * period_s)
        self.silent_s = 0.0  # how long it was when stop() was called; 0: it was not
        self._stop = stop
        self._alive_s = time.monotonic()
        self._moves = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name='watchdog', daemon=True)
        self._thread.start()

    def alive(self, moves: bool):
        """Note that the control timer runs; moves: whether its last command was not zero."""
        self._alive_s, self._moves = time.monotonic(), moves

    def close(self):
        """End the thread; stop() is not called any more when this returns."""
        self._closed.set()
        self._thread.join()

    def _watch(self):
        while not self._closed.wait(self.limit_s / 5):
            silent_s = time.monotonic() - self._alive_s
            if self._moves and silent_s > self.limit_s:
                self._moves = False
                self.silent_s = silent_s
                self._stop()
