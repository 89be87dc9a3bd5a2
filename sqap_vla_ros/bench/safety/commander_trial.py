# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The whole way from chunks to commands, with random policies: kinds, outputs, latencies, stops.

What a policy says of a moment can't be compared with what comes out of it, for plans are played
slower, blended and followed. So what comes out is judged by itself. Where that is a position, the
arm goes there, and speeds and places are those of the positions: limits hold for where the arm is
told to be, from one period to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .commander_draws import rig
from .commander_judge import CommandJudge
from .scenarios import is_bounded, Scenario, scenario, TICKS
from .tally import Tally
from ...control.command import Command
from ...errors import ObservationError
from ...observation import ActionChunk

AHEAD = 5  # commands of a preview


class Run:
    """A Commander in a scenario: whose wanted velocities become the rows of chunks."""

    def __init__(self, what: Scenario, rng: np.random.Generator):
        """Make a policy, an output and an arm."""
        self._rng, self._period_s = rng, what.period_ns * 1e-9
        self._rows, self._latency = int(rng.choice([1, 4, 8, 16])), int(rng.integers(0, 12))
        self.rig = made = rig(what, rng, self._rows)
        self._what, self._control, self._arm = made.what, made.control, made.arm
        self._pending = None  # (tick at which the answer is known, stamp, where the arm was)
        self._looks_ahead, self._judge = rng.random() < 0.2, CommandJudge(made)
        self.counts = {'inputs': 0, 'commands': 0, 'moving': 0, 'faults': 0}

    @property
    def shares(self) -> dict[str, list]:
        """Return what was told, as shares of the limits."""
        return self._judge.shares

    def judged(self) -> Iterator[tuple[int, str]]:
        """Yield (tick, what is unsafe)."""
        for tick, now_ns in enumerate(map(int, self._what.times_ns)):
            self._arm.move(now_ns)
            names = self._happen(tick)
            measured = self._arm.measured(self._arm.seen(int(self._what.sight[tick])))
            self._ask_and_answer(tick, now_ns, measured)
            ahead = self._ahead(names, now_ns, measured)
            sent = self._sent(names, now_ns, measured)
            found = [*self._judge.unsafe(names, sent, now_ns, measured), *self._other(ahead, sent)]
            yield from ((tick, text) for text in found)
            self._note(sent)

    def _happen(self, tick: int) -> set[str]:
        """Do what the scenario says, and return the names of it."""
        control, events = self._control, self._what.events.get(tick, [])
        for name, value in events:
            if name == 'limits':
                self._judge.limits = control.gate.limits = value
            elif name == 'scale':
                control.gate.speed_scale = value
            elif name == 'stop':
                control.gate.latch('someone pressed stop')
            elif name == 'rest':
                control.stop(int(self._what.times_ns[tick]))
            elif name == 'resume':
                control.gate.resume()
            elif name == 'push':
                self._arm.push(value)
        return {name for name, _ in events}

    def _ask_and_answer(self, tick: int, now_ns: int, measured) -> None:
        player = self._control.player
        if self._pending is None and player.wants_image(now_ns):
            player.ask(now_ns)
            self._pending = tick + self._latency, now_ns, measured
        if self._pending is None or tick < self._pending[0]:
            return
        _, stamp_ns, start = self._pending
        self._pending = None
        try:
            self._control.take(self._chunk(tick, stamp_ns, start), now_ns, start)
        except ObservationError:  # where the arm was is not known: no answer
            self._control.drop(now_ns)

    def _chunk(self, tick: int, stamp_ns: int, start) -> ActionChunk:
        """Return rows that say the scenario's wanted velocities, in the action space's units."""
        first = min(tick, len(self._what.wanted) - 1)
        rows = np.resize(self._what.wanted[first:first + self._rows],
                         (self._rows, self._what.wanted.shape[1]))
        space = self.rig.space
        if space.kind in ('delta', 'joint_delta'):
            rows = rows * space.dt
        elif space.kind in ('pose', 'joint_position') and start is not None:
            begun = start.joints if start.pose is None else np.concatenate(
                [start.pose.translation, np.zeros(3)])
            rows = begun + np.cumsum(rows, 0) * space.dt
        if 'gripper' in space.names:
            rows = np.column_stack([rows, self._rng.uniform(-0.5, 1.5, len(rows))])
        with np.errstate(over='ignore'):
            return ActionChunk(rows.astype(np.float32), space.dt, space.names, stamp_ns, {})

    def _sent(self, names: set[str], now_ns: int, measured):
        try:
            if 'brake' in names:
                return self._control.brake(now_ns, measured)
            return self._control.command(now_ns, measured)
        except ObservationError:  # motion would begin, and where is not known
            self._control.stop(now_ns)
            return None

    def _ahead(self, names: set[str], now_ns: int, measured) -> Command | None:
        """
        Return the first command of a preview, None without one.

        Near bounds a preview takes the arm to be where it is told to be, so it may differ.
        """
        if not self._looks_ahead or 'brake' in names or measured is None or is_bounded(
                self._judge.limits):
            return None
        try:
            ahead = self._control.preview(now_ns, AHEAD, self._what.period_ns, measured)
        except ObservationError:
            return None
        return ahead[0] if ahead else None

    def _other(self, ahead: Command | None, sent: Command | None) -> list[str]:
        """Return in what a preview is not what is sent, if there was one."""
        if ahead is None or sent is not None and all(
                np.array_equal(getattr(ahead, name), getattr(sent, name))
                for name in ('velocity', 'position')):
            return []
        return [f'previewed {ahead}, sent {sent}']

    def _note(self, sent) -> None:
        self.counts['inputs'] += 1
        self.counts['commands'] += sent is not None
        self.counts['faults'] += self._control.gate.fault is not None
        self.counts['moving'] += sent is not None and bool(sent.velocity.any())
        self._arm.velocity = None if sent is None else sent.velocity


def try_commander(seed: int, index: int) -> Tally:
    """Return what one scenario comes to with a Commander of its own."""
    what = scenario(seed, index)
    run, tally = Run(replace(what, targets=None), np.random.default_rng([seed, index, 1])), Tally()
    with np.errstate(over='ignore', invalid='ignore', under='ignore'):
        for tick, text in run.judged():
            tally.note(f'scenario {index}, tick {tick}, {run.rig.name}', [text])
    tally.counts.update(run.counts)
    tally.counts[run.rig.name] += TICKS
    tally.add_shares(run.shares)
    return tally
