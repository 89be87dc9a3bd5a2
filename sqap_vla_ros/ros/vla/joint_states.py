# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
joint_states, of arms that publish at 5 Hz and at 1 kHz: read when looked at, and on a timer.

Without the timer they would pile up while nobody looks, and who looks next would read them all at
once; with a callback each would cost the executor about a millisecond. So a look reads a bounded
number, and what is left is there at the next.
"""

from threading import Lock
import time

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.joints import JointHistory
from sqap_vla_ros.ingest.wire import JointReader
from sqap_vla_ros.support.timing import ProcessorTime, Rate

from .polled import PolledSubscription
from .. import qos
from ..qos_overrides import STREAM

READ_PERIOD_S = 0.05
MOST_AT_ONCE = 250  # messages: 1 kHz for a quarter of a second, or 5 kHz from one look to the next


class JointStates:
    """
    The history of some joints; may be looked at from several threads.

    rate, reading: of messages, and the processor time of reading them.
    """

    def __init__(self, node, names, future_s: float | None = None):
        """
        Remember the joints of these names; without any nothing is subscribed to.

        future_s: how far a stamp may be ahead of the node's clock, None for any.
        """
        self._node, self._future_s = node, future_s
        self._lock = Lock()  # between the executor thread and the one that infers
        self._history = JointHistory(names)
        self._topic = self._timer = None
        self._reader = JointReader()
        self.rate, self.reading = Rate(), ProcessorTime()

    def setup(self):
        """Subscribe."""
        if self._history.names:
            self._topic = PolledSubscription(
                self._node, JointState, 'joint_states', qos.JOINT_STATES, STREAM)
            self._timer = self._node.create_timer(
                READ_PERIOD_S, self._read, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def teardown(self):
        """Unsubscribe and forget."""
        if self._topic is not None:
            self._node.destroy_timer(self._timer)
            with self._lock:
                self._topic.destroy()
                self._topic = None
        self.forget()

    def forget(self):
        """Forget all positions; those that are still queued, too."""
        with self._lock:
            if self._topic is not None:
                self._topic.take(raw=True)
            self._history.clear()

    def misfits(self) -> dict:
        """Return what can't be received on the topic; see PolledSubscription."""
        return self._topic.misfits() if self._topic is not None else {}

    @property
    def history(self) -> JointHistory:
        """Return the history, with what has come in by now."""
        self._read()
        return self._history

    def _read(self):
        with self._lock, self.reading:
            found = self._topic.take(MOST_AT_ONCE, raw=True) if self._topic is not None else ()
            if found:
                self.rate.add(time.monotonic(), len(found))
                latest_ns = self._latest_ns()
                for data in found:
                    self._take(data, latest_ns)

    def _take(self, data, latest_ns):
        try:
            joints = self._reader.read(data)
        except ObservationError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        if joints is None:  # of another encoding
            self._history.add(self._topic.deserialized(data), latest_ns)
        else:
            self._history.take(*joints, latest_ns)

    def _latest_ns(self):
        """Return the latest that a stamp can be, 0 for any."""
        now_ns = 0 if self._future_s is None else self._node.get_clock().now().nanoseconds
        return now_ns and now_ns + round(self._future_s * 1e9)
