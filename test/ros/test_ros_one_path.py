# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One path: what a policy sees and what the arm is told is the same with and without ROS."""
import shutil
import threading

import golden_data
from libero_scene import libero_env
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sqap_vla_ros.evaluate.rollouts import run_episode
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.ros.simulator.node import LiberoSimNode
from sqap_vla_ros.ros.vla.node import VlaNode
from sqap_vla_ros.sim.options import INSTRUCTIONS, WRIST_CAMERA
from sqap_vla_ros.sim.units import COMMAND_SCALES
from sqap_vla_ros.support.resources import config_file
from tiny_checkpoint import save_tiny_checkpoint
import yaml

SEED, STEPS, EVERY = 5, 9, 4
TWO_CAMERAS = {'cameras': ['full', 'wrist'], 'wrist.max_image_change': 0.0}
REMAPPED = {f'full/{topic}': topic for topic in ('image', 'camera_info')}
# The simulator's frames are upright, where the benchmark's are upside down.
OFT_SAYS = {'action_space': {'preset': 'libero', 'execute_steps': EVERY},
            'image': {'preset': 'libero', 'rotate_180': False, 'mirror': True}}


class Recorded:
    """Another object, with what one of its methods was given kept in `given`."""

    def __init__(self, subject, method):
        self._subject, self.given = subject, []

        def keep(*args):
            self.given.append(args)
            return getattr(subject, method)(*args)
        setattr(self, method, keep)

    def __getattr__(self, name):
        return getattr(self._subject, name)

    def close(self):
        """Leave the environment to the tests that share it."""


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    """Return a random policy that prunes, and so looks at everything."""
    path = tmp_path_factory.mktemp('models') / 'tiny'
    save_tiny_checkpoint(path, INSTRUCTIONS, limit=2.0)  # some commands are beyond the limits
    return load_policy(path, keep=40)


def through_ros(policy, env, **parameters):
    """Let vla_node drive the simulator's node for an episode in lockstep."""
    remapped = REMAPPED if 'cameras' in parameters else {}
    context = rclpy.Context()
    rclpy.init(context=context)
    given = yaml.safe_load(config_file('libero_sim.yaml').read_text())['/**']['ros__parameters']
    node = VlaNode(lambda config: policy, context=context, parameter_overrides=[
        Parameter(name, value=value) for name, value in {
            **given, 'lockstep': True, 'use_sim_time': True, 'keep_tokens': 40,
            'autostart': True, **parameters}.items()],
        cli_args=['--ros-args', *(word for pair in remapped.items()
                                  for word in ('-r', ':='.join(pair)))])
    assert node.start(), node.problem
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        simulator = LiberoSimNode(lambda settings: env, context=context, parameter_overrides=[
            Parameter(name, value=value) for name, value in {
                'episodes': 1, 'seed': SEED, 'instruction': INSTRUCTIONS[SEED % 5],
                'max_steps': STEPS, 'image_every': EVERY, 'policy_timeout_s': 60.0,
                'wrist_camera': WRIST_CAMERA if remapped else ''}.items()])
        try:
            simulator.run()
        finally:
            simulator.close()
    finally:
        executor.shutdown()
        thread.join(10)
        node.take_apart()
        node.destroy_node()
        context.try_shutdown()


def test_a_recording_through_ros_and_through_eval_is_the_same(policy):
    seen, told = [], []
    for drive in (through_ros, lambda policy, env: run_episode(
            env, policy, SEED, INSTRUCTIONS[SEED % 5], max_steps=STEPS)):
        watched, env = Recorded(policy, 'infer'), Recorded(libero_env(), 'step')
        drive(watched, env)
        seen.append([observation for observation, in watched.given])
        told.append([np.append(twist, gripper) for twist, gripper in env.given])
    assert len(seen[0]) == len(seen[1]) == -(-STEPS // EVERY)
    starts = [observations[0].stamp_ns for observations in seen]
    for node, rollout in zip(*seen):
        np.testing.assert_array_equal(node.image, rollout.image)
        np.testing.assert_array_equal(node.state, rollout.state)
        np.testing.assert_array_equal(node.protected.pixels, rollout.protected.pixels)
        np.testing.assert_array_equal(node.protected.radii_px, rollout.protected.radii_px)
        assert node.protected.names == rollout.protected.names == ('end_effector',)
        assert node.instruction == rollout.instruction
        assert node.stamp_ns - starts[0] == rollout.stamp_ns - starts[1]
    assert len(told[0]) == len(told[1]) == STEPS and np.ptp(told[0], axis=0).min() > 0
    np.testing.assert_allclose(*told, rtol=0, atol=1e-9)
    speeds = np.linalg.norm(np.array(told[1])[:, :3], axis=1)
    assert speeds.max() == pytest.approx(0.5), 'a limit was met'


@pytest.fixture(scope='module')
def oft_policy(tmp_path_factory):
    """Return an OpenVLA-OFT of two images that prunes them together."""
    path = shutil.copytree(golden_data.oft('oft_tiny'), tmp_path_factory.mktemp('oft') / 'oft')
    golden_data.recipe().write_json(path / 'deployment.json', OFT_SAYS)
    return load_policy(path, keep=96)


def test_an_oft_sees_both_cameras_and_the_state_of_its_data_through_ros_as_in_eval(oft_policy):
    scale = COMMAND_SCALES['delta']
    seen, told = [], []
    for drive in (
            lambda policy, env: through_ros(
                policy, env, **TWO_CAMERAS, max_linear_speed=scale.limits.linear,
                max_angular_speed=scale.limits.angular),
            lambda policy, env: run_episode(
                env, policy, SEED, INSTRUCTIONS[SEED % 5], max_steps=STEPS)):
        shared = libero_env()
        shared.command_scale = scale
        watched, env = Recorded(oft_policy, 'infer'), Recorded(shared, 'step')
        drive(watched, env)
        seen.append([observation for observation, in watched.given])
        told.append([np.append(twist, gripper) for twist, gripper in env.given])
    assert len(seen[0]) == len(seen[1]) == -(-STEPS // EVERY)
    for node, rollout in zip(*seen):
        for name in ('full', 'wrist'):
            ours, theirs = node.view(name), rollout.view(name)
            np.testing.assert_array_equal(ours.image, theirs.image)
            np.testing.assert_allclose(
                ours.protected.pixels, theirs.protected.pixels, atol=1e-6)
            assert ours.protected.names == theirs.protected.names == ('end_effector',)
            assert ours.stamp_ns == node.stamp_ns and theirs.stamp_ns == rollout.stamp_ns
        assert node.camera == 'full' and list(node.views) == ['wrist']
        np.testing.assert_allclose(node.state, rollout.state, atol=1e-9)
        assert abs(node.state[3]) > 2.5 and node.state[2] > 0.9, 'it points down, in the world'
    assert len(told[0]) == len(told[1]) == STEPS and np.ptp(told[0], axis=0).min() > 0
    np.testing.assert_allclose(*told, rtol=0, atol=1e-6)
