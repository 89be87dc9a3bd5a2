# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The whole way from chunks to commands, with random policies: kinds, outputs, latencies, stops.

What a policy says of a moment can't be compared with what comes out of it, for plans are played
slower, blended and followed. So what comes out is judged by itself, and by where the arm goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .lengths import groups_of
from .playing import Arm
from .scenarios import Scenario, scenario, TICKS
from .tally import MEASURES, Tally
from ...control.action_space import ActionSpace, NAMES_BY_KIND
from ...control.commander import Commander
from ...control.drives import PoseDrive, TwistDrive
from ...control.joint_drive import JointDrive
from ...control.joint_settings import JointSettings
from ...errors import ObservationError
from ...observation import ActionChunk

SLACK, SILENT_S, SILENT_PERIODS = 1e-6, 0.1, 2.5
STOPS = {'stop', 'rest'}


class Run:
    """A Commander in a scenario: whose wanted velocities become the rows of chunks."""

    def __init__(self, what: Scenario, rng: np.random.Generator):
        """Make a policy, an output and an arm."""
        self._rng, self._period_s = rng, what.period_ns * 1e-9
        self._rows, self._latency = int(rng.choice([1, 4, 8, 16])), int(rng.integers(0, 12))
        self.space = _space(what, rng, self._rows)
        self._what = what = replace(what, frame=self.space.frame)
        self.drive, self._is_told = _drive(what, self.space, rng)
        self._control = Commander(self.space, what.limits, period_ns=what.period_ns,
                                  drive=self.drive)
        self._arm = Arm(what.place, what.turn, what.period_ns,
                        what.frame == 'end_effector', what.is_cartesian)
        self._pending = None  # (tick at which the answer is known, stamp, where the arm was)
        self._limits, self._stands_for = what.limits, 0
        self._before, self._before_ns = np.zeros(what.wanted.shape[1]), None
        self.shares = {name: [] for name in MEASURES}
        self.counts = {'inputs': 0, 'commands': 0, 'moving': 0, 'faults': 0}

    def judged(self) -> Iterator[tuple[int, str]]:
        """Yield (tick, what is unsafe)."""
        for tick, now_ns in enumerate(map(int, self._what.times_ns)):
            self._arm.move(now_ns)
            names = self._happen(tick)
            measured = self._arm.measured(self._arm.seen(int(self._what.sight[tick])))
            self._ask_and_answer(tick, now_ns, measured)
            sent = self._sent(names, now_ns, measured)
            yield from ((tick, text) for text in self._unsafe(names, sent, now_ns, measured))
            self._note(sent, now_ns)

    def _happen(self, tick: int) -> set[str]:
        """Do what the scenario says, and return the names of it."""
        control, events = self._control, self._what.events.get(tick, [])
        for name, value in events:
            if name == 'limits':
                self._limits = control.gate.limits = value
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
        space = self.space
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

    def _unsafe(self, names, sent, now_ns: int, measured) -> Iterator[str]:
        """Yield what is unsafe about what was sent."""
        dt_s = self._dt_s(names, now_ns)
        if sent is None:
            yield from self._stop(names, dt_s)
            return
        if self._control.gate.fault:
            yield 'a command in spite of a fault'
        values = [sent.velocity, *([] if sent.position is None else [sent.position])]
        if not all(np.isfinite(value).all() for value in values):
            yield f'the command is {sent}'
            return
        if sent.gripper is not None and not 0.0 <= sent.gripper <= 1.0:
            yield f'the gripper is told {sent.gripper}'
        if self._is_told and sent.position is None:
            yield 'an output of positions is told none'
        for group in groups_of(self._limits):
            yield from self._dynamics(names, group, sent, dt_s)
            if group.is_bounded:
                yield from self._place(group, sent, measured, now_ns)

    def _dt_s(self, names, now_ns: int) -> float:
        passed_s = None if self._before_ns is None else (now_ns - self._before_ns) * 1e-9
        silent_s = max(SILENT_S, SILENT_PERIODS * self._period_s)
        if passed_s is None or not 0 <= passed_s <= silent_s or names & STOPS:
            self._before = np.zeros_like(self._before)
            return self._period_s
        return min(passed_s, self._period_s)

    def _stop(self, names, dt_s: float) -> Iterator[str]:
        if self._control.gate.fault is None and not names & STOPS:
            for group in groups_of(self._limits):
                stop_s = group.acceleration(self._before)
                if group.is_bounded and group.is_out(self._arm.place):
                    continue  # the bounds go before the acceleration
                if stop_s > dt_s * (1 + SLACK) + SLACK * self._period_s:
                    yield f'{group.name}: stopped at once without a fault, {stop_s:.3g} s early'

    def _dynamics(self, names, group, sent, dt_s: float) -> Iterator[str]:
        speed, before = group.speed(sent.velocity), group.speed(self._before)
        self.shares['speed'].append(speed)
        if speed > 1 + SLACK:
            yield f'{group.name}: {speed:.6g} times the speed limit'
        if group.is_bounded or before > 1 + SLACK:
            change_s = group.gain_s(self._before, sent.velocity)
        else:
            change_s = group.acceleration(sent.velocity - self._before)
            if dt_s > 0 and group.has_acceleration:
                self.shares['acceleration'].append(change_s / dt_s)
        if before <= 1 + SLACK and change_s > dt_s * (1 + SLACK) + group.rounding_s:
            yield f'{group.name}: a change that takes {change_s:.6g} s, in {dt_s:.6g} s'

    def _place(self, group, sent, measured, now_ns: int) -> Iterator[str]:
        """Yield what leads out, where the arm was seen just now."""
        if measured is None or (measured.pose and measured.pose.stamp_ns != now_ns):
            return
        low, high = group.bounds
        velocity = group.of(sent.velocity)
        if self._what.is_cartesian and self._what.frame == 'end_effector':
            velocity = self._arm.turn @ velocity
        room = np.where(velocity > 0, high - self._arm.place, self._arm.place - low)
        out = np.abs(velocity) * self._period_s - np.maximum(room, 0.0)
        if (out > SLACK).any() and velocity.any():
            yield f'{group.name}: leads {out.max():.3g} out of the bounds'

    def _note(self, sent, now_ns: int) -> None:
        self.counts['inputs'] += 1
        self.counts['commands'] += sent is not None
        self.counts['faults'] += self._control.gate.fault is not None
        self._arm.velocity = None if sent is None else sent.velocity
        if sent is None:
            self._before, self._before_ns = np.zeros_like(self._before), None
        else:
            self.counts['moving'] += bool(sent.velocity.any())
            self._before, self._before_ns = sent.velocity, now_ns


