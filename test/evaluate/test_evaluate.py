# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts without ROS: what the policy sees, how episodes are counted."""
from types import SimpleNamespace

from libero_scene import libero_env
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.states import STATES
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.evaluate.conventions import image_doubts, middle_state
from sqap_vla_ros.evaluate.intervals import paired_difference, wilson_interval
from sqap_vla_ros.evaluate.rollouts import controlled, run_episode, told_instruction
from sqap_vla_ros.evaluate.simulated_robot import (
    as_the_benchmark_shows_it, check_cameras, SimulatedRobot)
from sqap_vla_ros.formats.checkpoint import CheckpointConfig
from sqap_vla_ros.geometry.image_presets import PRESETS
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.geometry.patches import protected_distances
from sqap_vla_ros.observation import ActionChunk, STATE_NAMES
from sqap_vla_ros.policy import load_policy
from tiny_checkpoint import save_tiny_checkpoint


class ExpertPolicy:
    """Answers with the scripted expert's action of the moment, one row at a time."""

    def __init__(self, env):
        from sqap_vla_ros.sim.expert import Expert
        self.config = SimpleNamespace(action_space=ActionSpace(execute_steps=1))
        self.expert, self.seen, self.resets, self.statistics = Expert(env), [], 0, {}
        self.selection, self.state_names, self.cameras = None, (), ()
        self.image_transform = ImageTransform((224, 224))

    def reset(self):
        self.resets += 1

    def infer(self, observation):
        self.seen.append(observation)
        twist, gripper = self.expert.act()
        actions = np.append(twist, gripper).astype(np.float32)[None]
        return ActionChunk(actions, 0.05, (), observation.stamp_ns, {'total': 2.0})


@pytest.fixture(scope='module')
def env():
    return libero_env()


@pytest.mark.parametrize('successes, trials', [(0, 10), (7, 10), (50, 50), (1, 3)])
def test_the_interval_is_wilsons(successes, trials):
    stats = pytest.importorskip('scipy.stats', reason='the oracle is SciPy')
    oracle = stats.binomtest(successes, trials).proportion_ci(0.95, method='wilson')
    assert wilson_interval(successes, trials) == pytest.approx(
        (oracle.low, oracle.high), abs=1e-4)


def test_no_trials_say_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_an_episode_ends_with_the_benchmarks_success(env):
    policy = ExpertPolicy(env)
    result = run_episode(env, policy, 3, env.instructions[0])
    assert result.success and env.success and 20 < result.steps < 120
    assert result.steps == len(policy.seen) and result.infer_ms == 2.0 and policy.resets == 1
    assert policy.seen[0].instruction == env.instructions[0]


def test_an_episode_is_given_up_after_max_steps(env):
    result = run_episode(env, ExpertPolicy(env), 3, env.instructions[0], max_steps=5)
    assert not result.success and result.steps == 5


class FaultyPolicy(ExpertPolicy):
    """Answers for two steps, then no more in a way that an arm may follow."""

    def infer(self, observation):
        chunk = super().infer(observation)
        if len(self.seen) > 2:
            self.fail(chunk.actions)
        return chunk


def rush(actions):
    actions[0, 0] = 9.0


def refuse(actions):
    raise ObservationError('token 5 is no action')


@pytest.mark.parametrize('fail, message', [(rush, 'linear speed'), (refuse, 'token 5')])
def test_an_answer_that_may_not_move_the_arm_ends_the_episode_and_says_why(env, fail, message):
    policy = FaultyPolicy(env)
    policy.fail = fail
    result = run_episode(env, policy, 3, env.instructions[0])
    assert not result.success and result.steps == 3 and message in result.fault


def test_a_picture_that_shows_nothing_ends_the_episode_and_says_why(env, monkeypatch):
    render, frames = env.render, []

    def going_dark():
        frames.append(render())
        return frames[-1] // (1 if len(frames) < 3 else 255)
    monkeypatch.setattr(env, 'render', going_dark)
    result = run_episode(env, ExpertPolicy(env), 3, env.instructions[0])
    assert not result.success and result.steps == 3 and 'almost nothing' in result.fault


