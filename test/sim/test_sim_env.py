# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The LIBERO environment: camera against its own frames, resets, goals, physics."""
import subprocess
import sys

from libero_scene import libero_env, pixel_of, SEED
import numpy as np
import pytest
from scipy.spatial import KDTree

from sqap_vla_ros.errors import ConfigError

STOVE, CABINET = 'put the bowl on the stove', 'put the bowl on top of the cabinet'
BOWL = 'akita_black_bowl_1'


def mask_of(env, *prefixes):
    """Return bool [H, W]: where geoms with these name prefixes are seen."""
    return np.isin(env.segment(), [geom for prefix in prefixes for geom in env.geom_ids(prefix)])


def test_importing_the_package_loads_no_simulator():
    code = ('import sys, os, sqap_vla_ros.sim; '
            'assert not {"mujoco", "robosuite", "torch"} & set(sys.modules); '
            'assert os.environ["MUJOCO_GL"]')
    subprocess.run([sys.executable, '-c', code], check=True)


FINGERS = ('gripper0_finger1_visual', 'gripper0_finger2_visual')


def finger_length_below(env):
    """Return how far (m) the fingers' meshes reach below the end effector, along its z."""
    vertices = []
    for name in FINGERS:
        geom, mesh = env.model.geom(name).id, env.model.geom(name).dataid[0]
        start, count = env.model.mesh_vertadr[mesh], env.model.mesh_vertnum[mesh]
        in_world = env.model.mesh_vert[start:start + count] @ env.data.geom_xmat[geom].reshape(
            3, 3).T + env.data.geom_xpos[geom]
        site = env.data.site('gripper0_grip_site')
        vertices.append((in_world - site.xpos) @ site.xmat.reshape(3, 3)[:, 2])
    return np.max(vertices)


@pytest.mark.parametrize('seed', [SEED, 4, 5])
def test_the_projected_end_effector_falls_on_the_rendered_gripper_within_3_px(seed):
    env = libero_env()
    env.reset(seed)
    tips = []
    for finger in FINGERS:
        rows, columns = np.nonzero(mask_of(env, finger))
        tips.append([columns[rows >= rows.max() - 2].mean(), rows.max()])
    pose = env.end_effector_pose()
    fingertips = pose[:3, 3] + pose[:3, 2] * finger_length_below(env)
    assert np.linalg.norm(pixel_of(env, fingertips) - np.mean(tips, axis=0)) < 3
    u, v = pixel_of(env, pose[:3, 3])
    assert tips[0][1] - 8 < v < tips[0][1] and min(tips)[0] < u < max(tips)[0]


def test_the_projected_bowl_falls_on_the_rendered_bowl():
    env = libero_env()
    for seed in range(3):
        env.reset(seed)
        u, v = np.round(pixel_of(env, env.object_positions()[BOWL] + [0, 0, 0.025])).astype(int)
        assert mask_of(env, BOWL)[v, u]


def test_one_seed_gives_one_episode_whatever_came_before():
    env = libero_env()

    def episode():
        env.reset(7, STOVE)
        for _ in range(5):
            env.step([0.1, 0.05, -0.1, 0, 0, 0.2], 0.0)
        return env.data.qpos.copy(), env.render()
    first = episode()
    env.reset(8, CABINET)
    for _ in range(3):
        env.step([0, 0, -0.2, 0, 0, 0], 0.0)
    second = episode()
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_resets_leave_numpys_global_generator_alone():
    env = libero_env()
    before = np.random.get_state()[1].copy()
    env.reset(SEED)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_placements_fill_squares_of_25_cm_in_reach():
    env = libero_env()
    starts, places = [], {name: [] for name in env.movable_objects()}
    for seed in range(25):
        env.reset(seed, env.instructions[seed % 5])
        starts.append(env.end_effector_pose()[:3, 3])
        for name in places:
            places[name].append(env.object_positions()[name][:2])
    for found in places.values():
        assert (np.ptp(found, axis=0) > 0.14).all() and (np.ptp(found, axis=0) < 0.29).all()
        assert np.min(found, axis=0) == pytest.approx([0.5, 0.0], abs=0.31)
    assert (np.ptp(starts, axis=0) > 0.07).all()


def test_objects_start_apart_from_each_other_and_from_the_fixtures():
    env = libero_env()
    for seed in range(3):
        env.reset(seed, env.instructions[seed])
        positions = env.object_positions()
        boxes = {name: env.object_points(name) + positions[name]
                 for name in env.movable_objects()}
        for name, points in boxes.items():
            others = [other[:, :2] for key, other in boxes.items() if key != name]
            assert KDTree(np.concatenate(others)).query(points[:, :2])[0].min() > 0.005
            for box in env.fixtures():
                low, high = np.array([box.x0, box.y0]), np.array([box.x1, box.y1])
                outside = np.maximum(low - points[:, :2], points[:, :2] - high).clip(min=0)
                assert np.linalg.norm(outside, axis=1).min() > 0.005


