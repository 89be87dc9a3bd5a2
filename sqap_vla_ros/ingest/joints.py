# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The last positions of the joints asked for, from sensor_msgs/JointState.

The history is a time, not a number of messages: an arm may publish at 1 kHz and its gripper at
10 Hz, on one topic.
"""

from collections import deque

from .stamps import duration_text, stamp_ns
from ..errors import ObservationError

SPAN_S = 2.0


class JointHistory:
    """Positions of some joints over the last two seconds."""

    def __init__(self, names=(), span_s: float = SPAN_S):
        """Remember the joints of these names and no others."""
        self._span_ns = round(span_s * 1e9)
        self._samples = {name: deque() for name in names}

    @property
    def names(self) -> tuple:
        """Return the names of the joints."""
        return tuple(self._samples)

    def add(self, message):
        """Take the positions [m or rad] of a JointState; joints without one are passed over."""
        time_ns = stamp_ns(message)
        for name, position in zip(message.name, message.position):
            if name in self._samples:
                self._remember(self._samples[name], time_ns, position)

    def nearest(self, name: str, time_ns: int) -> tuple[float, float]:
        """
        Return (position, seconds between its stamp and the time), of the sample next to a time.

        Raises ObservationError when nothing is known of the joint.
        """
        samples = tuple(self._samples.get(name, ()))  # another thread may clear it meanwhile
        if not samples:
            raise ObservationError(f'joint_states has not told the position of {name!r}')
        found_ns, position = min(samples, key=lambda sample: abs(sample[0] - time_ns))
        return position, abs(found_ns - time_ns) * 1e-9

    def newest(self, name: str) -> tuple[int, float]:
        """
        Return (stamp in ns, position) of what was heard of a joint last.

        Raises ObservationError when nothing is known of it.
        """
        try:
            return self._samples[name][-1]
        except (KeyError, IndexError):
            raise ObservationError(
                f'joint_states has not told the position of {name!r}') from None

    def clear(self):
        """Forget all positions."""
        for samples in self._samples.values():
            samples.clear()

    def _remember(self, samples, time_ns, position):
        # By the newcomer, not by the newest: one stamp far in the future must not outlive it.
        while samples and abs(samples[0][0] - time_ns) > self._span_ns:
            samples.popleft()
        samples.append((time_ns, position))


def gripper_opening(joints, options, time_ns: int) -> float:
    """
    Return how far the gripper is open at a time, 0 closed .. 1 open, or beyond.

    Raises ObservationError when its joint was not heard near that time.
    """
    position, off_s = joints.nearest(options.gripper_joint, time_ns)
    limit_s = 0.0 if options.lockstep else options.tf_max_age
    if off_s > limit_s:
        raise ObservationError(
            f'joint_states of {options.gripper_joint!r} are {duration_text(off_s)} off the image '
            f'(limit: {"lockstep" if options.lockstep else "tf_max_age"}, {limit_s:g} s)')
    closed = options.gripper_closed_position
    return (position - closed) / (options.gripper_open_position - closed)
