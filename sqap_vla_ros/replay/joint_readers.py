# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From messages that command joints to rows of numbers: positions [rad, m] or velocities."""

from __future__ import annotations

import numpy as np

from .command_readers import Reader, Rows
from .results import Commands
from .topic_roles import ARRAY, ARRAY_32, JOG, TRAJECTORY, TRAJECTORY_POINT
from ..errors import ObservationError
from ..ingest.stamps import stamp_ns

LATEST_START_NS = 60 * 10**9  # a trajectory that is stamped further ahead is of another clock


class JointReader(Reader):
    """
    Joint commands of any type; the gripper among them becomes commands of its own.

    A point of a trajectory counts from when the one before it was to be reached, until another
    trajectory comes in.
    """

    def __init__(self, topic, settings):
        """Take the topic and what is known of the robot."""
        super().__init__(topic, settings)
        self._names, self._kind = None, ''
        self._rows = self._gripper = None
        self._ahead = []  # points of a trajectory whose time has not come

    def take(self, time_ns, message):
        """Take a message; raise ObservationError for one that makes no sense."""
        if self.topic.kind != TRAJECTORY:
            what = self._numbers(message)
            _check_finite(*what[1:])
            self._add(time_ns, self._known(*what), *what[1:])
            return
        ahead = self._points(self._begin(time_ns, message), message)
        self._reach(time_ns)
        self._ahead = ahead
        self._reach(time_ns)

    def _points(self, start_ns, message):
        """Return all points of a trajectory; of one that makes no sense none counts."""
        if not len(message.points):
            raise ObservationError('a trajectory without points')
        for point in message.points:
            _check_finite(point.positions, point.velocities)
        reached_ns = [_duration_ns(point.time_from_start) for point in message.points]
        if min(reached_ns) < 0 or reached_ns != sorted(reached_ns):
            raise ObservationError('points whose time_from_start goes back, or is below 0')
        found = []
        for begin_ns, point in zip([0, *reached_ns], message.points):
            what = (list(message.joint_names), point.positions, point.velocities)
            found.append((start_ns + begin_ns, self._known(*what), *what[1:]))
        return found

    def _begin(self, time_ns, message) -> int:
        stamped_ns = stamp_ns(message) + self.shift_ns
        return stamped_ns if time_ns < stamped_ns < time_ns + LATEST_START_NS else time_ns

    def _reach(self, time_ns):
        """Count the points up to a time."""
        while self._ahead and self._ahead[0][0] <= time_ns:
            self._add(*self._ahead.pop(0))

    def _numbers(self, message):
        """Return (names, positions, velocities) of a message that is no trajectory."""
        if self.topic.kind in (ARRAY, ARRAY_32):
            return [], message.data, ()
        if self.topic.kind == TRAJECTORY_POINT:
            return [], message.positions, message.velocities
        if self.topic.kind == JOG:
            return list(message.joint_names), (), message.velocities
        return list(message.name), message.position, message.velocity

    def _known(self, names, positions, velocities):
        """Return the order of a message's numbers in the rows; learn it from the first one."""
        kind = 'joints' if len(positions) else 'joint_velocity'
        numbers = positions if len(positions) else velocities
        names = names or self._unnamed(len(numbers))
        if len(names) != len(numbers) or not len(numbers):
            raise ObservationError(f'{len(names)} names and {len(numbers)} numbers')
        if self._names is None:
            self._learn(names, kind)
        if kind != self._kind:
            raise ObservationError(f'it tells {kind}, and those before {self._kind}')
        missing = [name for name in self._names if name not in names]
        if missing:
            raise ObservationError(f'it does not tell {", ".join(missing)}, as the first one did')
        return [names.index(name) for name in self._names]

    def _unnamed(self, count):
        """Return names for so many numbers; raise ObservationError where there are none."""
        arm = [name for name in self.settings.arm_joints if name != 'gripper']
        gripper = self.settings.gripper_joint or 'gripper'
        for names in (arm, [*arm, gripper]):
            if arm and len(names) == count:
                return names
        raise ObservationError(
            f'{count} numbers without names, but arm_joints are {arm or "not set"}: set that '
            'parameter in --config')

    def _learn(self, names, kind):
        gripper = [name for name in names if name in (self.settings.gripper_joint, 'gripper')]
        arm = [name for name in self.settings.arm_joints if name in names] or [
            name for name in names if name not in gripper]
        self._names, self._kind = arm + gripper[:1], kind
        self._rows = Rows(len(arm))
        self._gripper = Rows(1) if gripper and kind == 'joints' else None

    def _add(self, time_ns, order, positions, velocities):
        numbers = positions if len(positions) else velocities
        row = [float(numbers[index]) for index in order]
        self._rows.add(time_ns, row[:self._rows.width])
        if self._gripper is not None:
            self._gripper.add(time_ns, [self.settings.opening(row[-1])])

    def commands(self) -> list[Commands]:
        """Return positions or velocities of the arm, and the gripper's opening if it was told."""
        while self._ahead:
            self._add(*self._ahead.pop(0))
        if self._rows is None:
            return []
        arm = self._names[:self._rows.width]
        found = [self._rows.commands(self.topic.name, self._kind, arm)] if arm else []
        if self._gripper is not None:
            found.append(self._gripper.commands(self.topic.name, 'gripper', ('gripper',)))
        return found


def _check_finite(positions, velocities):
    if not np.isfinite(positions if len(positions) else velocities).all():
        raise ObservationError('numbers that are not finite')


def _duration_ns(duration) -> int:
    return duration.sec * 10**9 + duration.nanosec
