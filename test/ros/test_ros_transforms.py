# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms over /tf and /tf_static, read when they are looked up."""

import time

import numpy as np
from observer_scene import NOW_NS, OPTIONS, picture, Scene
import pytest
import rclpy
from rclpy.node import Node
from ros_harness import spinner, transform, World
from scipy.spatial.transform import Rotation
from sqap_vla_ros.geometry.transform_buffer import TransformLookupError
from sqap_vla_ros.ingest.observer import Observer
from sqap_vla_ros.ingest.stamps import future_s
from sqap_vla_ros.ros import qos
from sqap_vla_ros.ros.vla.polled import PolledSubscription
from sqap_vla_ros.ros.vla.transforms import Transforms
from tf2_msgs.msg import TFMessage

SECOND = 10**9
START = 1_700_000_000 * SECOND


class Wire(World):
    """A publisher of transforms and a source of them."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node('transforms', context=self.context)
        self.executors = [spinner(self.node, self.context)]
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
        self.executors[0].shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def send(self, child, translation, stamp_ns, quaternion=(0, 0, 0, 1), static=False):
        """Publish the transform of a frame in the base."""
        message = transform('base', child, [float(value) for value in translation], stamp_ns)
        rotation = message.transform.rotation
        rotation.x, rotation.y, rotation.z, rotation.w = map(float, quaternion)
        (self.tf_static if static else self.tf).publish(TFMessage(transforms=[message]))

    def finds(self, stamp_ns, target='base'):
        """Return whether there is a transform of the tool at a time."""
        try:
            return bool(self.source.lookup(target, 'tool', stamp_ns))
        except TransformLookupError:
            return False


@pytest.fixture
def wire():
    """Return a publisher and a source."""
    wire = Wire()
    yield wire
    wire.close()


def test_transforms_that_came_in_while_nobody_looked_are_all_there(wire):
    """No executor runs meanwhile: it may be busy, and the newest pose is found all the same."""
    quaternion = Rotation.from_euler('xyz', [0.1, 1.2, -2.0]).as_quat()
    for broken in ((np.nan, 0, 0), (0, np.inf, 0)):
        wire.send('tool', broken, START)  # is ignored
    for millisecond in range(500):
        wire.send('tool', (millisecond, 2, 3), START + millisecond * 10**6, quaternion)
    wire.tf.wait_for_all_acked()
    end = time.monotonic() + 60.0
    while not wire.finds(START + 499 * 10**6) and time.monotonic() < end:
        time.sleep(0.005)
    for millisecond in (0, 250, 499):
        pose = wire.source.lookup('base', 'tool', START + millisecond * 10**6)
        assert pose.translation.tolist() == [millisecond, 2, 3] and pose.off_ns == 0
        np.testing.assert_allclose(pose.quaternion, quaternion)


def test_transforms_that_were_still_queued_when_time_jumped_back_are_forgotten(wire):
    wire.send('camera', (1, 0, 0), START, static=True)
    other = PolledSubscription(wire.node, TFMessage, '/tf', qos.TF_POLLED)
    wire.until(lambda: wire.tf.get_subscription_count() == 2)
    wire.send('tool', (1, 0, 0), START + 100 * SECOND)
    while not other.take():  # nothing spins, so the source has not read it
        time.sleep(0.01)
    wire.source.clear()
    wire.send('tool', (2, 0, 0), START)
    wire.until(lambda: wire.finds(START, 'camera'))
    assert wire.source.latest('camera', 'tool').translation[0] == 1


def test_transforms_ahead_of_the_clock_are_told_and_do_not_block_others(wire):
    """Else the pose that has the image's stamp would be one that was measured long before."""
    wire.source.teardown()
    wire.source = Transforms(wire.node, future_s(lockstep=False, use_sim_time=False))
    wire.source.setup(wire)
    wire.until(lambda: wire.tf.get_subscription_count())
    now_ns = wire.node.get_clock().now().nanoseconds
    for ahead_s in (5, 0.5, 3600):
        wire.send('tool', (9, 0, 0), now_ns + round(ahead_s * SECOND))
    wire.send('tool', (1, 0, 0), now_ns)
    wire.until(lambda: wire.finds(now_ns))
    assert wire.source.latest('base', 'tool').translation[0] == 1
    with pytest.raises(TransformLookupError, match='after the newest.*transform base -> tool is '
                       r'ignored: it is stamped .* in the future \(limit: 0.1 s\)'):
        wire.source.lookup('base', 'tool', now_ns + SECOND)


@pytest.mark.parametrize('lockstep, use_sim_time, expected', [
    (False, False, 0.1), (False, True, 0.5), (True, True, None)])
def test_how_far_ahead_depends_on_whose_time_it_is(lockstep, use_sim_time, expected):
    assert future_s(lockstep, use_sim_time) == expected


def test_tf_of_two_arms_is_told_apart_by_remapping(wire):
    rules = [word for topic in ('tf', 'tf_static') for word in ('-r', f'/{topic}:=/left/{topic}')]
    left = Node('left', context=wire.context, cli_args=['--ros-args', *rules])
    source = Transforms(left)
    source.setup(wire)
    moving = wire.node.create_publisher(TFMessage, '/left/tf', qos.TF)
    static = wire.node.create_publisher(TFMessage, '/left/tf_static', qos.TF_STATIC)
    wire.executors.append(spinner(left, wire.context))
    wire.until(lambda: moving.get_subscription_count() and static.get_subscription_count())
    wire.send('tool', (1, 0, 0), START)
    wire.send('camera', (1, 0, 0), START, static=True)
    for publisher, child in ((moving, 'tool'), (static, 'camera')):
        publisher.publish(TFMessage(transforms=[transform('base', child, (2.0, 0.0, 0.0), START)]))

    def hears():
        try:
            return source.lookup('base', 'tool', START), source.latest('base', 'camera')
        except TransformLookupError:
            return None
    wire.until(hears)
    wire.until(lambda: wire.finds(START))
    assert [pose.translation[0] for pose in hears()] == [2, 2]
    assert wire.source.latest('base', 'tool').translation[0] == 1
    source.teardown()
    wire.executors.pop().shutdown()
    left.destroy_node()


def test_how_far_off_poses_may_be_is_no_question_that_counts():
    scene, source = Scene(), Transforms(None)
    scene.place('hand', NOW_NS - SECOND // 5)
    source._intake.buffer = scene.buffer
    observation, _ = Observer(OPTIONS, scene.heard, source).observe(
        picture(NOW_NS + SECOND // 20), 'go')  # TF is a little older
    assert observation.protected.radii_px.min() > 0
    facts = source.lookups.facts(1.0)
    assert facts['lookups'] == 3, 'of the camera, the hand and the finger'
    assert not source.lookups.not_found