def try_commander(seed: int, index: int) -> Tally:
    """Return what one scenario comes to with a Commander of its own."""
    what = scenario(seed, index)
    run, tally = Run(replace(what, targets=None), np.random.default_rng([seed, index, 1])), Tally()
    with np.errstate(over='ignore', invalid='ignore', under='ignore'):
        for tick, text in run.judged():
            tally.note(f'scenario {index}, tick {tick}, {run.space.kind}', [text])
    tally.counts.update(run.counts)
    tally.counts[f'{run.space.kind} by {type(run.drive).__name__}'] += TICKS
    tally.add_shares(run.shares)
    return tally


def _space(what: Scenario, rng, rows: int) -> ActionSpace:
    """Return an action space of any kind for the scenario's robot."""
    kind = str(rng.choice(('twist', 'delta', 'pose') if what.is_cartesian else (
        'joint_position', 'joint_delta')))
    names = NAMES_BY_KIND[kind] or tuple(f'joint_{i}' for i in range(what.wanted.shape[1]))
    rotation = 'rotvec' if kind in ('delta', 'pose') else None
    return ActionSpace(
        kind, tuple(names) + ('gripper',) * bool(rng.random() < 0.5),
        dt=float(rng.choice([0.02, 0.05, 0.2])),
        frame=what.frame if kind != 'pose' else 'base',
        execute_steps=int(rng.integers(1, rows + 1)), rotation=rotation)


def _drive(what: Scenario, space: ActionSpace, rng):
    """Return an output's pure half, and whether it tells positions."""
    if not space.is_cartesian:
        return JointDrive(space.arm_names, what.limits, JointSettings()), True
    if rng.random() < 0.5:
        return TwistDrive(), False
    return PoseDrive(space.frame), True
