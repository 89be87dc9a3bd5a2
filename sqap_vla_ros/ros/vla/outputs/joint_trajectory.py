# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Trajectories for a joint_trajectory_controller: joint_trajectory, one for what is ahead.

The controller interpolates, so one message a chunk is enough, as long as what it was told is what
the safety gate lets pass. Each command is compared with that: where it is another one (slower,
shaped, of another plan), what is ahead is told anew. A stop tells one point, to stay.

header.stamp is 0, for at once: a stamp ahead of the controller's clock would let it wait, and
begin each chunk again before the last has moved it. Only in lockstep it is the tick.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqap_vla_ros.control.spline import point_velocities
from sqap_vla_ros.control.trajectory import step_ns_of, Trajectory
from trajectory_msgs.msg import JointTrajectory

from .positions import PositionOutput
from ...messages import trajectory_message

SAME = 3e-3  # rad or m, within which a command is what the controller was told
LEFT_SHARE = 0.5  # of the horizon, below which more is told


@dataclass(frozen=True)
class TrajectoryTiming:
    """
    How trajectories are told, in nanoseconds.

    period_ns: from one command to the next.  step_ns: between two points.  horizon_ns: how far
    ahead at most; a controller whose commander has died goes on for that long.  most: [n] rad/s
    or m/s, up to which points have velocities; None for points without.
    """

    period_ns: int
    step_ns: int
    horizon_ns: int
    most: Sequence[float] | None = None


def trajectory_timing(config, space, most) -> TrajectoryTiming:
    """Return the timing for rows of an action space (in lockstep ticks), and joint speeds."""
    period_ns = space.dt_ns if config.lockstep else round(1e9 / config.control_rate)
    step_ns = step_ns_of(space.dt_ns, period_ns)
    return TrajectoryTiming(
        period_ns, step_ns, max(round(config.trajectory_horizon * 1e9), 2 * step_ns),
        most if config.trajectory_velocities == 'spline' else None)


class JointTrajectoryOutput(PositionOutput):
    """joint_trajectory (trajectory_msgs/JointTrajectory): rad or m."""

    topic, kind = 'joint_trajectory', JointTrajectory
    repeats = False

    def __init__(self, node, arm, lockstep: bool, names, timing: TrajectoryTiming):
        """Keep names, of the joints, and timing."""
        self._names, self._timing = tuple(names), timing
        super().__init__(node, arm, lockstep)

    def setup(self, listener):
        """Create the publisher; listener: also has plan and preview(time_ns, count, step_ns)."""
        super().setup(listener)
        self._listener = listener

    def begin(self):
        """Hold nothing that was told before this activation."""
        super().begin()
        self._followed = self._plan = None

    def publish_command(self, command, time_ns: int):
        """Publish what is ahead, unless the controller follows that already."""
        if self._lockstep or not self._is_followed(command, time_ns):
            self._tell(command, time_ns)

    def position_message(self, position, time_ns: int) -> JointTrajectory:
        """Return the message that lets the arm stay at a position [n]."""
        self._followed = None
        return self._message([self._timing.period_ns], [position], time_ns)

    def position_of(self, measured):
        """Return the measured joints [n]; None where they are not known."""
        return measured.joints

    def _is_followed(self, command, time_ns) -> bool:
        """Return whether the controller knows this command, and enough of what comes then."""
        if self._followed is None or self._plan != self._listener.plan:
            return False
        due_ns = time_ns + self._timing.period_ns
        left_ns = self._followed.times_ns[-1] - time_ns
        is_enough = self._is_whole or left_ns > LEFT_SHARE * self._timing.horizon_ns
        return is_enough and self._followed.is_so(due_ns, command.position, SAME)

    def _tell(self, command, time_ns):
        """Publish a command and what comes after it, as points evenly apart."""
        timing = self._timing
        due_ns, count = time_ns + timing.period_ns, timing.horizon_ns // timing.step_ns
        ahead = self._listener.preview(due_ns, count, timing.step_ns)
        times_ns = [time_ns, due_ns, *(due_ns + timing.step_ns * (index + 1)
                                       for index in range(len(ahead)))]
        start = command.position - command.velocity * (timing.period_ns * 1e-9)
        self._followed = Trajectory(np.array(times_ns), np.array(
            [start, command.position, *(after.position for after in ahead)]))
        self._plan, self._is_whole = self._listener.plan, len(ahead) < count
        times_ns, positions = self._followed.points(timing.step_ns)
        velocities = None if timing.most is None else point_velocities(
            start, times_ns * 1e-9, positions, timing.most)
        self._arm.publish(self._message(times_ns, positions, time_ns, velocities))

    def _message(self, times_ns, positions, time_ns, velocities=None):
        return trajectory_message(self._names, times_ns, np.asarray(positions),
                                  time_ns if self._lockstep else None, velocities)
