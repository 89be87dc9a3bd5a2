# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What outputs of positions have in common: to stop is to stay where the arm was told to be.

That is told for a second, and then no more: a target that is repeated for ever would pull an arm
back that somebody has moved meanwhile.
"""

import time

from sqap_vla_ros.control.command import Command

from .base import ArmOutput

HOLD_S = 1.0  # for which a stop is repeated


class PositionOutput(ArmOutput):
    """
    Base of the outputs that tell where the arm is to be.

    Subclasses have position_message(position, time_ns) and position_of(measured).
    """

    def __init__(self, node, arm, lockstep: bool):
        """
        Keep what a stop needs.

        arm: tells where the arm is, see measured.py.  lockstep: each tick is answered, with the
        measured position where none was told yet.
        """
        super().__init__(node)
        self._measured, self._lockstep = arm, lockstep
        self.begin()

    def begin(self):
        """Hold nothing that was told before this activation."""
        self._told = self._stopped_s = None

    def send(self, command: Command, time_ns: int):
        """Publish where the arm is to be; a command that tells no position stops it."""
        if command.position is None:
            self.stop(time_ns)
        else:
            self.publish_command(command, time_ns)
            self._told, self._stopped_s = command.position, None

    def publish_command(self, command: Command, time_ns: int):
        """Publish where a command leads to."""
        self._hold(command.position, time_ns)

    def stop(self, time_ns: int):
        """
        Publish the position that was told last, once and then for a second.

        By a clock that nobody sets: the node's may have been, and the arm must stop.
        """
        if self._lockstep:
            self._hold_tick(time_ns)
        elif self._told is not None:
            now_s = time.monotonic()
            if self._stopped_s is None:
                self._stopped_s = now_s
            if now_s - self._stopped_s > HOLD_S:
                self._told = None
            else:
                self._hold(self._told, time_ns)

    def _hold_tick(self, time_ns):
        """Answer a tick: the simulator waits for it."""
        if self._told is None:
            self._told = self.position_of(self._measured.now(time_ns))
        if self._told is not None:
            self._hold(self._told, time_ns)

    def _hold(self, position, time_ns):
        self._arm.publish(self.position_message(position, time_ns))
