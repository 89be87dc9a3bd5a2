# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms over /tf and /tf_static, read when they are looked up; SciPy is the oracle."""

import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: run `make setup`')
pytest.importorskip('sqap_vla_ros.msg', reason='needs the built messages: run `make setup`')

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from ros_harness import transform, World  # noqa: E402
from scipy.spatial.transform import Rotation, Slerp  # noqa: E402
from sqap_vla_ros.geometry.transform_buffer import TransformLookupError  # noqa: E402
from sqap_vla_ros.ros import qos  # noqa: E402
from sqap_vla_ros.ros.vla.polled import PolledSubscription  # noqa: E402
from sqap_vla_ros.ros.vla.transforms import Transforms  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

pytestmark = pytest.mark.ros
SECOND = 10**9
START = 1_790_000_000 * SECOND


class Wire(World):
    """A publisher of transforms and a source of them."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.node = Node('transforms', context=self.context)
        self.executor.add_node(self.node)
        self.tf = self.node.create_publisher(TFMessage, '/tf', qos.TF)
        self.tf_static = self.node.create_publisher(TFMessage, '/tf_static', qos.TF_STATIC)
        self.robot = type('Nobody', (), {'diagnostics': {}})
        self.source = Transforms(self.node)
        self.source.setup(self)
        self.until(lambda: self.tf.get_subscription_count()
                   and self.tf_static.get_subscription_count())

    def on_topic_problem(self, topic, message):
        raise AssertionError(f'{topic}: {message}')

    def close(self):
        self.source.teardown()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def send(self, parent, child, translation, quaternion, stamp_ns, static=False):
        """Publish one transform."""
        message = transform(parent, child, [float(value) for value in translation], stamp_ns)
        rotation = message.transform.rotation
        rotation.x, rotation.y, rotation.z, rotation.w = map(float, quaternion)
        (self.tf_static if static else self.tf).publish(TFMessage(transforms=[message]))

    def until_known(self, *frames):
        """Spin until there is a newest transform between two frames."""
        def is_known():
            try:
                self.source.latest(*frames)
            except TransformLookupError:
                return False
            return True
        self.until(is_known)


@pytest.fixture
def wire():
    """Return a publisher and a source."""
    wire = Wire()
    yield wire
    wire.close()


def test_between_two_stamps_it_is_lerp_and_slerp(wire):
    rotations = Rotation.from_rotvec([[0.1, 0.2, 0.3], [-0.4, 1.2, 0.5]])
    translations = np.array([[1.0, 2.0, 3.0], [2.0, 0.0, 3.5]])
    for index, quaternion in enumerate(rotations.as_quat()):
        # the same rotation with the other sign must not send it the long way round
        wire.send('base', 'tool', translations[index], quaternion * (1 - 2 * index),
                  START + index * SECOND)
    wire.send('base', 'camera', (0.5, 0, 0), (0, 0, 0, 1), START, static=True)
    wire.until(lambda: _finds(wire, START + SECOND))
    for ratio in (0.0, 0.25, 0.9, 1.0):
        pose = wire.source.lookup('camera', 'tool', START + round(ratio * SECOND))
        expected = (1 - ratio) * translations[0] + ratio * translations[1] - (0.5, 0, 0)
        np.testing.assert_allclose(pose.translation, expected, atol=1e-9)
        turn = Rotation.from_quat(pose.quaternion).inv() * Slerp([0, 1], rotations)(ratio)
        assert turn.magnitude() < 1e-6


def _finds(wire, stamp_ns, target='camera'):
    try:
        wire.source.lookup(target, 'tool', stamp_ns)
    except TransformLookupError:
        return False
    return True


def test_outside_what_was_heard_there_is_no_transform(wire):
    for offset in (0, SECOND):
        wire.send('base', 'tool', (0, 0, 0), (0, 0, 0, 1), START + offset)
    wire.until_known('base', 'tool')
    wire.until(lambda: wire.source.latest('base', 'tool').stamp_ns == START + SECOND)
    for stamp_ns in (START - 1, START + SECOND + 1):
        with pytest.raises(TransformLookupError, match='no transform base -> tool'):
            wire.source.lookup('base', 'tool', stamp_ns)


def test_unknown_frames_are_an_error_that_names_them(wire):
    with pytest.raises(TransformLookupError, match='nowhere'):
        wire.source.lookup('base', 'nowhere', START)
    with pytest.raises(TransformLookupError, match='nowhere'):
        wire.source.latest('base', 'nowhere')


def test_a_broken_transform_is_ignored(wire):
    wire.send('base', 'tool', (float('nan'), 0, 0), (0, 0, 0, 1), START)
    wire.send('base', 'tool', (0, 0, 0), (0, 0, 0, 0), START + 1)
    wire.send('base', 'tool', (1, 2, 3), (0, 0, 0, 1), START + 2)
    wire.until_known('base', 'tool')
    wire.until(lambda: wire.source.latest('base', 'tool').stamp_ns == START + 2)
    with pytest.raises(TransformLookupError):
        wire.source.lookup('base', 'tool', START + 1)


def test_transforms_that_came_in_while_nobody_looked_are_all_there(wire):
    """No executor runs meanwhile: it may be busy, and the newest pose is found all the same."""
    for millisecond in range(500):
        wire.send('base', 'tool', (millisecond, 0, 0), (0, 0, 0, 1), START + millisecond * 10**6)
    wire.tf.wait_for_all_acked()
    end = time.monotonic() + 10.0
    while not _finds(wire, START + 499 * 10**6, 'base') and time.monotonic() < end:
        time.sleep(0.005)
    for millisecond in (0, 250, 499):
        pose = wire.source.lookup('base', 'tool', START + millisecond * 10**6)
        assert pose.translation[0] == millisecond and pose.off_ns == 0


def test_transforms_that_were_still_queued_when_time_jumped_back_are_forgotten(wire):
    wire.send('base', 'camera', (1, 0, 0), (0, 0, 0, 1), START, static=True)
    wire.until_known('base', 'camera')
    other = PolledSubscription(wire.node, TFMessage, '/tf', qos.TF_POLLED)
    wire.until(lambda: wire.tf.get_subscription_count() == 2)
    wire.send('base', 'tool', (1, 0, 0), (0, 0, 0, 1), START + 100 * SECOND)
    while not other.take():  # nothing spins, so the source has not read it
        time.sleep(0.01)
    wire.source.clear()
    wire.send('base', 'tool', (2, 0, 0), (0, 0, 0, 1), START)
    wire.until(lambda: _finds(wire, START, 'base'))
    assert wire.source.latest('camera', 'tool').translation[0] == 1
