# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks at the edge of what is allowed, of different kinds in a row, and seen ahead."""
from dataclasses import replace

import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES, POSE_NAMES, TWIST_NAMES
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.drives import PoseDrive
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.observation import ActionChunk

MS = 10**6
PERIOD_NS = 20 * MS
START_NS = 1_790_000_000_123_456_789
LIMITS = CommandLimits(linear=0.25, angular=1.0)
SOFT = replace(LIMITS, linear_acceleration=1.0, angular_acceleration=4.0)


def chunk(stamp_ns, rows=8, speed_mm=100.0):
    actions = np.zeros((rows, 6), np.float32)
    actions[:, 0] = speed_mm
    return ActionChunk(actions, 0.05, TWIST_NAMES, stamp_ns, {})


@pytest.mark.parametrize('rows', [8, 4])
@pytest.mark.parametrize('scale', [1.0, 0.3])
def test_a_speed_at_the_limit_is_not_counted_as_too_fast_and_one_beyond_it_is(rows, scale):
    """A limit of 0.1 m/s, and rows of float32(0.1), which is more."""
    limits = CommandLimits(linear=0.1, angular=1.0, trip_count=2)
    for lockstep in (False, True):
        for speed, is_fine in ((0.1, True), (0.10005, False)):
            control = Commander(ActionSpace(names=TWIST_NAMES, execute_steps=4), limits,
                                lockstep=lockstep, period_ns=PERIOD_NS)
            control.gate.speed_scale = scale
            actions = np.zeros((rows, 6), np.float32)
            actions[:, 0] = speed
            control.take(ActionChunk(actions, 0.05, TWIST_NAMES, START_NS, {}), START_NS)
            for tick in range(6):
                control.command(START_NS + tick * PERIOD_NS)
            assert (control.gate.fault is None) is is_fine
            assert control.gate.clamped == (0 if is_fine else 2)


AT = Measured(Pose(np.array([0.4, 0, 0.3]), np.array([0, 0, 0, 1.0])))


def test_a_chunk_without_a_measured_start_follows_one_with_and_is_played():
    """Of the second one's rows only velocities are known; what is left of the first goes on."""
    space = ActionSpace('delta', DELTA_NAMES, rotation='rotvec', execute_steps=1)
    control = Commander(space, LIMITS, pipelined=True, period_ns=PERIOD_NS, drive=PoseDrive())
    actions = np.float32([[0.005, 0, 0, 0, 0, 0]])
    told = []
    for tick, start in enumerate((AT, Measured(), AT, AT, AT)):
        now_ns = START_NS + tick * PERIOD_NS
        if tick < 2:
            assert control.take(ActionChunk(actions, 0.05, DELTA_NAMES, now_ns, {}), now_ns, start)
        told.append(control.command(now_ns, AT).position[0])
    np.testing.assert_allclose(told, 0.4 + 0.002 * np.arange(1, 6), atol=1e-9)


@pytest.mark.parametrize('blending', ['linear', 'ensemble'])
@pytest.mark.parametrize('ends', ['with a trip', 'at a bound', 'with the plan'])
def test_the_preview_of_blended_chunks_changes_nothing_whatever_ends_it(blending, ends):
    limits = replace(SOFT, linear=0.15, trip_count=4) if ends == 'with a trip' else SOFT
    if ends == 'at a bound':
        limits = replace(limits, workspace_low=(-1.0,) * 3, workspace_high=(0.45, 1.0, 1.0),
                         trip_count=8)
    space = ActionSpace(names=TWIST_NAMES, scale=[0.001] * 6, execute_steps=4)
    controls = [Commander(space, limits, period_ns=PERIOD_NS, drive=PoseDrive(),
                          blending=blending) for _ in range(2)]
    told, speeds_mm = [], {0: 140.0, 6: 200.0, 8: 50.0, 20: 180.0}
    for tick in range(60):
        now_ns = START_NS + tick * PERIOD_NS
        for control in controls:
            if tick in speeds_mm:
                control.take(chunk(now_ns, speed_mm=speeds_mm[tick]), now_ns, AT)
        if tick in (7, 9):
            assert controls[0].preview(now_ns, 60, PERIOD_NS, AT)
        told.append([control.command(now_ns, AT) for control in controls])
    for one, other in told:
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.position, other.position)
            np.testing.assert_array_equal(one.velocity, other.velocity)
    assert controls[0].gate.fault == controls[1].gate.fault
    assert (controls[0].gate.fault is None) is (ends == 'with the plan')


def test_a_first_target_within_the_allowed_distance_is_never_absurd_at_any_dt():
    """0.04 m within 1 ms are 40 m/s, which nobody asks for: the way is gone within the limits."""
    limits = replace(SOFT, first_linear=0.05, first_angular=0.2)
    space = ActionSpace('pose', POSE_NAMES, dt=0.001, rotation='rotvec', execute_steps=1)

    def after(first, second=None, limits=limits):
        control = Commander(space, limits, period_ns=PERIOD_NS, drive=PoseDrive())
        rows = np.float32([[0.4 + x, 0, 0.3, 0, 0, 0] for x in (first, second or first)])
        control.take(ActionChunk(rows, 0.001, POSE_NAMES, START_NS, {}), START_NS, AT)
        x = 0.4
        for tick in range(100):
            said = control.command(START_NS + tick * PERIOD_NS, AT)
            x = x if said is None else said.position[0]
        return control.gate.fault, x
    fault, x = after(0.04)
    assert fault is None and x == pytest.approx(0.44, abs=1e-3)
    assert 'begins 0.06 m' in after(0.06)[0]
    assert 'row 1' in after(0.01, 0.04)[0]  # from one row to the next it is
    assert 'linear speed' in after(0.04, limits=replace(limits, first_linear=np.inf))[0]


@pytest.mark.parametrize('actions, text', [
    (np.zeros((0, 6)), r'shape \(0, 6\), expected \[T, 6\] numbers .* T >= 1'),
    (np.zeros((8, 5)), r'shape \(8, 5\), expected \[T, 6\]'), (np.zeros(6), r'shape \(6,\)'),
    ([[0.0] * 6, [0.0] * 5], 'different lengths'), ([['0.1'] * 6], 'type <U3'),
    ([[None] * 6], 'type object'), ([[1j] * 6], 'type complex128')])
def test_what_is_no_chunk_of_the_action_space_is_refused_with_what_it_is(actions, text):
    control = Commander(ActionSpace(names=TWIST_NAMES, execute_steps=1), LIMITS)
    with pytest.raises(ConfigError, match=text):
        control.take(ActionChunk(actions, 0.05, TWIST_NAMES, START_NS, {}), START_NS)
    assert control.command(START_NS) is None


@pytest.mark.parametrize('dt', [0.0, -0.05, 1e-4, 50.0, np.nan, np.inf, 'a'])
def test_a_chunk_of_no_time_or_too_much_is_refused(dt):
    control = Commander(ActionSpace(names=TWIST_NAMES, execute_steps=1), LIMITS)
    with pytest.raises(ConfigError, match=f'dt of an action chunk is {dt} s, expected 0.001..2.0'):
        control.take(replace(chunk(START_NS), dt=dt), START_NS)
    assert control.command(START_NS) is None
