# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From one chunk to the next without a jump: velocities, positions and the gripper."""
import importlib.util
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.plan import Plan
from sqap_vla_ros.control.row_positions import JointPath, PosePath
from sqap_vla_ros.control.seams import Seams
from sqap_vla_ros.errors import ConfigError

MS = 10**6
DT_NS = 50 * MS
BLENDINGS = ('linear', 'ensemble')


def twists(speed, count=8, gripper=1.0):
    return Plan.even([Command(np.array([speed, 0, 0, 0, 0, 0.0]), gripper)] * count, DT_NS)


def joints(start, speed, count=8):
    ends = start + speed * 0.05 * np.arange(1, count + 1)[:, None] * np.ones(7)
    return Plan.even([Command(np.full(7, speed), None, end) for end in ends], DT_NS,
                     np.full(7, float(start)), JointPath())


def poses(y, turn, count=8):
    """Go along x at 0.1 m/s, beside the x axis, turned about z."""
    quaternion = np.array([0, 0, np.sin(turn / 2), np.cos(turn / 2)])
    at = [np.array([0.005 * row, y, 0, *quaternion]) for row in range(count + 1)]
    velocity = np.array([0.1, 0, 0, 0, 0, 0])
    return Plan.even([Command(velocity, None, end) for end in at[1:]], DT_NS, at[0], PosePath())


def speeds(plan, place_ns=0, step_ns=MS):
    """Return the plan's velocities at every millisecond from a place on."""
    return np.array([plan.between(at, at + step_ns, step_ns).velocity
                     for at in range(place_ns, plan.duration_ns - step_ns, step_ns)])


@pytest.mark.parametrize('blending', BLENDINGS)
@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.integers(0, 300), st.integers(0, 300))
def test_the_speed_goes_from_the_old_plan_to_the_new_in_small_steps(
        blending, before, after, old_ms, new_ms):
    seams = Seams(blending, 100 * MS)
    seams.join(Plan(), 0, twists(before), 0, 0)
    plan, place_ns = seams.join(twists(before), old_ms * MS, twists(after), new_ms * MS,
                                old_ms * MS)
    found = speeds(plan, place_ns)[:, 0]
    steps = np.abs(np.diff([before, *found]))
    assert steps.max() <= abs(after - before) * 0.25 + 1e-9
    assert plan.duration_ns - place_ns == 400 * MS - new_ms * MS
    if blending == 'linear' or new_ms < old_ms:
        assert abs(found[-1] - after) <= abs(after - before) * 0.06 + 1e-9
    assert min(before, after) - 1e-9 <= found.min() and found.max() <= max(before, after) + 1e-9


def test_a_linear_fade_is_half_way_at_half_time_and_then_the_new_plan_alone():
    plan, place_ns = Seams('linear', 100 * MS).join(twists(0.1), 0, twists(0.3), 50 * MS, 0)
    found = speeds(plan, place_ns)[:, 0]
    assert found[50] == pytest.approx(0.21) and found[:100].mean() == pytest.approx(0.2)
    np.testing.assert_allclose(found[100:], 0.3)


def test_an_ensemble_is_the_mean_of_the_chunks_by_acts_weights():
    seams, total_ns = Seams('ensemble', 20 * MS), 0
    plan, place_ns = seams.join(Plan(), 0, twists(0.1), 0, 0)
    for speed in (0.2, 0.3):
        place_ns, total_ns = place_ns + 100 * MS, total_ns + 100 * MS
        plan, place_ns = seams.join(plan, place_ns, twists(speed), 50 * MS, total_ns)
    weights = np.exp(-0.01 * np.arange(3))
    found = plan.between(place_ns + 40 * MS, place_ns + 41 * MS, MS).velocity[0]
    assert found == pytest.approx(weights @ [0.1, 0.2, 0.3] / weights.sum())


