# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A joint trajectory as ros2_control's joint_trajectory_controller (JTC) takes and follows it.

Written after the controller's defaults (ros2_controllers, August 2026), with no ROS in here:
which messages are refused, that a new trajectory replaces the old one at once and starts from the
measured state, linear between positions alone and cubic where both ends have velocities, and the
last point held at the end. A stamp in the future does not begin the trajectory later: the first
point is approached over the whole time until then, which is how a robot that gets the next
chunk before that hardly moves.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LAST_VELOCITY = 1.2e-7  # rad/s beyond which a trajectory does not end at rest


class TrajectoryError(ValueError):
    """A trajectory that the controller refuses; reason: a word to count it by."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Trajectory:
    """
    An accepted trajectory, joints in the controller's order.

    stamp_ns: when it starts, None for as soon as it is taken.  times_ns: int64 [N] from its
    start.  positions: float64 [N, n] rad.  velocities: [N, n] rad/s, or None.
    """

    stamp_ns: int | None
    times_ns: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray | None


def read_trajectory(message, joints, now_ns: int) -> Trajectory:
    """
    Return a trajectory_msgs/JointTrajectory for a controller of these joints.

    message: with its fields joint_names, points and header.stamp.  Raises TrajectoryError for
    what JTC refuses by default, and for accelerations, which this one does not follow.
    """
    names, points = list(message.joint_names), message.points
    if len(names) != len(joints) or len(set(names)) != len(names):
        raise TrajectoryError('joints', f'{len(names)} joints ({", ".join(names)}), expected '
                              f'each of {", ".join(joints)} once')
    if not points:
        raise TrajectoryError('empty', 'no points')
    unknown = [name for name in names if name not in joints]
    if unknown:
        raise TrajectoryError('joints', f'unknown joint {unknown[0]}, expected '
                              f'{", ".join(joints)}')
    order = [names.index(name) for name in joints]
    times_ns = np.array([_nanoseconds(point.time_from_start) for point in points], np.int64)
    positions = _columns(points, 'positions', order)
    velocities = _columns(points, 'velocities', order) if any(
        len(point.velocities) for point in points) else None
    stamp_ns = _nanoseconds(message.header.stamp)
    _check_end(points, velocities)
    if stamp_ns and stamp_ns + times_ns[-1] < now_ns:
        raise TrajectoryError('late', f'it ended {(now_ns - stamp_ns - times_ns[-1]) / 1e9:.3f} '
                              's ago: header.stamp 0 starts a trajectory now')
    if (np.diff(times_ns) <= 0).any() or times_ns[0] < 0:
        raise TrajectoryError('times', f'time_from_start is {np.round(times_ns / 1e9, 4)} s, '
                              'expected strictly increasing times')
    return Trajectory(stamp_ns or None, times_ns, positions, velocities)


def _columns(points, field: str, order) -> np.ndarray:
    """Return a field of all points [N, n] in the controller's order; raise TrajectoryError."""
    rows = [np.asarray(getattr(point, field), np.float64) for point in points]
    for number, row in enumerate(rows):
        if len(row) != len(order):
            raise TrajectoryError('sizes', f'{len(row)} {field} at point {number} for '
                                  f'{len(order)} joints')
        if not np.isfinite(row).all():
            raise TrajectoryError('non_finite', f'{field} {row} at point {number}')
    return np.array(rows)[:, order]


def _check_end(points, velocities) -> None:
    if velocities is not None and np.abs(velocities[-1]).max() > LAST_VELOCITY:
        raise TrajectoryError('moving_end', f'velocities {velocities[-1]} rad/s at the last '
                              'point, expected rest there')
    for field in ('accelerations', 'effort'):
        if any(len(getattr(point, field)) for point in points):
            raise TrajectoryError(field, f'{field} are given: positions and velocities are '
                                  'followed here')


class TrajectoryFollower:
    """Where the controller wants the joints at a time: a trajectory, or a place to hold."""

    def __init__(self, positions):
        """Hold the joints at positions [n], rad."""
        self.hold(positions)

    def hold(self, positions) -> None:
        """Forget the trajectory and stay at positions [n], rad."""
        self._times_ns = np.zeros(1, np.int64)
        self._positions = np.array([positions], np.float64)
        self._velocities = None

    def replace(self, trajectory: Trajectory, now_ns: int, positions, velocities) -> None:
        """Follow a trajectory from the measured positions and velocities [n] on."""
        start_ns = now_ns if trajectory.stamp_ns is None else trajectory.stamp_ns
        times_ns = start_ns + trajectory.times_ns
        ahead = times_ns > now_ns
        before = int(ahead.argmax()) if ahead.any() else len(times_ns)
        if before == 0:  # the measured state comes before the first point
            self._times_ns = np.append(now_ns, times_ns)
            self._positions = np.vstack([positions, trajectory.positions])
            self._velocities = None if trajectory.velocities is None else np.vstack(
                [velocities, trajectory.velocities])
        else:
            self._times_ns, self._positions = times_ns, trajectory.positions
            self._velocities = trajectory.velocities

    def at(self, time_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return positions [n] rad and velocities [n] rad/s wanted at a time."""
        last = len(self._times_ns) - 1
        row = int(np.searchsorted(self._times_ns, time_ns, 'right')) - 1
        if row >= last or row < 0:
            return self._positions[max(row, 0)], np.zeros(self._positions.shape[1])
        span_s = (self._times_ns[row + 1] - self._times_ns[row]) * 1e-9
        part = (time_ns - self._times_ns[row]) * 1e-9 / span_s
        start, end = self._positions[row:row + 2]
        if self._velocities is None:
            return start + part * (end - start), (end - start) / span_s
        return _cubic(start, end, *(self._velocities[row:row + 2] * span_s), part, span_s)


def _cubic(start, end, start_slope, end_slope, part, span_s):
    """Return position and velocity on a cubic Hermite segment, part 0..1 of its span."""
    square, cube = 3 * (end - start) - 2 * start_slope - end_slope, (
        start_slope + end_slope - 2 * (end - start))
    position = start + part * (start_slope + part * (square + part * cube))
    return position, (start_slope + part * (2 * square + part * 3 * cube)) / span_s


def _nanoseconds(time) -> int:
    return time.sec * 10**9 + time.nanosec