def test_what_fills_the_picture_from_the_hand_is_no_fault_of_its_camera(env, monkeypatch):
    dim = np.repeat(np.add.outer(np.arange(256) % 64, np.arange(256) // 4)[..., None], 3, axis=2)
    flat = np.zeros((256, 256, 3), np.uint8)
    flat[:, 64:] = 255  # much brighter, and of one colour from top to bottom
    pictures = iter([dim.astype(np.uint8), flat])
    monkeypatch.setattr(env, 'render_wrist', lambda: next(pictures))
    env.reset(3, env.instructions[0])
    robot = SimulatedRobot(env, cameras=('full', 'wrist'))
    seen = [robot.observe(step * 50_000_000, 'x') for step in range(2)]
    np.testing.assert_array_equal(seen[1].view('wrist').image, flat)


def test_the_protected_point_is_where_the_gripper_is_seen(env):
    env.reset(0, env.instructions[0])
    protected = SimulatedRobot(env).observe(0, 'x').protected
    assert protected.names == ('end_effector',)
    fingers = env.segment()
    rows, cols = np.nonzero(np.isin(fingers, env.geom_ids('gripper0_finger')))
    u, v = protected.pixels[0]
    assert abs(u - cols.mean()) < 12 and rows.min() - 12 < v < rows.max() + 12


@pytest.mark.parametrize('cameras', [('full', 'wrist'), ('hand_camera', 'front')])
def test_two_cameras_are_seen_by_the_names_and_in_the_order_of_the_checkpoint(env, cameras):
    env.reset(3, env.instructions[0])
    robot = SimulatedRobot(env, cameras=cameras)
    for step in range(2):
        seen = robot.observe(step * 50_000_000, 'x')
        assert (seen.camera, *seen.views) == cameras
        for name in cameras:
            view = seen.view(name)
            on_hand = 'wrist' in name or 'hand' in name
            np.testing.assert_array_equal(
                view.image, env.render_wrist() if on_hand else env.render())
            assert view.stamp_ns == seen.stamp_ns and view.protected.names == ('end_effector',)
        env.step([0.1, 0, -0.1, 0, 0, 0], 1.0)
    hand = seen.view(next(name for name in cameras if name not in ('full', 'front')))
    np.testing.assert_allclose(hand.protected.pixels[0], [127.5, 213.5], atol=0.1)


def test_a_single_camera_is_the_one_on_the_hand_if_it_is_named_so(env):
    env.reset(3, env.instructions[0])
    for cameras, expected in ((('wrist',), env.render_wrist()), (('front',), env.render()),
                              ((), env.render())):
        np.testing.assert_array_equal(
            SimulatedRobot(env, cameras=cameras).observe(0, 'x').image, expected)


@pytest.mark.parametrize('cameras', [
    ('full', 'side'), ('wrist', 'hand'), ('full', 'left_wrist', 'right_wrist')])
def test_cameras_that_the_simulator_has_not_are_refused(cameras):
    with pytest.raises(ConfigError, match=f'{len(cameras)} cameras, .*{cameras[1]}.*has two'):
        check_cameras(cameras)


def test_what_is_protected_goes_with_the_pixels_through_turn_resize_and_crop(env):
    """A white spot where the end effector is seen comes out in the patch that is protected."""
    env.reset(3, env.instructions[0])
    cameras, size, grid = ('full', 'wrist'), (224, 224), (16, 16)
    plain = SimulatedRobot(env, cameras=cameras).observe(0, 'x')
    seen = SimulatedRobot(env, cameras=cameras, upside_down=True).observe(0, 'x')
    upright = ImageTransform(size, **{**PRESETS['libero'], 'rotate_180': False, 'mirror': True})
    for name in cameras:
        view, before = seen.view(name), plain.view(name)
        np.testing.assert_array_equal(view.image, before.image[::-1])
        image = np.zeros_like(view.image)
        u, v = np.round(view.protected.pixels[0]).astype(int)
        image[v - 1:v + 2, u - 1:u + 2] = 255
        transform = ImageTransform(size, **PRESETS['libero'])
        spot = transform.apply(image)[..., 0].argmax()
        patch = spot // size[1] // 14 * grid[1] + spot % size[1] // 14
        found, same = (protected_distances(
            points.protected.pixels, points.protected.radii_px, (256, 256), way, grid)
            for points, way in ((view, transform), (before, upright)))
        assert found[patch] <= np.sqrt(0.5) and np.isfinite(found).sum() < 40
        np.testing.assert_allclose(found, same, atol=1e-5)


def test_an_observation_upside_down_twice_is_itself(env):
    env.reset(3, env.instructions[0])
    seen = SimulatedRobot(env, cameras=('full', 'wrist')).observe(0, 'x')
    twice = as_the_benchmark_shows_it(as_the_benchmark_shows_it(seen))
    for name in ('full', 'wrist'):
        np.testing.assert_array_equal(twice.view(name).image, seen.view(name).image)
        np.testing.assert_allclose(
            twice.view(name).protected.pixels, seen.view(name).protected.pixels)


def test_a_public_checkpoint_without_the_turn_of_libero_is_doubted():
    def doubts(prompt='openvla', turned=True, **image):
        return list(image_doubts(CheckpointConfig(prompt=prompt, image=image), turned))
    assert '"image": "libero"' in doubts()[0] and 'left and right as they are' in doubts()[0]
    assert 'upside down;' in doubts(rotate_180=True)[0]
    assert 'upside down;' in doubts(rotate_180=True, mirror=True)[0]
    assert not doubts(mirror=True) and not doubts(**PRESETS['libero']) and not doubts('words')
    upright = {**PRESETS['libero'], 'rotate_180': False, 'mirror': True}
    assert not doubts(turned=False, **upright) and not doubts('words', turned=False)
    assert '"mirror": true' in doubts(turned=False, **PRESETS['libero'])[0]


def test_the_middle_state_is_the_mean_or_the_middle_of_the_range():
    np.testing.assert_array_equal(middle_state({'state_mean': np.ones(2)}), [1, 1])
    low, high = np.array([0.0, -2.0]), np.array([1.0, 2.0])
    np.testing.assert_array_equal(middle_state({'state_low': low, 'state_high': high}), [0.5, 0])
    assert middle_state({}) is None


@pytest.mark.parametrize('moves', [[], [([0.2, -0.3, -0.4, 1.0, 0.5, 1.5], 0.0)] * 6])
def test_the_state_is_the_one_that_liberos_clients_tell(env, moves):
    """The benchmark's own sensors and robosuite's quat2axisangle say the same."""
    transforms = pytest.importorskip('robosuite.utils.transform_utils')
    env.reset(3, env.instructions[0])
    for twist, gripper in moves:
        env.step(twist, gripper)
    data, robot = env.data, env.scene.benchmark.robots[0]
    quaternion = transforms.convert_quat(data.body(robot.robot_model.eef_name).xquat, to='xyzw')
    fingers = data.qpos[robot._ref_gripper_joint_pos_indexes]
    expected = [*data.site_xpos[robot.eef_site_id], *transforms.quat2axisangle(quaternion)]
    state = SimulatedRobot(env, STATES['libero']).observe(0, 'x').state
    assert state.dtype == np.float64 and expected[2] > 1 and abs(expected[3]) > 2.5
    np.testing.assert_allclose(state[:6], expected, atol=1e-9)
    # one finger may be further than the other; ours are told as far as each other
    np.testing.assert_allclose(state[6:], np.array([0.5, -0.5]) * np.ptp(fingers), atol=1e-9)
    np.testing.assert_allclose(state[6:], fingers, atol=2e-3)


def test_controls_blank_the_images_of_all_cameras(env):
    env.reset(0, env.instructions[0])
    seen = SimulatedRobot(env, cameras=('full', 'wrist')).observe(0, 'x')
    blank = controlled(seen, 'blank-image')
    assert seen.view('wrist').image.any() and seen.view('full').image.any()
    assert not blank.view('wrist').image.any() and not blank.view('full').image.any()


def test_controls_change_only_what_they_name(env):
    env.reset(0, env.instructions[0])
    mean = np.arange(8, dtype=np.float32)
    seen = SimulatedRobot(env, STATE_NAMES).observe(0, 'x')
    plain, blank, still, alone = (
        controlled(seen, control, mean)
        for control in ('none', 'blank-image', 'no-state', 'state-only'))
    assert plain is seen and plain.image.any() and not blank.image.any() and not alone.image.any()
    np.testing.assert_array_equal(blank.state, plain.state)
    np.testing.assert_array_equal(alone.state, plain.state)
    np.testing.assert_array_equal(still.state, mean)
    assert (still.image == plain.image).all()
    policy = ExpertPolicy(env)
    run_episode(env, policy, 3, env.instructions[0], 'other-instruction', max_steps=2)
    assert policy.seen[0].instruction in env.instructions[1:]


def test_the_other_instructions_take_turns():
    tasks = ('a', 'b', 'c')
    told = [told_instruction(tasks, 'b', 'other-instruction', seed) for seed in (1, 4, 7)]
    assert told == ['a', 'c', 'a']
    with pytest.raises(ConfigError, match='two instructions'):
        told_instruction(('a',), 'a', 'other-instruction', 0)


def test_a_policy_accepts_the_empty_instruction_of_state_only(tmp_path):
    save_tiny_checkpoint(tmp_path)
    load_policy(tmp_path).inputs.token_ids(told_instruction((), 'x', 'state-only', 0))


def test_no_state_needs_a_policy_with_proprioception(env):
    with pytest.raises(ConfigError, match='proprioception'):
        run_episode(env, ExpertPolicy(env), 0, env.instructions[0], 'no-state')


def test_paired_differences_are_newcombes():
    """
    Compare with three published intervals.

    The first two are of Fagerland, Laake and Lydersen, "Statistical Analysis of Contingency
    Tables" (2017), chapter 8; the last is of Altman et al., "Statistics with Confidence"
    (2000), table 6.2.
    """
    assert paired_difference(59, 6, 16, 80) == pytest.approx(
        (-0.0621, -0.1186, -0.0046), abs=1e-4)
    assert paired_difference(1, 1, 7, 12) == pytest.approx((-0.286, -0.507, -0.026), abs=5e-4)
    assert paired_difference(14, 5, 0, 22) == pytest.approx((0.122, 0.011, 0.226), abs=6e-4)


@pytest.mark.parametrize('counts', [(50, 0, 0, 0), (0, 0, 0, 50), (0, 10, 0, 0), (3, 4, 5, 6)])
def test_a_paired_interval_holds_its_difference_and_turns_round_with_it(counts):
    both, first, second, neither = counts
    value, low, high = paired_difference(*counts)
    assert -1 <= low <= value <= high <= 1 and low < high
    assert paired_difference(both, second, first, neither) == pytest.approx(
        (-value, -high, -low))


def test_no_pairs_say_nothing():
    assert paired_difference(0, 0, 0, 0) == (0.0, -1.0, 1.0)
