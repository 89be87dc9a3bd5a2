# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks to commands: units, limits and stops together, and what is told of the pace."""
import re

import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, TWIST_NAMES
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.drives import PoseDrive, TwistDrive
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.observation import ActionChunk

MS = 10**6
START_NS = 1_790_000_000_123_456_789
LIMITS = CommandLimits(linear=0.25, angular=1.0)


def commander(rows_executed=4, **options):
    """Return a Commander for twists in mm/s."""
    space = ActionSpace(names=TWIST_NAMES, scale=[0.001] * 6, execute_steps=rows_executed)
    return Commander(space, LIMITS, **options)


def chunk(stamp_ns, rows=8, speed_mm=100.0):
    actions = np.zeros((rows, 6), np.float32)
    actions[:, 0] = speed_mm
    return ActionChunk(actions, 0.05, TWIST_NAMES, stamp_ns, {})


def run(control, latency_ms, seconds, start_ns=START_NS, rows=8):
    """Ask as the player wishes, answer after a latency, tick at 50 Hz; return when it ended."""
    pending, now_ns = None, start_ns
    while now_ns < start_ns + seconds * 10**9:
        if pending is None and control.player.wants_image(now_ns):
            control.player.ask(now_ns)
            pending = now_ns
        if pending is not None and now_ns >= pending + latency_ms * MS:
            assert control.take(chunk(pending, rows), now_ns)
            pending = None
        control.command(now_ns)
        now_ns += 20 * MS
    return now_ns


def test_a_chunk_becomes_si_commands_within_the_limits():
    control = commander(period_ns=20 * MS)
    assert control.take(chunk(START_NS, speed_mm=300.0), START_NS)
    np.testing.assert_allclose(control.command(START_NS).velocity, [0.25, 0, 0, 0, 0, 0])
    assert control.gate.clamped == 1


@pytest.mark.parametrize('speed_mm', [np.nan, 5000.0])
def test_a_chunk_that_must_not_reach_an_arm_stops_it_and_is_never_played(speed_mm):
    control = commander()
    control.take(chunk(START_NS), START_NS)
    control.take(chunk(START_NS + MS, speed_mm=speed_mm), START_NS + MS)
    assert control.gate.fault and control.command(START_NS + 2 * MS) is None
    control.gate.resume()
    assert control.command(START_NS + 3 * MS) is None  # nor the one before it
    assert not control.take(chunk(START_NS), START_NS + 4 * MS)


def test_the_pace_names_latency_rows_and_the_share_of_time_under_way():
    control = commander(rows_executed=1, period_ns=20 * MS)
    pace = control.pace(run(control, 300, 12, rows=1))
    assert pace.is_whole and pace.is_slow and (pace.rows, pace.dt_s) == (1, 0.05)
    assert pace.latency_ms == pytest.approx(300, abs=20)
    assert 0.1 < pace.running_share < 0.25
    assert '1 row of 0.05 s' in str(pace) and 'pipelined' in str(pace)
    smooth = commander(period_ns=20 * MS)
    pace = smooth.pace(run(smooth, 40, 12))
    assert pace.running_share > 0.95 and not pace.is_slow and 'use a lower' not in str(pace)


def test_the_pace_names_the_share_that_the_limits_leave():
    control = commander(period_ns=20 * MS)
    control.take(chunk(START_NS, speed_mm=500.0), START_NS)
    control.command(START_NS)
    pace = control.pace(START_NS)
    assert pace.executed_share == pytest.approx(0.5)
    assert 'limits leave 50 % of what it' in str(pace)
    assert 'limits' not in str(commander().pace(START_NS))


def test_time_before_the_first_chunk_and_in_a_pause_says_nothing_about_the_policy():
    """A camera that came late is no reason to advise a faster machine."""
    control = commander(period_ns=20 * MS)
    for second in range(10):
        control.pace(START_NS + second * 10**9)
    now_ns = run(control, 40, 3, START_NS + 10 * 10**9)
    assert control.pace(now_ns).running_share > 0.95
    control.stop(now_ns)
    for second in range(10):
        control.pace(now_ns + second * 10**9)
    now_ns = run(control, 40, 3, now_ns + 10 * 10**9)
    assert control.pace(now_ns).running_share > 0.95
    assert str(commander().pace(START_NS)) == 'no action chunk yet'


def test_a_pose_output_goes_the_way_from_the_measured_pose_and_none_without():
    control = commander(period_ns=20 * MS, drive=PoseDrive())
    control.take(chunk(START_NS), START_NS)
    with pytest.raises(ObservationError, match='pose'):
        control.command(START_NS)
    start = Measured(Pose(np.array([0.4, 0, 0.3]), np.array([0, 0, 0, 1.0])))
    sent = [control.command(START_NS + tick * 20 * MS, start) for tick in range(3)]
    np.testing.assert_allclose([command.position[0] for command in sent], [0.402, 0.404, 0.406])
    assert control.brake(START_NS + 60 * MS) is None and not control.player.is_engaged


