# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Yaw, distractors, camera and lights: what they change, what they leave alone, by seed."""
from contextlib import contextmanager
import pickle

from libero_scene import libero_env, pixel_of, SEED, varied_env
import numpy as np
import pytest
from scipy.spatial import KDTree

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.variation import Looks, Variation

BOWL, CREAM_CHEESE = 'akita_black_bowl_1', 'cream_cheese_1'


def angle_of(env, name):
    rotation = env.scene.rotation(name)
    return np.arctan2(rotation[1, 0], rotation[0, 0])


@contextmanager
def looks(**options):
    """Yield the shared environment and its Looks with these options; undo them afterwards."""
    env = libero_env()
    model = env.model
    arrays = [model.cam_pos, model.cam_quat, model.light_pos, model.light_dir,
              model.light_diffuse, model.light_ambient, model.light_specular,
              model.vis.headlight.diffuse, model.vis.headlight.ambient,
              model.vis.headlight.specular]
    before = [array.copy() for array in arrays]
    env.reset(SEED)
    try:
        yield env, Looks(env.scene, Variation(**options))
    finally:
        for array, values in zip(arrays, before):
            array[:] = values
        env.scene.forward()


def test_a_varied_episode_repeats_by_its_seed():
    env = varied_env()

    def episode(seed):
        env.reset(seed, env.instructions[0])
        return env.data.qpos.copy(), env.camera_pose(), env.model.light_dir.copy(), env.render()
    first, other, again = episode(5), episode(6), episode(5)
    for one, two, three in zip(first, other, again):
        np.testing.assert_array_equal(one, three)
        assert np.abs(one.astype(float) - two).max() > 1e-3


def test_distractors_stand_clear_and_leave_the_task_as_it_is():
    env, plain = varied_env(), libero_env()
    assert env.scene.distractors and not set(env.scene.distractors) & set(plain.movable_objects())
    for seed in range(3):
        env.reset(seed, env.instructions[seed])
        plain.reset(seed, env.instructions[seed])
        positions = env.object_positions()
        for name, position in plain.object_positions().items():
            np.testing.assert_allclose(positions[name], position, atol=2e-3)
        for name in env.scene.distractors:
            mine = (env.object_points(name) + positions[name])[:, :2]
            for other in set(positions) - {name}:
                points = (env.object_points(other) + positions[other])[:, :2]
                assert KDTree(points).query(mine)[0].min() > 0.005
    assert set(env.object_centers()) == set(plain.object_centers())


def test_the_reported_camera_is_the_jittered_one():
    env = varied_env()
    for seed in range(3):
        env.reset(seed)
        pixel = np.round(pixel_of(env, env.object_positions()[BOWL] + [0, 0, 0.025])).astype(int)
        seen = np.isin(env.segment(), env.geom_ids(BOWL))
        assert seen[pixel[1], pixel[0]]


def test_camera_jitter_moves_and_turns_within_its_bounds():
    with looks(camera_jitter_m=0.04, camera_jitter_rad=0.03) as (env, varied):
        built, poses = env.camera_pose(), []
        for seed in range(20):
            varied.vary(seed)
            poses.append(np.linalg.inv(built) @ env.camera_pose())
        shifts = np.array([pose[:3, 3] for pose in poses])
        assert (np.abs(shifts) <= 0.04 + 1e-9).all() and (np.ptp(shifts, axis=0) > 0.04).all()
        turns = [np.arccos((np.trace(pose[:3, :3]) - 1) / 2) for pose in poses]
        assert 0.02 < max(turns) <= 0.03 * np.sqrt(3) + 1e-9


def test_a_camera_pose_looks_from_where_and_at_what_it_says():
    position, target = (1.3, 0.4, 0.8), (0.5, 0.0, 0.1)
    with looks(camera_pose=(position, target)) as (env, varied):
        varied.vary(0)
        np.testing.assert_allclose(env.camera_pose()[:3, 3], position, atol=1e-6)
        np.testing.assert_allclose(pixel_of(env, np.array(target)), [127.5, 127.5], atol=1e-3)
        above = pixel_of(env, np.array(target) + [0, 0, 0.1])
        assert above[0] == pytest.approx(127.5, abs=1e-3) and above[1] < 127


def test_light_jitter_changes_the_frame_and_nothing_else():
    with looks(light_jitter=1.0) as (env, varied):
        before, plain = env.data.qpos.copy(), env.render().astype(float)
        brightness = []
        for seed in range(6):
            varied.vary(seed)
            brightness.append(env.render().mean() / plain.mean())
        np.testing.assert_array_equal(env.data.qpos, before)
        assert max(brightness) - min(brightness) > 0.2


def test_yaw_turns_what_stands_on_the_table_within_its_bounds():
    from sqap_vla_ros.sim.reset import start_at_random
    env, turned = libero_env(), []
    env.reset(SEED, 'put the cream cheese in the bowl')
    stock = angle_of(env, CREAM_CHEESE)
    for seed in range(8):
        start_at_random(env.scene, env._problem, seed, 0.25, yaw_rad=0.8)
        turned.append(np.angle(np.exp(1j * (angle_of(env, CREAM_CHEESE) - stock))))
    assert np.abs(turned).max() <= 0.85 and np.ptp(turned) > 0.5


def test_the_object_that_is_the_goals_place_is_not_turned():
    from sqap_vla_ros.sim.reset import start_at_random
    env = libero_env()
    env.reset(SEED, 'put the bowl on the plate')
    stock = angle_of(env, 'plate_1')
    start_at_random(env.scene, env._problem, SEED, 0.25, yaw_rad=0.8)
    assert angle_of(env, 'plate_1') == pytest.approx(stock, abs=0.02)
    assert abs(angle_of(env, CREAM_CHEESE)) > 0.05


def test_a_variation_travels_to_other_processes():
    variation = Variation(yaw_rad=0.3, camera_pose=((1, 0, 1), (0, 0, 0)))
    assert pickle.loads(pickle.dumps(variation)) == variation


@pytest.mark.parametrize('options, message', [
    ({'yaw_rad': -0.1}, 'yaw_rad'), ({'distractors': 7}, 'distractors'),
    ({'light_jitter': 1.5}, 'light_jitter'), ({'camera_jitter_m': float('nan')}, 'camera_jitter'),
    ({'camera_pose': (1, 2, 3)}, 'camera_pose')])
def test_an_option_out_of_range_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Variation(**options)


def test_a_camera_that_looks_straight_down_has_no_up():
    with pytest.raises(ConfigError, match='sideways'):
        with looks(camera_pose=((0.5, 0, 1), (0.5, 0, 0))):
            pass
