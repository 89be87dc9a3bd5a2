# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far an arm lags behind, and that chunks do not pull a lagging arm back."""
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.drives import PoseDrive
from sqap_vla_ros.control.lag import Lag
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.observation import ActionChunk

MS = 10**6
NOW_NS = 1_790_000_000_000_000_000
SPEED = 0.2


def at(x_m, stamp_ns=0):
    return Measured(Pose(np.array([x_m, 0.0, 0.0]), np.array([0.0, 0, 0, 1]), stamp_ns))


def told(place_of, seconds=0.6):
    """Return a Lag that was told places of time, every 20 ms, and when that ended."""
    lag = Lag()
    for time_ms in range(0, round(1e3 * seconds) + 1, 20):
        lag.note(NOW_NS + time_ms * MS, place_of(time_ms * 1e-3))
    return lag, NOW_NS + round(1e3 * seconds) * MS


def test_an_arm_lags_by_the_time_since_it_was_told_to_be_where_it_is():
    lag, end_ns = told(lambda time_s: at(SPEED * time_s))
    for late_ms in (0, 7, 70, 140):
        seen = at(SPEED * (0.6 - late_ms * 1e-3))
        assert lag.behind_ns(seen, end_ns) == pytest.approx(late_ms * MS, abs=MS)
    seen = at(SPEED * (0.5 - 0.07))  # an image of 100 ms ago
    assert lag.behind_ns(seen, end_ns - 100 * MS) == pytest.approx(70 * MS, abs=MS)


def test_joints_tell_it_too_even_with_others_behind_them():
    lag, end_ns = told(lambda time_s: Measured(None, np.array([time_s, -time_s])))
    seen = Measured(None, np.array([0.55, -0.55, 3.0]))
    assert lag.behind_ns(seen, end_ns) == pytest.approx(50 * MS, abs=MS)


@pytest.mark.parametrize('seen', [None, Measured(), at(-0.1), at(0.0)],
                         ids=['nothing', 'no pose', 'elsewhere', 'blocked'])
def test_what_does_not_lag_is_not_behind(seen):
    lag, end_ns = told(lambda time_s: at(SPEED * time_s))
    assert lag.behind_ns(seen, end_ns) == 0


def test_an_arm_that_stands_or_was_stopped_is_not_behind():
    lag, end_ns = told(lambda time_s: at(0.001 * time_s))
    assert lag.behind_ns(at(0.0), end_ns) == 0
    lag, end_ns = told(lambda time_s: at(SPEED * time_s))
    lag.clear()
    assert lag.behind_ns(at(0.1), end_ns) == 0


def driven(lag_s, rate_hz, seconds=1.6):
    """Return (m gone, speeds) of an arm that lags and is asked to go at SPEED by deltas."""
    period_ns = round(1e9 / rate_hz)
    space = ActionSpace(kind='delta', names=DELTA_NAMES, rotation='rotvec', execute_steps=4)
    control = Commander(space, CommandLimits(0.25, 1.0, linear_acceleration=1.0),
                        period_ns=period_ns, drive=PoseDrive())
    actions = np.zeros((12, 6), np.float32)
    actions[:, 0] = SPEED * space.dt
    place = target = 0.0
    asked, speeds = None, []
    for now_ns in range(NOW_NS, NOW_NS + round(seconds * 1e9), period_ns):
        measured = at(place, now_ns)
        if asked is None and control.player.wants_image(now_ns):
            control.player.ask(now_ns)
            asked = now_ns, measured
        if asked and now_ns >= asked[0] + 100 * MS:
            control.take(ActionChunk(actions, space.dt, DELTA_NAMES, asked[0], {}), now_ns,
                         asked[1])
            asked = None
        command = control.command(now_ns, measured)
        if command is not None:
            target = command.position[0]
            speeds.append(command.velocity[0])
        place = target + (place - target) * np.exp(-1e-9 * period_ns / lag_s)
    return place, np.array(speeds)


@pytest.mark.parametrize('rate_hz', [20, 50, 100])
def test_chunks_do_not_pull_a_lagging_arm_back(rate_hz):
    gone_m, speeds = driven(0.06, rate_hz)
    assert gone_m == pytest.approx(SPEED * (1.5 - 0.1 - 0.06), abs=0.012)  # ramp and lag
    under_way = speeds[round(0.3 * rate_hz):]
    assert under_way.min() > 0.95 * SPEED and under_way.max() < 1.05 * SPEED


def test_in_lockstep_a_chunk_begins_with_its_first_row():
    space = ActionSpace(kind='delta', names=DELTA_NAMES, rotation='rotvec', execute_steps=4)
    control = Commander(space, CommandLimits(1.0, 1.0), True, period_ns=50 * MS,
                        drive=PoseDrive())
    actions = np.zeros((8, 6), np.float32)
    actions[:, 0] = SPEED * space.dt
    for tick in range(8):
        now_ns = NOW_NS + tick * 50 * MS
        seen = at(max(0.0, SPEED * (0.05 * tick - 0.06)), now_ns)
        if tick in (0, 4):
            control.player.ask(now_ns)
            control.take(ActionChunk(actions, space.dt, DELTA_NAMES, now_ns, {}), now_ns, seen)
            first = seen.pose.translation[0] + SPEED * space.dt
        sent = control.command(now_ns, seen)
        assert sent.position[0] == pytest.approx(first + SPEED * space.dt * (tick % 4), abs=1e-6)