def test_a_fault_of_the_drive_is_latched_and_nothing_is_sent():
    class Stuck(TwistDrive):

        def watch(self, measured, now_ns):
            self.fault = f'the arm stays at {measured.joints}'

        def rest(self):
            self.fault = None

    control = commander(drive=Stuck())
    control.take(chunk(START_NS), START_NS)
    assert control.command(START_NS, Measured(joints=np.zeros(2))) is None
    assert control.gate.fault == 'the arm stays at [0. 0.]' and control.drive.fault is None
    control.take(chunk(START_NS + MS), START_NS + MS)
    assert control.command(START_NS + MS, Measured(joints=np.zeros(2))) is None


SOFT = CommandLimits(linear=0.25, angular=1.0, linear_acceleration=1.0, angular_acceleration=4.0)
PERIOD_NS = 20 * MS


def soft_commander(**options):
    space = ActionSpace(names=TWIST_NAMES, scale=[0.001] * 6, execute_steps=4)
    return Commander(space, SOFT, period_ns=PERIOD_NS, **options)


def under_way(control, ticks=12):
    """Take a chunk and go on until the arm is fast; return when that is."""
    control.take(chunk(START_NS, speed_mm=200.0), START_NS)
    for tick in range(ticks):
        command = control.command(START_NS + tick * PERIOD_NS)
    assert command.velocity[0] > 0.19
    return START_NS + ticks * PERIOD_NS


def ramp(control, now_ns, speak):
    """Return the speeds that are told until the arm stands."""
    speeds = []
    while (command := speak(now_ns)) is not None:
        speeds.append(command.velocity[0])
        now_ns += PERIOD_NS
        assert len(speeds) < 30
    return speeds


@pytest.mark.parametrize('way', ['brake', 'drop'])
def test_what_needs_no_hard_stop_slows_down_within_the_acceleration_limit(way):
    control = soft_commander()
    now_ns = under_way(control)
    if way == 'drop':
        control.drop(now_ns)
    speeds = ramp(control, now_ns, control.brake if way == 'brake' else control.command)
    steps = -np.diff([0.2, *speeds, 0.0])
    assert 8 <= len(speeds) <= 10 and (steps > 0).all() and steps.max() <= 0.02 + 1e-9
    assert not control.take(chunk(START_NS + MS), now_ns + 10**9)  # an image of before


@pytest.mark.parametrize('latch', ['stop', 'fault'])
def test_a_fault_or_a_stop_stands_at_once(latch):
    control = soft_commander()
    now_ns = under_way(control)
    if latch == 'stop':
        control.stop(now_ns)
    else:
        control.gate.latch('a fault')
    assert control.command(now_ns) is None and control.brake(now_ns) is None


def test_speed_scale_zero_stands_and_plays_no_old_chunk_later():
    control = soft_commander()
    now_ns = under_way(control)
    control.gate.speed_scale = 0.0
    assert len(ramp(control, now_ns, control.command)) > 5
    control.gate.speed_scale = 1.0
    assert control.command(now_ns + 10**9) is None


def late_run(control, latency_ms, chunks, speeds=None):
    """Answer each image after a latency, until the gate has a fault; return how many came."""
    pending, now_ns, came = None, START_NS, 0
    while came < chunks and control.gate.fault is None:
        if pending is None and control.player.wants_image(now_ns):
            control.player.ask(now_ns)
            pending = now_ns
        if pending is not None and now_ns >= pending + latency_ms * MS:
            control.take(chunk(pending), now_ns)
            came, pending = came + 1, None
        command = control.command(now_ns)
        if speeds is not None:
            speeds.append(0.0 if command is None else command.velocity[0])
        now_ns += PERIOD_NS
    return came


def test_too_many_late_answers_in_a_row_stop_for_good_with_numbers_and_a_cure():
    control = soft_commander(missed_chunks=3)
    speeds = []
    assert late_run(control, 450, 10, speeds) == 4  # the first cannot be late
    assert re.search('3 answers in a row .* 4[56]0 ms.* 8 rows of 50 ms, asked about every 4, '
                     'allow 200 ms. Use a lower precision', control.gate.fault)
    assert control.command(START_NS + 10**11) is None
    assert np.abs(np.diff([0.0, *speeds, 0.0])).max() <= 0.02 + 1e-9  # slowed down before it
    for options, latency_ms in (({'missed_chunks': 0}, 500), ({'missed_chunks': 3}, 60)):
        control = soft_commander(**options)
        assert late_run(control, latency_ms, 10) == 10 and control.gate.fault is None


def test_chunks_that_are_executed_whole_are_never_late():
    space = ActionSpace(names=TWIST_NAMES, scale=[0.001] * 6, execute_steps=8)
    control = Commander(space, SOFT, period_ns=PERIOD_NS, missed_chunks=1)
    assert late_run(control, 500, 5) == 5 and control.gate.fault is None


