# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms from /tf and /tf_static: tf2_ros where it is installed, our own buffer where not.

Both stand behind one small interface that never blocks; `kind` says which it is. Waiting is
the caller's business, because only the inference thread may wait.
"""

import numpy as np
from rclpy.time import Time
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer, TransformLookupError
from tf2_msgs.msg import TFMessage

from .. import qos

try:
    import tf2_ros
    WHY_OWN = ''
except ImportError as error:  # not installed, or installed with parts missing: say which
    tf2_ros = None
    WHY_OWN = f'own buffer ({error})'


def make_transforms(node, arrived):
    """Return the transforms of this machine; `arrived` is notified when some come in."""
    kind = OwnTransforms if tf2_ros is None else Tf2Transforms
    return kind(node, arrived)


class OwnTransforms:
    """A TransformBuffer fed from the two topics."""

    kind = WHY_OWN or 'own buffer'

    def __init__(self, node, arrived):
        """Keep the node; `arrived` is a threading.Condition."""
        self._node = node
        self._arrived = arrived
        self._buffer = TransformBuffer()
        self._subscriptions = []

    def setup(self, listener):
        """Subscribe; listener: has on_topic_problem(topic, message)."""
        for topic, profile, static in (('/tf', qos.TF, False),
                                       ('/tf_static', qos.TF_STATIC, True)):
            self._subscriptions.append(self._node.create_subscription(
                TFMessage, topic, lambda message, static=static: self._insert(message, static),
                profile,
                event_callbacks=qos.subscription_events(topic, listener.on_topic_problem)))

    def teardown(self):
        """Unsubscribe and forget."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        self._buffer = TransformBuffer()

    def clear(self):
        """Forget moving frames, after time has jumped back."""
        self._buffer.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Return the pose of source in target at a time; raises TransformLookupError."""
        return self._buffer.lookup(target, source, stamp_ns)

    def latest(self, target: str, source: str) -> Pose:
        """Return the newest pose of source in target; raises TransformLookupError."""
        return self._buffer.lookup(target, source)

    def _insert(self, message, static):
        for transform in message.transforms:
            try:
                self._buffer.insert(transform.header.frame_id, transform.child_frame_id,
                                    pose_from_message(transform), static)
            except TransformLookupError as error:
                self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)
        with self._arrived:
            self._arrived.notify_all()


class Tf2Transforms:
    """The same through tf2_ros."""

    kind = 'tf2_ros'

    def __init__(self, node, arrived):
        """Keep the node; tf2 has no hook for arrivals, so callers also wake by a short time."""
        self._node = node
        self._buffer = tf2_ros.Buffer()
        self._listener = None

    def setup(self, listener):
        """Subscribe, on the node's own executor; tf2 itself logs what is wrong with a topic."""
        self._listener = tf2_ros.TransformListener(self._buffer, self._node, spin_thread=False)

    def teardown(self):
        """Unsubscribe and forget."""
        if self._listener is not None:
            self._listener.unregister()
            self._listener = None
        self._buffer.clear()

    def clear(self):
        """Forget moving frames, after time has jumped back."""
        self._buffer.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Return the pose of source in target at a time; raises TransformLookupError."""
        return self._found(target, source, Time(nanoseconds=stamp_ns))

    def latest(self, target: str, source: str) -> Pose:
        """Return the newest pose of source in target; raises TransformLookupError."""
        return self._found(target, source, Time())

    def _found(self, target, source, time):
        try:
            found = self._buffer.lookup_transform(
                target.lstrip('/'), source.lstrip('/'), time)
        except tf2_ros.TransformException as error:
            raise TransformLookupError(f'no transform {target} -> {source}: {error}') from error
        return pose_from_message(found)


def pose_from_message(transform) -> Pose:
    """Return a geometry_msgs/TransformStamped as a Pose."""
    t, q = transform.transform.translation, transform.transform.rotation
    stamp = transform.header.stamp
    return Pose(np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w]),
                stamp.sec * 10**9 + stamp.nanosec)
