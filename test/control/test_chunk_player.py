# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""When rows are played: what the arm does is what the policy said, at any latency and rate."""
from hypothesis import example, given
from hypothesis import strategies as st
import numpy as np
import pytest

from sqap_vla_ros.control.chunk_player import ChunkPlayer
from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.plan import Plan
from sqap_vla_ros.errors import ConfigError

MS = 10**6
START_NS = 1_790_000_000_123_456_789
DT_NS = 50 * MS


def rows(count, speed=1.0):
    """Return commands that name their own row in vy and go `speed` m/s along x."""
    return [Command(np.array([speed, row, 0, 0, 0, 0.0]), row / 16) for row in range(count)]


class Rig:
    """
    A camera, a policy with a latency and an arm that holds each command until the next one.

    The policy looks at where the arm is and says the way to the end of a straight line of rows,
    each `STEP` long: row i of a chunk goes from the i-th to the next mark behind that place.
    """

    STEP_M = 0.02

    def __init__(self, count, latency_ns, camera_hz, control_hz, dt_ns=200 * MS,
                 execute_steps=None, **options):
        self.player = ChunkPlayer(execute_steps or count, **options)
        self.count, self.dt_ns, self.latency_ns = count, dt_ns, latency_ns
        self.camera_ns, self.period_ns = round(1e9 / camera_hz), round(1e9 / control_hz)
        self.now_ns, self.place_m, self.speed = START_NS, 0.0, 0.0
        self.moved_ns, self.answers, self.asked = 0, [], []
        self.seen_m, self._in_hand = {}, None
        self._next = {'camera': START_NS, 'tick': START_NS + self.period_ns // 3}

    def go(self, seconds):
        """Let time pass, event by event."""
        end_ns = self.now_ns + round(seconds * 1e9)
        while True:
            due = min(self._next, key=self._next.get)
            if self._next[due] >= end_ns:
                self._move(end_ns)
                return self
            self._move(self._next[due])
            getattr(self, f'_{due}')()

    def _move(self, until_ns):
        passed_ns = until_ns - self.now_ns
        self.place_m += self.speed * passed_ns * 1e-9
        self.moved_ns += passed_ns * (self.speed > 0)
        self.now_ns = until_ns

    def _camera(self):
        self._next['camera'] += self.camera_ns
        self._newest = self.now_ns
        self.seen_m[self.now_ns] = self.place_m
        self._ask()

    def _ask(self):
        if self._in_hand is None and self.player.wants_image(self._newest):
            self._in_hand = self._newest
            self.asked.append(self._newest)
            self.player.ask(self._newest)
            self._next['answer'] = self.now_ns + self.latency_ns

    def _answer(self):
        del self._next['answer']
        stamp_ns, self._in_hand = self._in_hand, None
        speed = self.STEP_M / (self.dt_ns * 1e-9)
        if self.player.load(Plan.even(rows(self.count, speed), self.dt_ns), stamp_ns, self.now_ns):
            self.answers.append((stamp_ns, self.now_ns, self.place_m))
        self._tick(is_regular=False)
        self._ask()

    def _tick(self, is_regular=True):
        if is_regular:
            self._next['tick'] += self.period_ns
        command = self.player.command(self.now_ns, self.period_ns)
        self.speed = 0.0 if command is None else float(command.velocity[0])


latencies = st.integers(0, 600).map(lambda ms: ms * MS)
cameras, controls = st.integers(5, 60), st.integers(20, 200)


@given(latencies, cameras, controls, st.booleans())
@example(200 * MS, 30, 20, False)
@example(300 * MS, 5, 20, False)
def test_a_single_row_is_executed_whole_at_any_latency(latency_ns, camera_hz, control_hz, pipe):
    """The share of each delta is 100 %, to a control period's rounding."""
    rig = Rig(1, latency_ns, camera_hz, control_hz, pipelined=pipe).go(8)
    begun = len(rig.answers)
    assert begun >= 3
    assert (begun - 2) * rig.STEP_M - 1e-6 <= rig.place_m <= begun * rig.STEP_M + 1e-6
    whole = [after[2] - before[2] for before, after in zip(rig.answers, rig.answers[1:])]
    if not pipe:
        np.testing.assert_allclose(whole, rig.STEP_M, atol=1e-6)
        for (stamp_ns, _, seen_m), (_, _, known_m) in zip(rig.answers[1:], rig.answers[1:]):
            assert rig.seen_m[stamp_ns] == pytest.approx(known_m, abs=1e-6)  # it stood still


@given(st.integers(2, 16), latencies, cameras, controls, st.data())
def test_each_row_of_chunks_is_executed_once(count, latency_ns, camera_hz, control_hz, data):
    """From where the image showed the arm no chunk goes further, or elsewhere, than it said."""
    steps = data.draw(st.integers(1, count))
    rig = Rig(count, latency_ns, camera_hz, control_hz, execute_steps=steps)
    rig.go(6)
    assert len(rig.answers) >= 2
    for stamp_ns, known_ns, known_m in rig.answers:
        skipped_m = known_m - rig.seen_m[stamp_ns]
        assert skipped_m <= count * rig.STEP_M + 1e-3
    ends = [rig.seen_m[stamp] + count * rig.STEP_M for stamp, _, _ in rig.answers]
    assert rig.place_m <= max(ends) + 1e-3  # a row played twice would go beyond
    nexts = [*rig.answers[1:], (None, rig.now_ns, rig.place_m)]
    for (stamp_ns, known_ns, known_m), (_, next_ns, next_m) in zip(rig.answers, nexts):
        left_m = count * rig.STEP_M - (known_m - rig.seen_m[stamp_ns])
        could_m = rig.STEP_M * (next_ns - known_ns) / rig.dt_ns
        assert next_m - known_m == pytest.approx(min(left_m, could_m), abs=1.5e-3)


@given(st.integers(1, 16), latencies, cameras, controls)
def test_the_first_chunk_begins_with_its_first_row(count, latency_ns, camera_hz, control_hz):
    rig = Rig(count, latency_ns, camera_hz, control_hz)
    while not rig.answers:
        rig.go(0.001)
    assert rig.answers[0][2] == 0.0
    command = rig.player.command(rig.now_ns, 1)
    assert command.velocity[1] == 0 and command.gripper == 0.0


@given(st.integers(1, 16), latencies, cameras, controls, st.integers(100, 4000))
def test_after_a_stop_no_row_of_an_old_plan_is_played(count, latency_ns, camera_hz, control_hz,
                                                      stop_ms):
    rig = Rig(count, latency_ns, camera_hz, control_hz, execute_steps=min(count, 4))
    rig.go(stop_ms / 1e3)
    rig.player.forget(rig.now_ns)
    rig._tick(is_regular=False)
    stopped_ns, answers, place_m = rig.now_ns, len(rig.answers), rig.place_m
    assert rig.speed == 0
    while len(rig.answers) == answers:
        rig.go(0.001)
        assert rig.now_ns < stopped_ns + 3 * 10**9
    stamp_ns, _, begun_m = rig.answers[answers]
    assert stamp_ns >= stopped_ns and begun_m == place_m
    assert rig.player.command(rig.now_ns, 1).velocity[1] == 0


def test_lockstep_plays_the_first_rows_on_their_ticks_and_asks_again_behind_them():
    player = ChunkPlayer(execute_steps=4, lockstep=True)
    for begin in (0, 4):
        first_ns = START_NS + begin * DT_NS
        assert player.wants_image(first_ns)
        player.ask(first_ns)
        assert player.load(Plan.even(rows(8), DT_NS), first_ns, first_ns)
        played = []
        for tick in range(4):
            now_ns = first_ns + tick * DT_NS
            assert player.has_row(now_ns) and not player.wants_image(now_ns)
            played.append(player.command(now_ns).velocity[1])
        assert played == [0, 1, 2, 3]
    assert player.command(START_NS + 8 * DT_NS) is None


@pytest.mark.parametrize('count', [1, 4])
def test_in_lockstep_an_answer_may_come_before_the_clock_of_its_image(count):
    """Its row belongs to the tick of the image: none is played twice, none is lost."""
    player = ChunkPlayer(execute_steps=1, lockstep=True)
    for tick in range(3):
        stamp_ns, before_ns = START_NS + tick * DT_NS, START_NS + max(tick - 1, 0) * DT_NS
        marked = [Command(np.full(6, 10 * tick + row)) for row in range(count)]
        player.ask(stamp_ns)
        assert player.load(Plan.even(marked, DT_NS), stamp_ns, before_ns)
        assert player.command(stamp_ns).velocity[0] == 10 * tick


def test_in_lockstep_a_row_is_in_force_for_all_ticks_of_its_time():
    player = ChunkPlayer(execute_steps=2, lockstep=True)
    player.load(Plan.even(rows(8), DT_NS), START_NS, START_NS)
    played = [player.command(START_NS + tick * DT_NS // 5) for tick in range(11)]
    assert [row and row.velocity[1] for row in played] == [0] * 5 + [1] * 5 + [None]


def test_a_command_over_two_rows_is_their_mean_and_past_the_end_it_stands_still():
    player = ChunkPlayer(execute_steps=1)
    fast_slow = [Command(np.full(6, 0.4), 1.0), Command(np.full(6, 0.2), 0.0)]
    player.load(Plan.even(fast_slow, DT_NS), START_NS, START_NS)
    first = player.command(START_NS, 80 * MS)
    np.testing.assert_allclose(first.velocity, (0.4 * 50 + 0.2 * 30) / 80)
    assert first.gripper == 1.0
    last = player.command(START_NS + 80 * MS, 80 * MS)
    np.testing.assert_allclose(last.velocity, 0.2 * 20 / 80)
    assert last.gripper == 0.0
    assert player.command(START_NS + 160 * MS, 80 * MS) is None


def test_what_is_skipped_is_what_was_executed_and_never_latency():
    player = ChunkPlayer(execute_steps=1)
    player.load(Plan.even(rows(8), DT_NS), START_NS - 10**9, START_NS)  # the arm stood still
    assert player.command(START_NS, MS).velocity[1] == 0
    player.command(START_NS + 100 * MS, MS)
    player.load(Plan.even(rows(8), DT_NS), START_NS + 40 * MS, START_NS + 120 * MS)  # 80 ms ran
    assert [player.command(START_NS + ms * MS, MS).velocity[1] for ms in (120, 140)] == [1, 2]


def test_chunks_that_answer_older_images_are_refused_and_nothing_changes():
    player = ChunkPlayer(execute_steps=1)
    assert player.load(Plan.even(rows(8), DT_NS), START_NS, START_NS)
    assert not player.load(Plan.even(rows(2), DT_NS), START_NS - 1, START_NS + MS)
    assert player.duration_ns == 8 * DT_NS
    player.forget(START_NS + 5 * MS)
    assert not player.load(Plan.even(rows(8), DT_NS), START_NS + 4 * MS, START_NS + 6 * MS)
    assert player.command(START_NS + 6 * MS) is None and not player.is_engaged
    assert not player.wants_image(START_NS + 4 * MS) and player.wants_image(START_NS + 5 * MS)


def test_time_that_jumps_back_leaves_nothing_behind():
    player = ChunkPlayer(execute_steps=1)
    player.load(Plan.even(rows(8), DT_NS), START_NS, START_NS)
    player.command(START_NS + DT_NS, MS)
    early_ns = START_NS - 10**12
    player.forget(early_ns)
    assert player.wants_image(early_ns)
    assert player.load(Plan.even(rows(8), DT_NS), early_ns, early_ns + 3 * DT_NS)
    assert player.command(early_ns + 3 * DT_NS, MS).velocity[1] == 0


def test_of_chunks_an_image_is_due_once_the_executed_rows_have_passed_and_never_twice():
    player = ChunkPlayer(execute_steps=4)
    assert player.wants_image(START_NS)
    player.ask(START_NS)
    assert not player.wants_image(START_NS + 10 * DT_NS)  # how many rows will there be?
    player.load(Plan.even(rows(8), DT_NS), START_NS, START_NS + DT_NS)
    due = [player.wants_image(START_NS + steps * DT_NS - 1000) for steps in (0, 3, 4)]
    assert due == [False, False, True]


def test_execute_steps_below_one_are_refused():
    with pytest.raises(ConfigError, match='execute_steps'):
        ChunkPlayer(execute_steps=0)
