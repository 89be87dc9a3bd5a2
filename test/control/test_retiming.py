# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Plans are played slower, never shorter: the same way, within the limits, to a stand."""
from hypothesis import example, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from sqap_vla_ros.control.action_space import ActionSpace, TWIST_NAMES
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.drives import PoseDrive
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.observation import ActionChunk

MS, START_NS = 10**6, 1_790_000_000_123_456_789
LIMITS = CommandLimits(0.25, 1.0, linear_acceleration=1.0, angular_acceleration=4.0)
SMOOTH = CommandLimits(0.25, 1.0, linear_acceleration=1.0, angular_acceleration=4.0,
                       linear_jerk=20.0, angular_jerk=80.0)
HERE = Measured(Pose(np.array([0.4, 0.0, 0.3]), np.array([0.0, 0.0, 0.0, 1.0])))
rates = st.sampled_from([20, 50, 100])


def play(speeds, rate_hz, limits=LIMITS, drive=None, dt=0.05, scale=1.0):
    """Return a Commander's commands for rows of speeds along x, until the arm stands."""
    space = ActionSpace(names=TWIST_NAMES, dt=dt, execute_steps=len(speeds))
    period_ns = round(1e9 / rate_hz)
    control = Commander(space, limits, period_ns=period_ns, drive=drive)
    control.gate.speed_scale = scale
    actions = np.zeros((len(speeds), 6), np.float32)
    actions[:, 0] = speeds
    assert control.take(ActionChunk(actions, dt, TWIST_NAMES, START_NS, {}), START_NS, HERE)
    commands, now_ns = [], START_NS
    while (command := control.command(now_ns, HERE)) is not None:
        commands.append(command)
        now_ns += period_ns
        assert len(commands) < 60 * rate_hz / max(scale, 0.1), 'the plan never ends'
    assert control.gate.fault is None and control.gate.stands
    return commands


def way_m(commands, rate_hz):
    return sum(command.velocity[0] for command in commands) / rate_hz


def accelerations(commands, rate_hz):
    """Return accelerations along x, from standing to standing."""
    speeds = [command.velocity[0] for command in commands]
    return np.diff([0.0, *speeds, 0.0]) * rate_hz


ways = st.lists(st.floats(0.0, 0.6), min_size=1, max_size=12)


@settings(max_examples=40)
@given(ways, rates, st.sampled_from([0.05, 0.2]), st.sampled_from([0.3, 1.0]))
@example([0.25] * 8, 100, 0.05, 1.0)
@example([0.6], 20, 0.2, 1.0)
def test_all_of_the_way_is_gone_within_the_limits(speeds, rate_hz, dt, scale):
    """At any rate, though rows ask for more speed and steps than the arm may have."""
    commands = play(speeds, rate_hz, dt=dt, scale=scale)
    slower = 1 + sum(later < now for now, later in zip(speeds, speeds[1:]))
    assert way_m(commands, rate_hz) == pytest.approx(
        sum(np.float32(speeds)) * dt, abs=2e-3 * slower)
    assert max([abs(c.velocity[0]) for c in commands], default=0) <= 0.25 * scale + 1e-9
    assert np.abs(accelerations(commands, rate_hz)).max() <= 1.0 + 1e-6


@settings(max_examples=30)
@given(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=10), rates,
       st.sampled_from([LIMITS, SMOOTH]))
@example([0.2] * 4 + [-0.2] * 4, 50, SMOOTH)
def test_a_told_position_ends_where_the_plan_does_and_turns_back_where_it_does(
        speeds, rate_hz, limits):
    commands = play(speeds, rate_hz, limits, PoseDrive())
    places = [0.4, *(command.position[0] for command in commands)]
    planned = 0.4 + np.cumsum([0.0, *np.float32(speeds)]) * 0.05
    assert places[-1] == pytest.approx(planned[-1], abs=1e-3)
    over_m = 0.012 if limits is LIMITS else 0.025  # less than the 0.045 m of braking from 0.3 m/s
    assert max(places) <= planned.max() + over_m and min(places) >= planned.min() - over_m
    steps = np.diff(places) * rate_hz
    np.testing.assert_allclose(steps, [command.velocity[0] for command in commands], atol=1e-6)
    assert np.abs(accelerations(commands, rate_hz)).max() <= 1.0 + 1e-6


@settings(max_examples=20)
@given(st.floats(0.02, 0.3), rates)
def test_jerk_is_limited_on_the_way_up_and_down(speed, rate_hz):
    commands = play([speed] * 16, rate_hz, SMOOTH)
    found = accelerations(commands, rate_hz)
    assert np.abs(np.diff(found[:-2])).max() * rate_hz <= 20.0 * (1 + 1e-6) + 1e-6
    assert way_m(commands, rate_hz) == pytest.approx(np.float32(speed) * 0.8, rel=0.02, abs=1e-3)


def test_without_limits_of_acceleration_a_plan_is_played_as_fast_as_it_says():
    limits = CommandLimits(0.25, 1.0)
    speeds = [0.1, 0.2, -0.2, 0.05]
    told = [command.velocity[0] for command in play(speeds, 20, limits)]
    np.testing.assert_array_equal(told, np.float32(speeds))


def test_speed_scale_plays_the_same_way_slower_and_shortens_nothing():
    limits = CommandLimits(0.25, 1.0)
    commands = play([0.2] * 4, 50, limits, scale=0.1)
    assert len(commands) == 100 and way_m(commands, 50) == pytest.approx(0.04)


def test_the_arm_slows_down_before_the_end_and_its_last_step_is_small():
    speeds = [command.velocity[0] for command in play([0.2] * 8, 50)]
    top = max(speeds)
    assert top == pytest.approx(0.2, abs=1e-6) and speeds[-1] <= 0.02 + 1e-9
    assert all(later <= now for now, later in zip(speeds[speeds.index(top):],
                                                  speeds[speeds.index(top) + 1:]))