def test_the_preview_is_what_will_be_told_and_changes_nothing():
    start = Measured(Pose(np.array([0.4, 0, 0.3]), np.array([0, 0, 0, 1.0])))
    controls = [soft_commander(drive=PoseDrive()) for _ in range(2)]
    told = []
    for tick in range(60):
        now_ns = START_NS + tick * PERIOD_NS
        for control in controls:
            if tick in (0, 10):
                control.take(chunk(now_ns, speed_mm=200.0), now_ns, start)
        if tick == 12:
            seen = controls[0].preview(now_ns, 50, PERIOD_NS, start)
        told.append([control.command(now_ns, start) for control in controls])
    for one, other in told:
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.position, other.position)
    assert 20 < len(seen) < 48 and told[-1] == [None, None]
    np.testing.assert_allclose([command.position for command in seen],
                               [one.position for one, _ in told[12:12 + len(seen)]], atol=1e-9)


def test_a_row_beyond_the_limits_counts_as_shortened_though_it_is_played_slower():
    limits = CommandLimits(linear=0.25, angular=1.0, trip_count=5)
    space = ActionSpace(names=TWIST_NAMES, scale=[0.001] * 6, execute_steps=8)
    control = Commander(space, limits, period_ns=PERIOD_NS)
    control.take(chunk(START_NS, speed_mm=500.0), START_NS)
    for tick in range(5):
        control.command(START_NS + tick * PERIOD_NS)
    assert '5 commands within 10 s were shortened' in control.gate.fault


def test_in_lockstep_a_row_of_a_tick_is_told_whole_and_the_next_chunk_goes_on_from_there():
    control = commander(lockstep=True, period_ns=50 * MS, drive=PoseDrive())
    stands = Pose(np.array([0.4, 0.0, 0.3]), np.array([0.0, 0.0, 0.0, 1.0]))
    told, now_ns = [], START_NS
    for step in range(12):
        measured = Measured(stands)
        if control.player.wants_image(now_ns):
            control.player.ask(now_ns)
            assert control.take(chunk(now_ns), now_ns, measured)
        told.append(control.command(now_ns, measured).position[0])
        stands = Pose(np.array([told[-1], 0.0, 0.3]), stands.quaternion)  # it is there in time
        now_ns += 50 * MS
    np.testing.assert_allclose(told, 0.4 + 0.005 * np.arange(1, 13))


@pytest.mark.parametrize('frame', ['base', 'end_effector'])
def test_told_poses_stay_in_the_workspace_while_the_hand_turns(frame):
    """An arm that lags behind has its hand turned otherwise than it was told to."""
    limits = CommandLimits(0.25, 1.0, linear_acceleration=1.0, angular_acceleration=4.0,
                           workspace_low=[0.3, -0.1, 0.2], workspace_high=[0.5, 0.1, 0.4])
    space = ActionSpace(names=TWIST_NAMES, execute_steps=8, frame=frame)
    control = Commander(space, limits, period_ns=PERIOD_NS, drive=PoseDrive(frame))
    rng, told = np.random.default_rng(2), [np.array([0.4, 0, 0.3, 0, 0, 0, 1.0])] * 6
    for tick in range(400):
        now_ns = START_NS + tick * PERIOD_NS
        if tick % 50 == 0:
            said = rng.uniform(-1, 1, 6) * [0.4, 0.4, 0.4, 1.0, 1.0, 1.0]
        if tick % 10 == 0:
            actions = np.tile(said, (8, 1)).astype(np.float32)
            control.take(ActionChunk(actions, 0.05, TWIST_NAMES, now_ns, {}), now_ns)
        behind = told[-6]
        command = control.command(now_ns, Measured(Pose(behind[:3], behind[3:], now_ns)))
        told.append(told[-1] if command is None else command.position)
    places = np.array(told)[:, :3]
    out_m = np.maximum([0.3, -0.1, 0.2] - places, places - [0.5, 0.1, 0.4]).max()
    assert -1e-3 < out_m <= 1e-9 and control.gate.fault is None  # it was at a wall


@pytest.mark.parametrize('way', [(1.0, 0.2, 0.0), (1.0, 0.0, 0.0)])
def test_a_plan_that_leads_into_a_wall_goes_on_in_its_time(way):
    limits = CommandLimits(0.25, 1.0, linear_acceleration=1.0, workspace_low=[0.3, -2.0, 0.2],
                           workspace_high=[0.41, 2.0, 0.4])
    space = ActionSpace(names=TWIST_NAMES, execute_steps=8)
    control = Commander(space, limits, period_ns=PERIOD_NS, drive=PoseDrive())
    place, asked = np.array([0.4, 0, 0.3, 0, 0, 0, 1.0]), 0
    actions = np.tile(0.2 * np.array([*way, 0, 0, 0]), (8, 1)).astype(np.float32)
    for tick in range(200):
        now_ns = START_NS + tick * PERIOD_NS
        measured = Measured(Pose(place[:3], place[3:], now_ns))
        if control.player.wants_image(now_ns):
            control.player.ask(now_ns)
            control.take(ActionChunk(actions, 0.05, TWIST_NAMES, now_ns, {}), now_ns, measured)
            asked += 1
        command = control.command(now_ns, measured)
        place = place if command is None else command.position
    assert asked >= 5  # 4 s, of 0.4 s each and their ramps
    assert place[0] <= 0.41 + 1e-9