@pytest.mark.parametrize('blending', BLENDINGS)
def test_positions_do_not_jump_and_end_where_the_new_plan_does(blending):
    for old, new in ((joints(0.0, 0.2), joints(0.03, 0.1)), (poses(0.0, 0.0), poses(0.02, 0.15))):
        seams = Seams(blending, 100 * MS)
        seams.join(Plan(), 0, old, 0, 0)
        plan, place_ns = seams.join(old, 150 * MS, new, 100 * MS, 150 * MS)
        at = np.array([plan.position(place_ns + ms * MS) for ms in range(300)])
        np.testing.assert_allclose(at[0], old.position(150 * MS), atol=1e-9)
        np.testing.assert_allclose(plan.position(plan.duration_ns), new.rows[-1].position,
                                   atol=1e-9)
        assert np.abs(np.diff(at, axis=0)).max() < 0.001  # in a millisecond
        moved = plan.path.step(plan.position(place_ns), plan.position(place_ns + 40 * MS))
        told = plan.between(place_ns, place_ns + 40 * MS, 40 * MS).velocity * 0.04
        np.testing.assert_allclose(told[:3], moved[:3], atol=1e-6)


@pytest.mark.parametrize('blending', BLENDINGS)
@pytest.mark.parametrize('votes', [True, False])
def test_a_gripper_that_opens_or_closes_does_it_once(blending, votes):
    seams = Seams(blending, 100 * MS, votes)
    seams.join(Plan(), 0, twists(0.1, gripper=1.0), 0, 0)
    plan, _ = seams.join(twists(0.1, gripper=1.0), 350 * MS, twists(0.1, gripper=0.0), 100 * MS,
                         350 * MS)
    told = [row.gripper for row in plan.rows]
    assert told[-1] == 0.0 and all(later <= now for now, later in zip(told, told[1:]))
    assert set(told) == {0.0, 1.0} if votes else len(set(told)) > 3


@pytest.mark.parametrize('blending', ['none', *BLENDINGS])
def test_a_plan_that_has_run_out_has_no_say(blending):
    seams, new = Seams(blending), twists(0.3)
    assert seams.join(twists(0.1), 400 * MS, new, 100 * MS, 400 * MS) == (new, 100 * MS)


def test_what_is_no_blending_is_refused():
    with pytest.raises(ConfigError, match="blending is 'cubic', expected one of none, linear"):
        Seams('cubic')


@pytest.fixture(scope='module')
def recorded():
    """Return benchmarks/seams.py, and the recorded run that it plays."""
    path = Path(__file__).resolve().parents[2] / 'benchmarks' / 'seams.py'
    spec = importlib.util.spec_from_file_location('seams_benchmark', path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark, benchmark.chunks_of()


def jerks_but_of_braking(velocities, rate_hz, is_length):
    """Return the jerks where the arm does not slow down, which no jerk limit holds for."""
    jerks = np.diff(velocities, 2, axis=0) * rate_hz**2
    sizes = np.linalg.norm(jerks, axis=1) if is_length else np.abs(jerks).max(axis=1)
    slows = np.diff(np.linalg.norm(velocities, axis=1)) < 0
    return sizes[~(slows[1:] | slows[:-1])]


@pytest.mark.parametrize('output', ['twist', 'pose', 'joints'])
@pytest.mark.parametrize('rate_hz', [20, 50, 100])
@pytest.mark.parametrize('way', BLENDINGS)
def test_a_recorded_run_has_no_step_beyond_the_limits_and_no_pause(recorded, output, rate_hz, way):
    benchmark, chunks = recorded
    velocities, taken = benchmark.play(chunks, output, way, rate_hz)
    found = benchmark.figures(velocities, output, rate_hz)
    assert taken > 20 and found['pauses'] == 0
    for name, columns, limits, _, is_length in benchmark.groups_of(output):
        assert found[f'{name}_speed_max'] <= limits[0] * (1 + 1e-4)
        assert found[f'{name}_acceleration_max'] <= limits[1] * (1 + 1e-4)
        assert found[f'{name}_jerk_p99'] <= limits[2] * (1 + 1e-4)
        jerks = jerks_but_of_braking(velocities[:, columns], rate_hz, is_length)
        assert len(jerks) > 15 and jerks.max() <= limits[2] * (1 + 1e-4)


def test_without_limits_and_blending_the_same_run_jumps(recorded):
    benchmark, chunks = recorded
    velocities, _ = benchmark.play(chunks, 'twist', 'before', 50)
    assert benchmark.figures(velocities, 'twist', 50)['linear_acceleration_max'] > 10
