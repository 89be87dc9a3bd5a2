# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms from /tf and /tf_static, looked up on the inference thread.

Our own buffer also where tf2_ros is installed: a bag or a simulator without ROS goes through the
same code, it tells how far off the poses are that it interpolates between, and it is filled when
it is looked at, where tf2's Python listener falls behind a busy executor.
"""

from threading import Lock
import time

from rclpy.clock import Clock, ClockType
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer, TransformLookupError
from sqap_vla_ros.ingest.lookups import Lookups
from sqap_vla_ros.ingest.stamps import duration_text, FUTURE_S, stamp_ns
from sqap_vla_ros.ingest.wire import read_transforms, WireTransform
from sqap_vla_ros.support.timing import ProcessorTime
from tf2_msgs.msg import TFMessage

from .polled import PolledSubscription
from .. import qos
from ..qos_overrides import changeable, STREAM, TF_STATIC

READ_PERIOD_S = 0.05  # so that there is little to read when an image waits for it
REFUSED_S = 2.0  # for how long what was refused explains what is missing
SIMULATED_FUTURE_S = 0.5  # /clock may come more rarely, and later, than the TF of its time


class Transforms:
    """
    A TransformBuffer that reads what has come in before each look.

    lookups, reading: what became of them, and the processor time of reading.
    """

    def __init__(self, node, future_s: float | None = None):
        """
        Make an empty one.

        future_s: how far a stamp may be ahead of the node's clock, None for any: the pose that
        now has the image's stamp was measured that much before it.
        """
        self._node, self._future_s = node, future_s
        self._refused = None  # (monotonic time, why) of the last one
        self._lock = Lock()  # between the executor thread and the one that looks
        self._buffer = TransformBuffer()
        self._moving = self._static = self._timer = None
        self.lookups, self.reading = Lookups(), ProcessorTime()

    def setup(self, listener):
        """Subscribe, unless that is done; listener: has on_topic_problem(topic, message)."""
        if self._moving is not None:
            return
        self._moving = PolledSubscription(self._node, TFMessage, '/tf', qos.TF_POLLED, STREAM)
        self._timer = self._node.create_timer(
            READ_PERIOD_S, self._read, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._static = self._node.create_subscription(
            TFMessage, '/tf_static', self._insert_static,
            event_callbacks=qos.subscription_events(
                self._node.resolve_topic_name('/tf_static'), listener.on_topic_problem),
            **changeable(qos.TF_STATIC, TF_STATIC))

    @property
    def is_read(self) -> bool:
        """Return whether TF is subscribed to."""
        return self._moving is not None

    def misfits(self) -> dict:
        """Return what can't be received on /tf; see PolledSubscription."""
        return self._moving.misfits() if self._moving is not None else {}

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
        frames = target, source
        try:
            pose = self._ask(self._buffer.lookup, *frames, stamp_ns)
        except TransformLookupError as error:
            self.lookups.note(frames, stamp_ns, time.monotonic(), error.reason)
            raise
        self.lookups.note(frames, stamp_ns, time.monotonic())
        return pose

    def latest(self, target: str, source: str) -> Pose:
        """Return the newest pose of source in target; raises TransformLookupError."""
        return self._ask(self._buffer.latest, target, source)

    @property
    def filled_buffer(self) -> TransformBuffer:
        """Return what was heard until now, to look at without being counted."""
        self._read()
        return self._buffer

    def frames(self) -> set[str]:
        """Return the names of all frames that were heard of."""
        self._read()
        return self._buffer.frames()

    def steps(self, target: str, source: str, since_ns: int) -> list:
        """Return what was heard of the frames between two; see TransformBuffer.steps."""
        return self._ask(self._buffer.steps, target, source, since_ns)

    def span(self, target: str, source: str) -> tuple[int, int] | None:
        """Return since and until when what moves between two is known; see TransformBuffer."""
        return self._ask(self._buffer.span, target, source)

    def _ask(self, question, *frames_and_time):
        """Read, then look; what is not found may have been refused."""
        self._read()
        try:
            return question(*frames_and_time)
        except TransformLookupError as error:
            if self._refused is None or time.monotonic() - self._refused[0] > REFUSED_S:
                raise
            raise TransformLookupError(
                f'{error} ({self._refused[1]})', error.reason) from error

    def _read(self):
        with self._lock, self.reading:
            found = self._moving.take(raw=True) if self._moving is not None else ()
            if not found:
                return
            now_ns, newest = self._node.get_clock().now().nanoseconds, None
            for data in found:
                for newest in self._transforms(data):
                    self._insert(newest, now_ns)
            self.lookups.heard(len(found), time.monotonic(), newest and (
                now_ns - newest.stamp_ns) * 1e-9)

    def _transforms(self, data):
        """Return the WireTransforms of a serialized message, none of a damaged one."""
        try:
            found = read_transforms(data)
        except ObservationError as error:
            self._refuse(error)
            return ()
        if found is None:  # of another encoding
            return map(wire_transform, self._moving.deserialized(data).transforms)
        return found

    def _insert_static(self, message):
        for transform in message.transforms:
            self._insert(wire_transform(transform))

    def _insert(self, transform, now_ns: int | None = None):
        """Take a transform; now_ns: the node's time, None for one that is static."""
        try:
            if now_ns and self._future_s is not None:
                self._check_stamp(transform, now_ns)
            self._buffer.insert_numbers(*transform, static=now_ns is None)
        except TransformLookupError as error:
            self._refuse(error)

    def _refuse(self, error):
        self._refused = time.monotonic(), str(error)
        self.lookups.refused += 1
        self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _check_stamp(self, transform, now_ns):
        ahead_s = (transform.stamp_ns - now_ns) * 1e-9
        if ahead_s > self._future_s:
            raise TransformLookupError(
                f'transform {transform.parent} -> {transform.child} is ignored: '
                f'it is stamped {duration_text(ahead_s)} in the future (limit: '
                f"{self._future_s:g} s): synchronize the robot's clock, or check use_sim_time")


def future_s(lockstep: bool, use_sim_time: bool) -> float | None:
    """Return how far TF may be ahead of the node's clock; None for any: lockstep's is exact."""
    return None if lockstep else SIMULATED_FUTURE_S if use_sim_time else FUTURE_S


def wire_transform(message) -> WireTransform:
    """Return a geometry_msgs/TransformStamped as a WireTransform."""
    t, q = message.transform.translation, message.transform.rotation
    return WireTransform(message.header.frame_id, message.child_frame_id, stamp_ns(message),
                         (t.x, t.y, t.z, q.x, q.y, q.z, q.w))
