# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Suites by name: instructions, official states, scenes in turn; the benchmark is the oracle."""
from contextlib import redirect_stdout
from io import StringIO

from libero_scene import BUTTER, KETCHUP, NEEDS_LIBERO, official_env
import numpy as np
import pytest

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.expert import Expert
from sqap_vla_ros.sim.tasks import find_tasks, suite_tasks
from sqap_vla_ros.sim.variation import Variation

pytestmark = NEEDS_LIBERO
STOCK = ('libero_goal', 'libero_object', 'libero_spatial', 'libero_10')
BOWL = 'akita_black_bowl_1'


def benchmark_tasks(suite):
    """Return {name: (number, language)} by the benchmark's own registry, and its suite."""
    from libero.libero.benchmark import get_benchmark
    with redirect_stdout(StringIO()):
        found = get_benchmark(suite)()
    return {found.get_task(i).name: (i, found.get_task(i).language)
            for i in range(found.get_num_tasks())}, found


def instruction_of(suite, name):
    return {task.name: task.instruction for task in suite_tasks(suite)}[name]


def spatial_problem(name):
    return next(task for task in suite_tasks('libero_spatial') if name in task.name).parse()


@pytest.mark.parametrize('suite', STOCK)
def test_an_instruction_is_the_benchmarks_language(suite):
    expected, _ = benchmark_tasks(suite)
    assert {task.name: task.instruction for task in suite_tasks(suite)} == {
        name: language for name, (_, language) in expected.items()}


def test_a_reworded_suite_has_its_own_words():
    name = 'open_the_middle_drawer_of_the_cabinet'
    assert instruction_of('libero_goal_lan', name) == 'open the cabinet’s middle drawer'
    assert instruction_of('libero_goal_task', name) == 'open the bottom drawer of the cabinet'
    assert instruction_of('libero_goal_swap', name) == 'open the middle drawer of the cabinet'


def test_a_task_may_be_asked_for_by_the_name_of_its_file():
    name = 'KITCHEN_SCENE1_put_the_black_bowl_on_the_plate'
    (text, task), = find_tasks('libero_90', [name]).items()
    assert (text, task.name) == ('put the black bowl on the plate', name)
    with pytest.raises(ConfigError, match=name):
        find_tasks('libero_90', [text])


def test_all_tasks_of_a_suite_are_found_without_naming_them():
    from sqap_vla_ros.sim.env import INSTRUCTIONS, tasks_of
    assert len(tasks_of('libero_object')) == 10
    assert tuple(tasks_of('libero_goal')) == INSTRUCTIONS


def test_the_official_states_are_the_benchmarks():
    expected, benchmark = benchmark_tasks('libero_object')
    for task in suite_tasks('libero_object')[:3]:
        number, _ = expected[task.name]
        np.testing.assert_array_equal(
            task.initial_states(), benchmark.get_task_init_states(number))


def test_a_suite_without_official_states_is_named():
    from sqap_vla_ros.sim.env import LiberoEnv
    with pytest.raises(ConfigError, match='libero_object_with_trigger'):
        LiberoEnv(None, 'libero_object_with_trigger', initial_states=True)


def test_what_stands_on_an_object_is_carried_and_what_is_on_a_fixture_is_not():
    from sqap_vla_ros.sim.reset import carriers, standing_objects
    on_box = carriers(spatial_problem('on_the_cookie_box'))
    assert on_box[BOWL] == on_box['cookies_1'] == 'cookies_1'
    assert 'akita_black_bowl_2' not in on_box, 'it is on the cabinet'
    stove = spatial_problem('on_the_stove')
    assert set(standing_objects(stove)) == {
        'plate_1', 'cookies_1', 'glazed_rim_porcelain_ramekin_1'}


@pytest.mark.parametrize('seed', [4, 54])
def test_a_seed_starts_from_the_official_state_as_the_benchmarks_evaluation_does(seed):
    env = official_env()
    env.reset(seed, BUTTER)
    started = env.data.qpos.copy()
    benchmark = env.scene.benchmark
    env.scene.reset(4)
    benchmark.sim.set_state_from_flattened(env._states[BUTTER][4])
    benchmark.sim.forward()
    benchmark.robots[0].gripper.current_action = np.zeros(2)  # as in a scene just built
    for _ in range(10):
        benchmark.step(np.array([0, 0, 0, 0, 0, 0, -1.0]))
    np.testing.assert_allclose(started, env.data.qpos, atol=2e-3)
    assert np.abs(started - env._states[BUTTER][5][1:len(started) + 1]).max() > 5e-3


def test_another_scene_is_built_when_its_instruction_comes_and_gives_the_same_episode_again():
    env = official_env()
    env.reset(7, BUTTER)
    first, names = env.data.qpos.copy(), env.movable_objects()
    env.reset(7, KETCHUP)
    assert env.target_object() == 'ketchup_1' and env.movable_objects() != names
    centers = env.object_centers()
    missing = {name for name, center in centers.items() if np.isnan(center).any()}
    assert missing == set(names) - set(env.movable_objects()) and len(missing) >= 1
    env.reset(7, BUTTER)
    np.testing.assert_allclose(env.data.qpos, first, atol=1e-9)
    assert list(env.object_centers()) == list(centers)


@pytest.mark.parametrize('instruction', [BUTTER, KETCHUP])
def test_the_expert_puts_groceries_into_the_basket_and_lets_them_go(instruction):
    env = official_env()
    env.reset(11, instruction)
    expert = Expert(env)
    while not env.step(*expert.act()):
        assert env.time < 10
    for _ in range(30):
        env.step(*expert.act())
    assert env.success and not env.touches(env.target_object())
    assert env.gripper_open() > 0.9


def test_the_floor_is_the_table_of_a_scene_without_one():
    env = official_env()
    env.reset(0)
    lowest = min((env.object_points(name) + env.object_positions()[name])[:, 2].min()
                 for name in env.movable_objects())
    assert env.table_height() == pytest.approx(lowest, abs=0.01)


def test_options_that_exclude_each_other_are_refused():
    from sqap_vla_ros.sim.env import LiberoEnv
    with pytest.raises(ConfigError, match='initial_states'):
        LiberoEnv(initial_states=True, variation=Variation(distractors=1))
