# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The scripted expert: it solves its instructions, within its limits, from any state."""
from types import SimpleNamespace

from libero_scene import libero_env
import numpy as np
import pytest

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.expert import Expert
from sqap_vla_ros.sim.resting import place_of
from sqap_vla_ros.sim.units import SPEEDS

STOVE, CABINET = 'put the bowl on the stove', 'put the bowl on top of the cabinet'
STEPS = 220


def run_expert(seed, instruction, disturb=None):
    """Return (steps to success or None, actions [n, 7]) of one episode."""
    env = libero_env()
    env.reset(seed, instruction)
    expert, actions = Expert(env), []
    for step in range(STEPS):
        twist, gripper = expert.act()
        actions.append(np.append(twist, gripper))
        executed = disturb(step, twist, gripper) if disturb else (twist, gripper)
        if env.step(*executed):
            return step + 1, np.array(actions)
    return None, np.array(actions)


@pytest.mark.parametrize('index', range(5))
def test_the_expert_reaches_the_benchmarks_success_within_its_limits(index):
    steps, actions = run_expert(100 + index, libero_env().instructions[index])
    assert steps is not None and steps <= 160
    assert np.linalg.norm(actions[:, :3], axis=1).max() <= SPEEDS.linear
    assert np.linalg.norm(actions[:, 3:6], axis=1).max() <= SPEEDS.angular
    assert set(actions[:, 6]) == {0.0, 1.0}


def test_a_dropped_bowl_is_picked_up_again():
    held = []

    def drop(step, twist, gripper):
        held.append(gripper == 0.0)
        return twist, 1.0 if 12 <= sum(held) < 20 else gripper
    steps, actions = run_expert(103, STOVE, drop)
    assert steps is not None
    assert np.sum(np.diff(actions[:, 6]) < 0) >= 2, 'the gripper closes twice'


def test_a_closed_hand_opens_before_it_comes_down_again():
    steps, actions = run_expert(102, STOVE, lambda step, twist, gripper: (
        twist, 0.0 if step < 30 else gripper))
    assert (actions[:30, 6] == 1.0).all() and steps is not None


def test_pushed_away_it_comes_back():
    steps, _ = run_expert(104, 'put the wine bottle on top of the cabinet',
                          lambda step, twist, gripper: (
                              [0.2, 0, 0.1, 0, 0, 0] if 15 <= step < 25 else twist, gripper))
    assert steps is not None


def test_the_action_depends_on_the_state_alone():
    env = libero_env()
    env.reset(104, CABINET)
    used = Expert(env)
    for _ in range(30):
        env.step(*used.act())
    for fresh, old in zip(Expert(env).act(), used.act()):
        np.testing.assert_array_equal(fresh, old)


def test_after_release_the_hand_rises_and_stops():
    env = libero_env()
    env.reset(105, STOVE)
    expert = Expert(env)
    while not env.step(*expert.act()):
        assert env.time < 10
    low = env.end_effector_pose()[2, 3]
    for _ in range(50):
        env.step(*expert.act())
    twist, gripper = expert.act()
    assert env.success and gripper == 1.0
    assert env.end_effector_pose()[2, 3] > low + 0.05
    assert np.linalg.norm(twist[:3]) < 0.03


@pytest.mark.parametrize('instruction, goals, message', [
    ('turn on the stove', [[]], "somewhere, not 'turn on the stove'"),
    ('put both away', [['on', 'cup', 'plate'], ['on', 'pot', 'stove']],
     "not the 2 of 'put both away'")])
def test_a_goal_that_is_not_about_putting_one_object_is_refused(instruction, goals, message):
    env = SimpleNamespace(
        target_object=lambda: 'flat_stove_1', target_place=lambda: None, goal=lambda: goals,
        movable_objects=lambda: ('bowl',), instruction=instruction)
    with pytest.raises(ConfigError, match=message):
        Expert(env).act()


def place_in(points, reach=0.02):
    """Return the Place on or in a thing with these points [n, 3], its origin at the table."""
    return place_of(SimpleNamespace(
        target_place=lambda: 'thing_region', target_body=lambda: 'thing', instruction='put it',
        place_position=lambda: np.zeros(3), object_points=lambda name: np.array(points),
        object_positions=lambda: {'thing': np.zeros(3)}, table_height=lambda: 0.0,
        movable_objects=lambda: ()), reach)


def test_an_object_rests_on_what_is_highest_in_the_middle_of_its_place():
    place = place_in([[0, 0, 0.005], [0.02, 0, 0.01], [0.08, 0, 0.02]])
    assert (place.height, place.wall) == (0.01, 0)


def test_into_a_deep_container_a_flat_object_is_dropped_from_above_its_rim():
    basket = [[0, 0, -0.07], [0.08, 0, 0.07]]
    flat, tall = place_in(basket, reach=0.02), place_in(basket, reach=0.12)
    assert flat.height + 0.02 > 0.07 - 0.045, 'the hand stays over the rim'
    assert tall.height == -0.07, 'and reaches the ground with a bottle'
    assert flat.height + flat.wall == pytest.approx(0.07)
    assert tall.height + tall.wall == pytest.approx(0.07)


def test_a_covered_place_is_refused():
    with pytest.raises(ConfigError, match='covered'):
        place_in([[0, 0, -0.05], [0, 0.01, 0.1]])
