# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One bag through the running node over DDS, and through `replay`: the same bits."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
import time

import numpy as np
import pytest
from ros_harness import World
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import TransformLookupError
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.observation import STATE_NAMES
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.run import Replay
from sqap_vla_ros.replay.topics import topic_map
from sqap_vla_ros.replay.variants import VariantOptions, Variants
from sqap_vla_ros.ros import qos
from sqap_vla_ros.ros.vla.config import NodeConfig
from sqap_vla_ros.support.resources import config_file
from tiny_checkpoint import save_tiny_checkpoint
import yaml

BAG = Path(__file__).parents[1] / 'data' / 'libero_bag'
END_S, KEEP = 0.95, 40
LOST_S = 2.0  # images are best effort: one may go before the node has found who sends it
PARAMETERS = {
    **yaml.safe_load(config_file('libero_sim.yaml').read_text())['/**']['ros__parameters'],
    'image_transport': 'compressed', 'keep_tokens': KEEP, 'execute_steps': 1, 'dry_run': True,
    'precision': 'w4a4', 'torch_threads': 1}


class Watched:
    """A policy, with what it was given and what it answered."""

    def __init__(self, policy):
        self._policy, self.seen = policy, []

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def infer(self, observation):
        """Answer, and remember."""
        chunk = self._policy.infer(observation)
        self.seen.append((observation, chunk))
        return chunk


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return a random policy that takes state and prunes, and so looks at everything."""
    path = tmp_path_factory.mktemp('models') / 'tiny'
    save_tiny_checkpoint(path)
    return path


def through_the_node(checkpoint, recording):
    """Return [(Observation, ActionChunk)] of the node that hears each message over DDS."""
    policy = Watched(load_policy(checkpoint, PolicyOptions(
        precision='w4a4', keep=KEEP, execute_steps=1, threads=1)))
    world = World(lambda config: policy, {**PARAMETERS, 'use_sim_time': True})
    try:
        player = Player(world, recording)
        player.play()
        return policy.seen
    finally:
        world.close()


class Player:
    """Publishes each message in its order, when the node has taken in those before."""

    def __init__(self, world, recording):
        self._world, self._recording, robot = world, recording, world.robot
        image = robot.create_publisher(_type('sensor_msgs/msg/CompressedImage'),
                                       'image/compressed', qos.SENSOR)
        self._publishers = {
            '/image/compressed': image, '/camera_info': robot.info, '/tf': robot.tf,
            '/tf_static': robot.tf_static, '/joint_states': robot.joints,
            '/instruction': robot.instruction}

    def play(self):
        """Play the beginning of the bag."""
        world, start_ns = self._world, self._recording.episodes[0].start_ns
        assert world.node.start(), world.node.problem
        world.until(lambda: all(publisher.get_subscription_count()
                                for publisher in self._publishers.values()))
        for message in self._recording.messages(
                self._publishers, start_ns, start_ns + round(END_S * 1e9)):
            world.robot.tick(message.time_ns)
            world.until(lambda: world.node.get_clock().now().nanoseconds >= message.time_ns)
            self._deliver(message)

    def _deliver(self, message):
        """Publish, again where it was lost on its way, until the node has taken it in."""
        publisher, sent_s = self._publishers[message.topic], time.monotonic()
        publisher.publish(message.data)
        self._world.until(self._has_come(message), meanwhile=lambda: (
            time.monotonic() - sent_s > LOST_S and publisher.publish(message.data)),
            period_s=LOST_S)
        self._world.until(lambda: not self._world.node._parts.inference.is_busy)

    def _has_come(self, message):
        parts = self._world.node._parts
        inputs, read = parts.inputs, message.read()
        has_come = {
            '/tf': lambda: _knows(parts.transforms, _stamp(read.transforms[0])),
            '/tf_static': lambda: read.transforms[0].child_frame_id in parts.transforms.frames(),
            '/joint_states': lambda: _has(inputs, _stamp(read)),
            '/camera_info': lambda: inputs.camera_info is not None
            and _stamp(inputs.camera_info) == _stamp(read),
            '/instruction': lambda: self._world.node._control.instructions.text,
            '/image/compressed': lambda: inputs.frame is not None
            and inputs.frame.stamp_ns == _stamp(read)}
        return has_come[message.topic]


def _stamp(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _knows(transforms, stamp_ns):
    try:
        return transforms.lookup('base', 'end_effector', stamp_ns)
    except TransformLookupError:
        return False


def _has(inputs, stamp_ns):
    try:
        return inputs.joints.newest('panda_finger_joint1')[0] == stamp_ns
    except ObservationError:
        return False


def _type(kind):
    package, _, name = kind.split('/')
    return getattr(import_module(f'{package}.msg'), name)


def through_replay(checkpoint, recording, out):
    """Return ([Look], Answers) of replay."""
    config = NodeConfig.from_parameters({**PARAMETERS, 'checkpoint': str(checkpoint)})
    topics = topic_map(recording.topics, cameras={'': 'compressed'})
    looking = LookOptions({'': ObserverOptions.of(config)}, state_names=STATE_NAMES,
                          image_timeout=config.image_timeout, end_s=END_S)
    variants = Variants(VariantOptions(
        checkpoint, replace(config.policy, precision=None, keep=None), ('sqap',), (KEEP,)))
    results, store = Replay(recording, topics, looking, variants, (), {}, out).run()
    store.close()
    return list(Looking(recording, topics, looking)), results.answers[0]


def test_a_bag_through_the_node_and_through_replay_is_the_same(checkpoint, tmp_path):
    recording = open_recording(BAG)
    looks, answers = through_replay(checkpoint, recording, tmp_path)
    rows = {look.stamp_ns: row for row, look in enumerate(looks)}
    seen = through_the_node(checkpoint, recording)
    assert len(looks) == 20 and len(seen) >= 15, 'all but those that came before it was ready'
    for live, chunk in seen:
        row = rows[live.stamp_ns]
        replayed = looks[row].observation
        np.testing.assert_array_equal(live.image, replayed.image)
        np.testing.assert_array_equal(live.state, replayed.state)
        np.testing.assert_array_equal(live.protected.pixels, replayed.protected.pixels)
        np.testing.assert_array_equal(live.protected.radii_px, replayed.protected.radii_px)
        assert live.protected.names == replayed.protected.names == ('end_effector',)
        assert (live.instruction, live.camera) == (replayed.instruction, replayed.camera)
        np.testing.assert_allclose(chunk.actions, answers.actions[row], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(chunk.selection.kept, np.flatnonzero(answers.kept[row]))
        np.testing.assert_array_equal(
            chunk.selection.reason, answers.reasons[row][chunk.selection.kept])
    assert np.ptp([live.state for live, _ in seen], axis=0)[:3].max() > 0.01, 'the arm moves'
    assert np.ptp(answers.actions, axis=0).max() > 1e-3
