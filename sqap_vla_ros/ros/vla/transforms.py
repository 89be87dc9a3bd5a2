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
from sqap_vla_ros.ingest.transform_intake import TransformIntake
from sqap_vla_ros.ingest.wire import read_transforms, wire_transform
from sqap_vla_ros.support.timing import ProcessorTime
from tf2_msgs.msg import TFMessage

from .polled import PolledSubscription
from .. import qos
from ..qos_overrides import changeable, STREAM, TF_STATIC

READ_PERIOD_S = 0.05  # so that there is little to read when an image waits for it


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
        self._node, self._intake = node, TransformIntake(future_s)
        self._lock = Lock()  # between the executor thread and the one that looks
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
        self._intake = TransformIntake(self._intake.future_s)

    def clear(self):
        """Forget moving frames, after time has jumped back; what is still queued, too."""
        self._read()
        self._intake.buffer.clear()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Return the pose of source in target at a time; raises TransformLookupError."""
        frames = target, source
        try:
            pose = self._ask('lookup', *frames, stamp_ns)
        except TransformLookupError as error:
            self.lookups.note(frames, stamp_ns, time.monotonic(), error.reason)
            raise
        self.lookups.note(frames, stamp_ns, time.monotonic())
        return pose

    def latest(self, target: str, source: str) -> Pose:
        """Return the newest pose of source in target; raises TransformLookupError."""
        return self._ask('latest', target, source)

    @property
    def filled_buffer(self) -> TransformBuffer:
        """Return what was heard until now, to look at without being counted."""
        self._read()
        return self._intake.buffer

    def frames(self) -> set[str]:
        """Return the names of all frames that were heard of."""
        self._read()
        return self._intake.buffer.frames()

    def steps(self, target: str, source: str, since_ns: int) -> list:
        """Return what was heard of the frames between two; see TransformBuffer.steps."""
        return self._ask('steps', target, source, since_ns)

    def span(self, target: str, source: str) -> tuple[int, int] | None:
        """Return since and until when what moves between two is known; see TransformBuffer."""
        return self._ask('span', target, source)

    def _ask(self, question, *frames_and_time):
        """Read, then look; what is not found may have been refused."""
        self._read()
        try:
            return getattr(self._intake.buffer, question)(*frames_and_time)
        except TransformLookupError as error:
            raise self._intake.explained(error, time.monotonic()) from None

    def _read(self):
        with self._lock, self.reading:
            found = self._moving.take(raw=True) if self._moving is not None else ()
            if not found:
                return
            now_ns, newest = self._node.get_clock().now().nanoseconds, None
            for data in found:
                transforms = list(self._transforms(data))
                for refused in self._intake.take_moving(transforms, now_ns, time.monotonic()):
                    self._tell(refused)
                newest = transforms[-1] if transforms else newest
            self.lookups.heard(len(found), time.monotonic(), newest and (
                now_ns - newest.stamp_ns) * 1e-9)

    def _transforms(self, data):
        """Return the WireTransforms of a serialized message, none of a damaged one."""
        try:
            found = read_transforms(data)
        except ObservationError as error:
            self._tell(self._intake.refuse(error, time.monotonic()))
            return ()
        if found is None:  # of another encoding
            return map(wire_transform, self._moving.deserialized(data).transforms)
        return found

    def _insert_static(self, message):
        for transform in message.transforms:
            self._tell(self._intake.take(wire_transform(transform), None, time.monotonic()))

    def _tell(self, refused: str):
        if refused:
            self.lookups.refused += 1
            self._node.get_logger().warning(refused, throttle_duration_sec=5.0)
