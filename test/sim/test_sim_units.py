# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""SI twists against the speeds that the benchmark's controller really reaches."""
from hypothesis import given, strategies as st
from libero_scene import libero_env, SEED
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.command import Command
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.control.safety_gate import SafetyGate
from sqap_vla_ros.sim.units import COMMAND_SCALES, GOAL_OFFSETS, gripper_to_unit, SPEEDS

finite = st.floats(-100, 100)


def settled_speed(axis, speed):
    """Command a steady twist along one axis and return the speed it settles to."""
    env = libero_env()
    env.reset(SEED)
    twist = np.zeros(6)
    twist[axis] = speed
    poses = []
    for _ in range(10):
        env.step(twist, 1.0)
        poses.append(env.end_effector_pose())
    before, after = poses[-4], poses[-1]
    if axis < 3:
        moved = (after - before)[axis, 3]
    else:
        moved = Rotation.from_matrix(after[:3, :3] @ before[:3, :3].T).as_rotvec()[axis - 3]
    return moved / (3 * env.dt)


@pytest.mark.parametrize('axis, speed', [
    (0, 0.1), (0, -0.2), (1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2),
    (3, 0.25), (4, 0.25), (5, 0.25), (5, -0.25)])
def test_the_end_effector_settles_to_the_commanded_velocity(axis, speed):
    assert settled_speed(axis, speed) == pytest.approx(speed, rel=0.10)


def test_a_zero_twist_holds_the_arm_still():
    env = libero_env()
    env.reset(SEED)
    before = env.end_effector_pose()
    for _ in range(40):
        env.step(np.zeros(6), 1.0)
    np.testing.assert_allclose(env.end_effector_pose(), before, atol=1e-3)


@given(st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=6), st.booleans())
def test_the_actions_of_a_libero_checkpoint_come_out_as_they_were_trained_on(values, opened):
    space = ActionSpace.from_config('libero')
    command, = space.commands(np.float32([[*values, opened]]))
    command = SafetyGate(COMMAND_SCALES[space.kind].limits).admit(command)
    np.testing.assert_allclose(GOAL_OFFSETS.unit_action(command.velocity), values, atol=1e-6)
    assert gripper_to_unit(command.gripper) == (-1 if opened else 1)


@given(st.lists(finite, min_size=6, max_size=6))
def test_no_twist_leaves_the_controllers_range(twist):
    assert np.abs(SPEEDS.unit_action(twist)).max() <= 1


@pytest.mark.parametrize('scale, linear, angular', [(SPEEDS, 0.25, 2.4), (GOAL_OFFSETS, 1, 10)])
def test_a_unit_action_is_one_scale(scale, linear, angular):
    twist = np.array([linear] * 3 + [-angular] * 3)
    np.testing.assert_allclose(scale.unit_action(twist), [1] * 3 + [-1] * 3)
    np.testing.assert_array_equal(SafetyGate(scale.limits).admit(Command(twist)).velocity, twist)


def test_the_limits_of_the_simulated_arm_are_those_of_its_file():
    yaml = pytest.importorskip('yaml')
    from sqap_vla_ros.support.resources import config_file
    content = yaml.safe_load(config_file('libero_sim.yaml').read_text())
    values = content['/**']['ros__parameters']
    assert SPEEDS.limits == CommandLimits(values['max_linear_speed'], values['max_angular_speed'])


@pytest.mark.parametrize('twist', [[0] * 5, [0, 0, 0, 0, 0, np.nan], [np.inf] + [0] * 5])
def test_a_twist_that_is_not_six_finite_numbers_is_refused(twist):
    with pytest.raises(ValueError, match='six finite numbers'):
        SPEEDS.unit_action(twist)


def test_the_gripper_threshold_is_half_open():
    assert [gripper_to_unit(value) for value in (0.0, 0.5, 0.51, 1.0)] == [1, 1, -1, -1]
