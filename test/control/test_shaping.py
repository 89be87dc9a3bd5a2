# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How a velocity changes: within limits, straight, no overshoot, at any rate and any ticks."""
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

from sqap_vla_ros.control.shaping import ball, box, Dynamics, Shaper

RATES_HZ = [20, 50, 100, 1000]
FREE = float('inf')
velocities = arrays(np.float64, 3, elements=st.floats(-0.4, 0.4))
gaps = st.floats(1e-6, 0.1)


def shaper(acceleration=1.0, jerk=10.0, speed=0.25):
    return Shaper(Dynamics(3, ball(speed), ball(acceleration), ball(jerk)))


def run(shape, wanted, ticks, dt_s):
    """Return the velocities [ticks + 1, 3] on the way to a wanted one."""
    return np.array([shape.velocity, *(list(shape.toward(wanted, dt_s)) for _ in range(ticks))])


@pytest.mark.parametrize('rate_hz', RATES_HZ)
@pytest.mark.parametrize('jerk', [10.0, FREE])
def test_a_step_is_a_ramp_along_its_line_that_ends_at_what_is_wanted_bit_for_bit(rate_hz, jerk):
    wanted, dt_s = [0.2, -0.1, 0.05], 1 / rate_hz
    way = run(shaper(jerk=jerk), wanted, round(0.7 * rate_hz), dt_s)
    assert way[-1].tolist() == wanted
    along = way @ wanted / np.linalg.norm(wanted)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), along, atol=1e-12)  # straight
    assert (np.diff(along) >= -1e-15).all() and along.max() <= np.linalg.norm(wanted) + 1e-15
    acceleration = np.diff(along, prepend=along[0]) / dt_s
    assert acceleration.max() <= 1.0 + 1e-9
    assert jerk == FREE or np.abs(np.diff(acceleration)).max() <= jerk * dt_s * (1 + 1e-6)


@pytest.mark.parametrize('rate_hz', RATES_HZ)
def test_a_ramp_takes_no_longer_than_its_limits_make_it(rate_hz):
    """In v / a + a / j, as continuous time has it, and a few periods."""
    way = run(shaper(), [0.25, 0, 0], rate_hz, 1 / rate_hz)[:, 0]
    assert np.argmax(way >= 0.249) / rate_hz <= 0.25 / 1.0 + 1.0 / 10.0 + 4 / rate_hz
    way = run(shaper(jerk=FREE), [0.25, 0, 0], rate_hz, 1 / rate_hz)[:, 0]
    assert np.argmax(way >= 0.25) == int(np.ceil(0.25 * rate_hz - 1e-9))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(velocities, gaps), min_size=1, max_size=40))
def test_whatever_is_wanted_at_whatever_ticks_no_limit_is_broken(steps):
    shape, last = shaper(), np.zeros(3)
    before = np.zeros(3)
    for wanted, dt_s in steps:
        velocity = np.array(shape.toward(wanted.tolist(), dt_s))
        acceleration = (velocity - before) / dt_s
        assert np.linalg.norm(velocity) <= 0.25 * (1 + 1e-9)
        assert np.linalg.norm(acceleration) <= 1.0 + 1e-9 + 1e-15 / dt_s
        assert np.linalg.norm(acceleration - last) <= 10.0 * dt_s + 1e-8 + 1e-14 / dt_s
        before, last = velocity, acceleration


@settings(max_examples=60, deadline=None)
@given(st.lists(velocities, min_size=1, max_size=10), velocities)
def test_what_is_wanted_for_long_enough_is_reached(detours, wanted):
    shape = shaper()
    for detour in detours:
        run(shape, detour.tolist(), 7, 0.02)
    wanted *= min(1.0, 0.25 / max(1e-9, np.linalg.norm(wanted)))
    np.testing.assert_allclose(run(shape, wanted.tolist(), 150, 0.02)[-1], wanted, atol=1e-9)


def test_joints_change_along_one_line_as_fast_as_the_slowest_allows():
    shape = Shaper(Dynamics(2, box([1.0, 1.0]), box([1.0, 4.0]), box([FREE, FREE])))
    way = run(shape, [0.5, -1.0], 5, 0.1)
    np.testing.assert_allclose(way[:, 0], np.arange(6) * 0.1)  # 1 rad/s2, of joint 1
    np.testing.assert_allclose(way[:, 1], -2 * way[:, 0])


def test_a_wanted_speed_beyond_the_limit_keeps_its_direction():
    way = run(shaper(FREE, FREE), [3.0, 4.0, 0.0], 1, 0.1)
    np.testing.assert_allclose(way[-1], [0.15, 0.2, 0.0])


@pytest.mark.parametrize('rate_hz', RATES_HZ)
def test_braking_goes_as_far_as_v2_over_2a_in_the_line_of_travel(rate_hz):
    shape, dt_s, way, velocity = shaper(), 1 / rate_hz, 0.0, [0.2, 0.15, 0.0]
    run(shape, velocity, rate_hz, dt_s)
    while any(velocity):
        velocity = shape.brake(dt_s)
        assert velocity[1] == pytest.approx(0.75 * velocity[0]) and velocity[2] == 0
        way += np.linalg.norm(velocity) * dt_s
    assert way == pytest.approx(0.25**2 / 2, abs=0.25 * dt_s)
    assert shape.acceleration == [0.0, 0.0, 0.0]


def test_a_lowered_speed_limit_goes_before_the_acceleration():
    shape = shaper()
    run(shape, [0.2, 0.0, 0.0], 100, 0.02)
    shape.dynamics = Dynamics(3, ball(0.1), ball(1.0), ball(10.0))
    assert shape.toward([0.2, 0.0, 0.0], 0.02) == pytest.approx([0.1, 0.0, 0.0])


def test_no_time_no_change():
    shape = shaper()
    before = run(shape, [0.2, 0.0, 0.0], 5, 0.02)[-1].tolist()
    assert shape.toward([-0.2, 0.0, 0.0], 0.0) == before