@pytest.mark.parametrize('index', range(5))
def test_each_instruction_has_the_benchmarks_own_success(index):
    env = libero_env()
    goal = env.instructions[index]
    env.reset(SEED, goal)
    assert not env.success and env.goal()[0][1:] == [env.target_object(), env.target_place()]
    lower = env.object_points(env.target_object())[:, 2].min()
    env.scene.stand(env.target_object(), env.place_position()[:2])
    address = env.model.joint(f'{env.target_object()}_joint0').qposadr[0]
    env.data.qpos[address + 2] = env.scene.arm.base_position[2] + (
        env.place_position()[2] + 0.03 - lower)
    results = [env.step(np.zeros(6), 1.0) for _ in range(20)]
    assert any(results)
    env.reset(SEED, env.instructions[index - 1])
    assert not env.success


def test_target_and_points_are_those_of_the_instruction():
    env = libero_env()
    env.reset(SEED, 'put the cream cheese in the bowl')
    assert (env.target_object(), env.target_place(), env.target_body()) == (
        'cream_cheese_1', BOWL, BOWL)
    thing, place, hand = env.task_points()
    np.testing.assert_array_equal(thing, env.object_positions()['cream_cheese_1'])
    np.testing.assert_array_equal(place, env.object_positions()[BOWL])
    np.testing.assert_array_equal(hand, env.end_effector_pose()[:3, 3])
    env.reset(SEED, STOVE)
    assert env.target_body() == 'flat_stove_1'
    stove = env.object_positions()['flat_stove_1']
    assert np.linalg.norm(env.place_position() - stove) < 0.2


def test_the_center_of_an_object_is_the_middle_of_what_is_seen_of_it():
    env = libero_env()
    env.reset(SEED)
    centers = env.object_centers()
    assert set(centers) == set(env.movable_objects())
    for name, center in centers.items():
        rows, columns = np.nonzero(mask_of(env, name))
        middle = [columns.min() + columns.max(), rows.min() + rows.max()]
        assert np.abs(pixel_of(env, center) - np.divide(middle, 2)).max() < 6, name


def test_the_points_of_an_object_lie_on_what_is_seen_of_it():
    env = libero_env()
    env.reset(SEED)
    seen = mask_of(env, BOWL)
    points = env.object_points(BOWL) + env.object_positions()[BOWL]
    pixels = np.round([pixel_of(env, point) for point in points]).astype(int)
    assert seen[pixels[:, 1], pixels[:, 0]].mean() > 0.8  # some are on the outline


def test_time_and_joints_are_reported():
    env = libero_env()
    env.reset(SEED)
    for _ in range(4):
        env.step(np.zeros(6), 0.0)
    names, positions, velocities = env.joint_state()
    assert env.time == pytest.approx(0.2)
    assert len(names) == len(positions) == len(velocities) == 9
    assert len(set(names)) == 9
    assert 0.1 < env.gripper_open() < 0.9


def test_the_lean_control_step_follows_robosuites_own():
    from sqap_vla_ros.sim.physics import control_step
    env = libero_env()
    action = np.array([0.4, -0.2, -0.5, 0, 0.1, 0.1, 1.0])
    paths = []
    benchmark = env.scene.benchmark
    for step in (benchmark.step, lambda action: control_step(benchmark, action)):
        env.reset(SEED)
        for _ in range(5):
            step(action)
        paths.append(env.data.qpos[:9].copy())
    np.testing.assert_allclose(paths[0], paths[1], atol=1e-5)


@pytest.mark.parametrize('options, message', [
    ({'suite': 'libero_gaol'}, 'libero_goal'),
    ({'instructions': ['put the bowl on the roof']}, STOVE),
    ({'instructions': []}, STOVE)])
def test_a_wrong_suite_or_instruction_is_named_with_the_right_ones(options, message):
    libero_env()
    from sqap_vla_ros.sim.env import LiberoEnv
    with pytest.raises(ConfigError, match=message):
        LiberoEnv(**options)


def test_an_unknown_camera_is_named_with_the_right_ones():
    env = libero_env()
    from sqap_vla_ros.sim.render import SceneCamera
    with pytest.raises(ConfigError, match='agentview'):
        SceneCamera(env.model, env.data, 'agentveiw', (64, 64))


def test_an_instruction_that_is_not_served_is_refused():
    with pytest.raises(ConfigError, match=STOVE):
        libero_env().reset(0, 'open the drawer')
