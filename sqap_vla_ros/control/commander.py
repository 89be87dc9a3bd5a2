# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From a policy's chunks to the one command for now: units, playing by time, the safety gate.

The node, `sqap-vla eval` and every other program that moves an arm use this one. It knows no ROS
and no clock: the caller says what time it is, in integer nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .action_space import ActionSpace
from .chunk_player import ChunkPlayer
from .command import Command, Measured
from .drives import Drive, TwistDrive
from .limits import CommandLimits
from .safety_gate import SafetyGate
from ..support.timing import Recent

WINDOW_NS = 10 * 10**9
# of the time that rows run, below which the user should hear why
SMOOTH_SHARE, SMOOTH_SHARE_WHOLE = 0.9, 0.5
SHORTENED = 0.02  # of the way, beyond which the user should hear of it


@dataclass(frozen=True)
class Pace:
    """
    How what the policy says is carried out.

    latency_ms: from an image to its chunk, median of the last ones.  rows, dt_s: of a chunk.
    running_share: of the last ten seconds in which rows were executed, 0 .. 1; NaN
    in the first second.  executed_share: how much of their way the limits leave of rows.
    is_whole: whether chunks are executed to their end before the next image is asked about.
    """

    latency_ms: float
    rows: int
    dt_s: float
    running_share: float
    is_whole: bool
    executed_share: float

    @property
    def is_slow(self) -> bool:
        """Whether the arm stands still for much of the time because answers are late."""
        least = SMOOTH_SHARE_WHOLE if self.is_whole else SMOOTH_SHARE
        return self.rows > 0 and self.running_share < least

    def __str__(self) -> str:
        """Say it in a sentence, with what to change where the arm waits."""
        if not self.rows:
            return 'no action chunk yet'
        chunk = f'{self.rows} row{"s" * (self.rows > 1)} of {self.dt_s:.3g} s'
        text = (f'an image is answered after {self.latency_ms:.0f} ms with {chunk}, all of which '
                'is executed' if self.is_whole else
                f'an image is answered after {self.latency_ms:.0f} ms with {chunk}')
        if self.running_share == self.running_share:  # known
            text += f'; the arm is under way {100 * self.running_share:.0f} % of the time'
        if self.executed_share < 1 - SHORTENED:
            text += (f'; the speed limits leave {100 * self.executed_share:.0f} % of what it '
                     'says: raise them if that is safe, or look for a wrong scale or dt')
        if self.is_slow:
            text += (': use a lower precision, fewer tokens or a faster machine'
                     + (', or pipelined, to ask while the arm moves' if self.is_whole else
                        ', or smaller execute_steps, to ask earlier'))
        return text


class Commander:
    """Takes chunks, gives commands; `gate` and `player` may be looked at."""

    def __init__(self, space: ActionSpace, limits: CommandLimits, lockstep: bool = False,
                 pipelined: bool = False, period_ns: int = 1, drive: Drive | None = None):
        """
        Begin without a chunk.

        period_ns: how long the robot holds a command, 1 where that is until the next row.
        drive: the pure half of the output, a TwistDrive unless told.  For the others see
        ChunkPlayer.  Raises ConfigError.
        """
        self.space, self._period_ns = space, 1 if lockstep else period_ns
        self.drive, self._drive_period_ns = drive or TwistDrive(), period_ns
        self._is_moving = False
        self.gate = SafetyGate(limits)
        self.player = ChunkPlayer(space.execute_steps, lockstep, pipelined)
        self._latency_ms, self._executed = Recent(100), Recent(200)

    def take(self, chunk, now_ns: int, start: Measured | None = None) -> bool:
        """
        Play an observation.ActionChunk from now on; return False if it is of no use any more.

        start: where the arm was at the image's stamp. A chunk with a row that must never reach
        an arm latches the gate's fault. Raises ConfigError for actions of another width than the
        action space's.
        """
        commands = self.space.commands(chunk.actions)
        if not self.gate.admit_chunk(commands):
            self.stop(now_ns)
            return True
        is_taken = self.player.load(commands, chunk.stamp_ns, round(chunk.dt * 1e9), now_ns)
        if is_taken:
            self._latency_ms.add((now_ns - chunk.stamp_ns) * 1e-6)
        return is_taken

    def command(self, now_ns: int, measured: Measured | None = None) -> Command | None:
        """
        Return the command from now on, within the limits; None where the arm must stand still.

        measured: where the arm is now. Raises ObservationError where motion begins and what the
        drive needs is not measured.
        """
        said = self.player.command(now_ns, self._period_ns)
        admitted = said and self._admitted(said, now_ns, measured)
        if admitted is None:
            self._rest()
            return None
        sent = self.drive.advance(admitted, now_ns, self._drive_period_ns)
        self.drive.watch(measured, now_ns)
        return None if self._has_failed(now_ns) else sent

    def brake(self, now_ns: int) -> Command | None:
        """Return the command that slows the arm down; None once it stands."""
        self.stop(now_ns)
        return None

    def stop(self, now_ns: int) -> None:
        """Drop the chunk; motion begins again with the answer to an image taken from now on."""
        self.player.forget(now_ns)
        self._rest()

    def _admitted(self, said: Command, now_ns: int, measured) -> Command | None:
        """Return what the gate leaves of a command."""
        if not self._is_moving:
            self.drive.begin(measured)
            self._is_moving = True
        asked = self.drive.toward(said, now_ns, self._drive_period_ns)
        command = self.gate.admit(asked)
        if command and asked.velocity.any():
            self._executed.add(np.linalg.norm(command.velocity) / np.linalg.norm(asked.velocity))
        if self.gate.fault:
            self.stop(now_ns)
        return command

    def _has_failed(self, now_ns: int) -> bool:
        """Latch the drive's fault, if it has one."""
        fault = self.drive.fault
        if fault:
            self.gate.latch(fault)
            self.stop(now_ns)
        return bool(fault)

    def _rest(self) -> None:
        if self._is_moving:
            self.drive.rest()
            self._is_moving = False

    def pace(self, now_ns: int) -> Pace:
        """Return how what the policy says is carried out."""
        rows = self.player.chunk_rows or 0
        return Pace(self._latency_ms.percentile(50), rows, self.space.dt,
                    self.player.executed.share(now_ns, WINDOW_NS), self.player.is_whole,
                    self._executed.mean())
