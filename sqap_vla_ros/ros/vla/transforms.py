# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms from /tf and /tf_static, looked up on the inference thread.

Our own buffer also where tf2_ros is installed: a bag or a simulator without ROS goes through the
same code, it tells how far off the poses are that it interpolates between, and it is filled when
it is looked at, where tf2's Python listener falls behind a busy executor.
"""

from threading import Lock

import numpy as np
from rclpy.clock import Clock, ClockType
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer, TransformLookupError
from sqap_vla_ros.ingest.stamps import stamp_ns
from tf2_msgs.msg import TFMessage

from .polled import PolledSubscription
from .. import qos

READ_PERIOD_S = 0.05  # so that there is little to read when an image waits for it


class Transforms:
    """A TransformBuffer that reads what has come in before each look."""

    def __init__(self, node):
        self._node = node
        self._lock = Lock()  # between the executor thread and the one that looks
        self._buffer = TransformBuffer()
        self._moving = self._static = self._timer = None

    def setup(self, listener):
        """Subscribe; listener: has on_topic_problem(topic, message)."""
        self._moving = PolledSubscription(self._node, TFMessage, '/tf', qos.TF_POLLED)
        self._timer = self._node.create_timer(
            READ_PERIOD_S, self._read, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._static = self._node.create_subscription(
            TFMessage, '/tf_static', lambda message: self._insert(message, static=True),
            qos.TF_STATIC,
            event_callbacks=qos.subscription_events('/tf_static', listener.on_topic_problem))

    def teardown(self):
        """Unsubscribe and forget."""
        if self._moving is not None:
            with self._lock:
                self._moving.destroy()
                self._moving = None
            self._node.destroy_subscription(self._static)
            self._node.destroy_timer(self._timer)
        self._buffer = TransformBuffer()

    def clear(self):
        """Forget moving frames, after time has jumped back; what is still queued, too."""
        self._read()
        self._buffer.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Return the pose of source in target at a time; raises TransformLookupError."""
        self._read()
        return self._buffer.lookup(target, source, stamp_ns)

    def latest(self, target: str, source: str) -> Pose:
        """Return the newest pose of source in target; raises TransformLookupError."""
        self._read()
        return self._buffer.latest(target, source)

    def _read(self):
        with self._lock:
            for message in self._moving.take() if self._moving is not None else ():
                self._insert(message, static=False)

    def _insert(self, message, static):
        for transform in message.transforms:
            try:
                self._buffer.insert(transform.header.frame_id, transform.child_frame_id,
                                    pose_from_message(transform), static)
            except TransformLookupError as error:
                self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)


def pose_from_message(transform) -> Pose:
    """Return a geometry_msgs/TransformStamped as a Pose."""
    t, q = transform.transform.translation, transform.transform.rotation
    return Pose(np.array([t.x, t.y, t.z]), np.array([q.x, q.y, q.z, q.w]), stamp_ns(transform))
