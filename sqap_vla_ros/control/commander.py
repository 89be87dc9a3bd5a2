# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From a policy's chunks to the one command for now: units, playing by time, the safety gate.

The node, `sqap-vla eval` and every other program that moves an arm use this one. It knows no ROS
and no clock: the caller says what time it is, in integer nanoseconds.
"""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace

import numpy as np

from .action_space import ActionSpace, DT_RANGE_S
from .chunk_player import ChunkPlayer
from .command import Command, Measured
from .drives import Drive, TwistDrive
from .lag import Lag
from .limits import CommandLimits, JointLimits
from .pace import Pace
from .plan import Plan
from .retiming import eased, Rate, Retimer
from .row_positions import JointPath, PosePath, position_of
from .safety_gate import SafetyGate
from .seams import Seams
from ..errors import ConfigError
from ..support.timing import Recent
from ..support.validation import is_number

WINDOW_NS = 10 * 10**9
SETTLED = 1e-4  # m or rad, from a plan's end
MOST_SHARE = 4.0  # that an arm, which cannot slow down at once, goes beyond what was asked for


class Commander:
    """Takes chunks, gives commands; `gate`, `player` and `drive` may be looked at."""

    def __init__(self, space: ActionSpace, limits: CommandLimits | JointLimits,
                 lockstep: bool = False, pipelined: bool = False, period_ns: int = 1,
                 drive: Drive | None = None, missed_chunks: int = 0,
                 blending: str = 'none', blending_s: float = 0.2):
        """
        Begin without a chunk.

        limits: of what actions are about, CommandLimits of twists or JointLimits.
        period_ns: how long the robot holds a command, 1 where that is until the next row.
        drive: the pure half of the output, a TwistDrive unless told.
        missed_chunks: so many answers in a row that come too late latch a fault; 0 for never.
        blending, blending_s: how a chunk takes over from the one before, see seams.py, and the
        seconds of the plan that it takes.
        For the others see ChunkPlayer.  Raises ConfigError.
        """
        self.space, self._lockstep, self._period_ns = space, lockstep, period_ns
        self.drive, self.missed_chunks = drive or TwistDrive(), missed_chunks
        self.gate = SafetyGate(limits, space.frame)
        self.player = ChunkPlayer(
            space.execute_steps, lockstep, pipelined,
            Seams(blending, round(blending_s * 1e9), space.gripper_threshold is not None))
        self._retimer, self._rate, self._missed = Retimer(period_ns), Rate(0), 0
        self._fault_at_rest = None  # what is latched once the arm stands
        self._moving = None  # the velocity that was told last; None while the arm stands
        self.is_carried_out = True  # whether the arm is told: a dry run's is not to follow
        self._lag = Lag()
        self._latency_ms, self._left = Recent(100), Recent(200)

    @property
    def needs(self) -> frozenset[str]:
        """Return what has to be measured, out of 'pose' and 'joints'."""
        return self.space.needs | self.drive.needs

    def take(self, chunk, now_ns: int, start: Measured | None = None) -> bool:
        """
        Play an observation.ActionChunk from now on; return False if it is of no use any more.

        start: where the arm was at the image's stamp. A chunk with a row that must never reach
        an arm latches the gate's fault, and so do too many that came late. Raises ConfigError for
        actions that are none of the action space's and for a dt beyond DT_RANGE_S, and
        ObservationError where an absolute kind lacks its start.
        """
        if self._fault_at_rest is not None:  # and the arm is being slowed down for it
            return True
        plan = self._plan(chunk, start if self.needs else None)
        if not self.gate.admit_chunk(plan.rows, start, bool(self.space.needs)):
            self.stop(now_ns)
            return True
        is_late = self.is_late(now_ns)
        behind_ns = 0 if self._lockstep else self._lag.behind_ns(start, chunk.stamp_ns)
        if not self.player.load(plan, chunk.stamp_ns, now_ns, behind_ns):
            return False
        self._latency_ms.add((now_ns - chunk.stamp_ns) * 1e-6)
        self._missed = self._missed + 1 if is_late else 0
        if 0 < self.missed_chunks <= self._missed:
            self._fault_at_rest = self._why_late(len(plan.rows))
            self.player.forget(now_ns)
        return True

    def command(self, now_ns: int, measured: Measured | None = None) -> Command | None:
        """
        Return the command from now on, within the limits; None where the arm must stand still.

        measured: where the arm is now. Raises ObservationError where motion begins and what the
        drive needs is not measured.
        """
        if self.drive.lost:  # until it stands, or is known again and asked anew
            self.player.forget(now_ns)
        said = self._said(now_ns)
        if said is None:
            return self._braked(now_ns, measured)
        if self._moving is None:
            self.drive.begin(measured)
            self._moving = np.zeros(len(said.velocity))
        asked = self._asked(said, now_ns)
        clamped, reference = self.gate.clamped, self.drive.reference(now_ns)
        self._lag.note(now_ns, reference)
        admitted = self.gate.admit(asked, now_ns, self._period_ns, measured, reference)
        if self.gate.fault or self.gate.hold:  # motion begins again with another image
            self.player.forget(now_ns)
        if admitted is None:
            return self._rested() if self.gate.fault else self._drive_braked(now_ns)
        sent = self._sent(admitted, now_ns, measured)
        is_cut = self.gate.clamped > clamped
        if self.drive.is_held and not is_cut and self.gate.shortened(now_ns):
            self.stop(now_ns)
        is_cut |= self.drive.is_held
        self._account(said, asked, admitted, now_ns, is_cut)
        if is_cut and self._moving is not None:  # what a bound leaves is not what the arm can
            self._moving = asked.velocity
        return None if self.gate.fault else sent

    def brake(self, now_ns: int, measured: Measured | None = None) -> Command | None:
        """
        Drop the chunk; return the command that slows the arm down, None once it stands.

        Motion begins again with the answer to an image taken from now on.
        """
        self.player.forget(now_ns)
        return self._braked(now_ns, measured)

    def stop(self, now_ns: int) -> None:
        """Drop the chunk, and take the arm to stand at once."""
        self.player.forget(now_ns)
        self.gate.hold = None  # said anew where it still is so
        self._rest()

    def drop(self, now_ns: int) -> None:
        """Drop the chunk; what the arm does is slowed down by the next brake() or command()."""
        self.player.forget(now_ns)
        self.gate.hold = None
        self._missed = 0

    def is_late(self, now_ns: int) -> bool:
        """Return whether the arm stands, or crawls, for want of a chunk that is asked for."""
        if self._lockstep or self.player.stamp_ns is None or self.player.is_whole:
            return False
        return self.player.place_ns(now_ns) is None or self._rate.is_starved

    def preview(self, now_ns: int, count: int, dt_ns: int,
                measured: Measured | None = None) -> list[Command]:
        """
        Return what command() would say at now and every dt_ns after, count times; [] at rest.

        Nothing is changed by it. The first is the command for now.  measured: where the arm is;
        a positional output is taken to have it where it was told to be by then.
        """
        twin = copy(self)
        twin.player, twin.gate, twin.drive = self.player.twin(), deepcopy(self.gate), copy(
            self.drive)
        twin._retimer, twin._left, twin._period_ns = Retimer(dt_ns), Recent(1), dt_ns
        twin._lag = Lag()
        commands = []
        for index in range(count):
            time_ns = now_ns + index * dt_ns
            commands.append(twin.command(time_ns, _followed(twin.drive, measured, time_ns)))
            if commands[-1] is None:
                return commands[:-1]
        return commands

    def _plan(self, chunk, start: Measured | None) -> Plan:
        """Return a chunk as a plan, with positions where the arm's start is given."""
        space, begun, path = self.space, None, JointPath()
        low, high = DT_RANGE_S
        if not (is_number(chunk.dt) and low <= chunk.dt <= high):
            raise ConfigError(f'the dt of an action chunk is {chunk.dt} s, expected {low}..{high}')
        if space.is_cartesian:
            path = PosePath(space.frame)
            begun = None if start is None or start.pose is None else position_of(start.pose)
        elif start is not None:
            begun = start.joints
        return Plan.even(space.commands(chunk.actions, start), round(chunk.dt * 1e9), begun, path)

    def _said(self, now_ns: int) -> Command | None:
        """Return what the plan says for now, as fast as it may be played."""
        if self._lockstep:  # a position is that at the end of the tick, not of its first instant
            return self.player.command(now_ns, self._period_ns if self.needs else 1)
        if not self.gate.speed_scale:
            self.player.forget(now_ns)
        place_ns = self.player.place_ns(now_ns)
        self._rate = Rate(0) if place_ns is None else self._retimer.rate(
            self.player.plan, place_ns, self._moving, self.gate.limits, self.gate.speed_scale)
        return (self.player.command(now_ns, self._period_ns, self._rate.way_ns)
                or self._settling(now_ns))

    def _settling(self, now_ns: int) -> Command | None:
        """Return the end of the plan as a command while the arm is still told to be elsewhere."""
        plan = self.player.plan
        if self._moving is None or self.player.stamp_ns is None or plan.start is None:
            return None
        said = Command(np.zeros(len(self._moving)), plan.rows[-1].gripper,
                       plan.rows[-1].position)
        step = self.drive.toward(said, now_ns, 10**9).velocity
        return said if np.abs(step).max() > SETTLED else None

    def _asked(self, said: Command, now_ns: int) -> Command:
        """Return the velocity to ask for: the plan's, and what leads back to it."""
        toward = self.drive.toward(said, now_ns, self._period_ns)
        if toward is said or self._lockstep:
            return toward
        back = toward.velocity - said.velocity
        return replace(toward, velocity=said.velocity + eased(
            back, said.velocity, self.gate.limits, self._period_ns, self.gate.speed_scale))

    def _account(self, said, asked, admitted, now_ns: int, is_cut: bool) -> None:
        """Note what of the plan was carried out, and whether the limits are felt."""
        if not asked.velocity.any():
            return
        if self._lockstep:
            self._left.add(np.linalg.norm(admitted.velocity) / np.linalg.norm(asked.velocity))
            return
        self._left.add(self._rate.leaves)
        if self._rate.leaves < 1 and self.gate.shortened(now_ns):
            self.stop(now_ns)
        if not is_cut and self.player.stamp_ns is not None:  # at a bound time goes on
            off = admitted.velocity - asked.velocity
            share = 1.0 + float(off @ said.velocity) / max(
                float(said.velocity @ said.velocity), 1e-12)
            self.player.carried(now_ns, said, min(max(share * self.drive.share, 0.0), MOST_SHARE))

    def _braked(self, now_ns: int, measured: Measured | None) -> Command | None:
        command = self.gate.brake(now_ns, self._period_ns, measured,
                                  self.drive.reference(now_ns))
        if command is not None:
            return self._sent(command, now_ns, measured)
        return self._drive_braked(now_ns)

    def _drive_braked(self, now_ns: int) -> Command | None:
        """Return what a drive whose joints are slower to stop than the twist has still to say."""
        return self.drive.brake(now_ns, self._period_ns) or self._rested()

    def _sent(self, admitted: Command, now_ns: int, measured: Measured | None) -> Command | None:
        """Return what to send; None where the drive finds that the arm has to stop."""
        self._moving, limits = admitted.velocity, self.gate.limits
        self.drive.box, self.drive.speeds = limits.box, limits.groups
        sent = self.drive.advance(admitted, now_ns, self._period_ns)
        if self.is_carried_out:
            self.drive.watch(measured, now_ns)
        if self.drive.fault:
            self.gate.latch(self.drive.fault)
            self.stop(now_ns)
            return None
        return sent

    def _rested(self) -> None:
        """Take the arm to stand, for which there is no command."""
        self._rest()

    def _rest(self) -> None:
        """Take the arm to stand."""
        self.gate.rest()
        self._lag.clear()
        if self._fault_at_rest is not None:
            self.gate.latch(self._fault_at_rest)
            self._fault_at_rest, self._missed = None, 0
        if self._moving is not None:
            self.drive.rest()
            self._moving = None

    def _why_late(self, rows: int) -> str:
        latency_ms, row_ms = self._latency_ms.percentile(50), self.space.dt * 1e3
        steps = self.space.execute_steps
        return (f'{self._missed} answers in a row came when the last one had run out, and the '
                f'arm stood between them: an image is answered after {latency_ms:.0f} ms, but '
                f'{rows} rows of {row_ms:.0f} ms, asked about every {steps}, allow '
                f'{(rows - steps) * row_ms:.0f} ms. Use a lower precision, fewer tokens or a '
                'faster machine, or smaller execute_steps, to ask earlier (missed_chunks)')

    def pace(self, now_ns: int) -> Pace:
        """Return how what the policy says is carried out."""
        rows = self.player.chunk_rows or 0
        return Pace(self._latency_ms.percentile(50), rows, self.space.dt,
                    self.player.executed.share(now_ns, WINDOW_NS), self.player.is_whole,
                    self._left.mean())


def _followed(drive: Drive, measured: Measured | None, time_ns: int) -> Measured | None:
    """Return where an arm that follows a drive will be at a time."""
    told = drive.reference(time_ns)
    if told is None:
        return measured
    return Measured(told.pose and replace(told.pose, stamp_ns=time_ns), told.joints)
