# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
joint_states at the rate of a real arm's driver, beside the simulator's 20 control steps a second.

The physics runs at 500 Hz, a control step of it at once, when that begins; a thread of its own
then tells the joints at the times at which they are so. In between two physics steps they
are interpolated: at 1 kHz every other message is. Where the physics is late, which it is while an
image is rendered, the newest joints are told again with new stamps.
"""
from bisect import bisect_right
from collections import deque
import threading
import time

import numpy as np
from rclpy.clock import Clock
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.simulator.faults import Faults
from sqap_vla_ros.sim.sensors import joint_state_fields
from std_msgs.msg import Header

HISTORY = 250  # physics steps
MOST_BEHIND_S = 0.05  # what is lost beyond this is not caught up


class JointStream:
    """
    Publishes joint_states at a rate from `start` to `close`.

    The simulator's thread tells what there is by begin, at and note; a lock keeps them apart.
    """

    def __init__(self, publisher: Publisher, clock: Clock, rate: float, faults):
        """Keep what is needed; faults: texts of a schedule, whose joints_ and clock_ count."""
        self._publisher, self._clock, self._period_s = publisher, clock, 1 / rate
        self._faults = Faults(faults)
        self._lock = threading.Lock()
        self._times_ns, self._states = deque(maxlen=HISTORY), deque(maxlen=HISTORY)
        self._names = None
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread; nothing is published before `note`."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self, seed: int) -> None:
        """Forget the last episode."""
        with self._lock:
            self._faults.begin(seed)
            self._times_ns.clear()
            self._states.clear()

    def at(self, time_s: float) -> None:
        """Go on to a time of the episode, for the faults."""
        with self._lock:
            self._faults.at(time_s)

    def note(self, time_ns: int, env) -> None:
        """Keep the joints of an environment at a time."""
        fields = joint_state_fields(env)
        state = np.array([fields['position'], fields['velocity']])
        with self._lock:
            self._names = fields['name']
            if not self._times_ns or time_ns > self._times_ns[-1]:
                self._times_ns.append(time_ns)
                self._states.append(state)

    def state_at(self, time_ns: int) -> np.ndarray | None:
        """Return positions and velocities [2, n] at a time; None before anything is known."""
        after = bisect_right(self._times_ns, time_ns)
        if not self._times_ns:
            return None
        if after in (0, len(self._times_ns)):
            return self._states[max(after - 1, 0)]
        before_ns, after_ns = self._times_ns[after - 1], self._times_ns[after]
        share = (time_ns - before_ns) / (after_ns - before_ns)
        return (1 - share) * self._states[after - 1] + share * self._states[after]

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._is_closed.wait(max(0.0, due_s - time.monotonic())):
            self._publish()
            due_s = max(due_s + self._period_s, time.monotonic() - MOST_BEHIND_S)

    def _publish(self) -> None:
        now_ns = self._clock.now().nanoseconds
        with self._lock:
            state = self.state_at(now_ns)
            if state is None:
                return
            stamp = time_message(now_ns + self._faults.clock_offset_ns)
            message = JointState(header=Header(stamp=stamp), name=self._names,
                                 position=state[0].tolist(), velocity=state[1].tolist())
            pairs = self._faults.overdue() + self._faults.applied(
                'joints', self._publisher, message)
        for publisher, message in pairs:
            publisher.publish(message)
