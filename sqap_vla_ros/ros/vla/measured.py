# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the arm is, from TF and joint_states, for what begins or checks motion."""

import numpy as np
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.plausibility import Plausibility

NOTHING = Measured()


class MeasuredArm:
    """
    The arm's pose and joints, as far as they are needed.

    What is older than image_timeout is not known: nothing is begun from where an arm was then.
    """

    def __init__(self, config, transforms, inputs, needs=frozenset(), joint_names=()):
        """Keep the sources; needs: out of 'pose' and 'joints'."""
        self.config = config
        self._transforms, self._inputs = transforms, inputs
        self._needs, self._joint_names = needs, tuple(joint_names)
        self._plausibility = Plausibility()

    def now(self, now_ns: int) -> Measured:
        """Return the newest that was heard."""
        if not self._needs:
            return NOTHING
        return Measured(self._known('pose', self._newest_pose, now_ns),
                        self._known('joints', self._newest_joints, now_ns))

    def at(self, stamp_ns: int) -> Measured:
        """Return where the arm was at an image's stamp."""
        if not self._needs:
            return NOTHING
        return Measured(self._known('pose', self._pose_at, stamp_ns),
                        self._known('joints', self._joints_at, stamp_ns))

    def _known(self, need, find, time_ns):
        try:
            return find(time_ns) if need in self._needs else None
        except ObservationError:
            return None

    def _frames(self):
        return self.config.base_frame, self.config.end_effector_frames[0]

    def _newest_pose(self, now_ns):
        return self._believed(self._transforms.latest(*self._frames()), now_ns)

    def _pose_at(self, stamp_ns):
        try:
            pose = self._transforms.lookup(*self._frames(), stamp_ns)
        except ObservationError:
            return self._newest_pose(stamp_ns)
        return self._believed(pose, stamp_ns)

    def _believed(self, pose, time_ns):
        """Return a pose that is recent; raise ObservationError if no such arm can have it."""
        if not self._is_recent(time_ns - pose.stamp_ns):
            return None
        self._plausibility.check_frame(
            pose, self._frames()[1], self._transforms, self.config, pose.stamp_ns)
        return pose

    def _newest_joints(self, now_ns):
        joints = self._inputs.joints
        return self._recent([joints.newest(name) for name in self._joint_names], now_ns)

    def _joints_at(self, stamp_ns):
        joints = self._inputs.joints
        near = [joints.nearest(name, stamp_ns) for name in self._joint_names]
        return self._recent(
            [(stamp_ns - off_s * 1e9, position) for position, off_s in near], stamp_ns)

    def _recent(self, found, time_ns):
        """Return the positions of (stamp, position) pairs, None if one is old."""
        if not all(self._is_recent(time_ns - stamp_ns) for stamp_ns, _ in found):
            return None
        return np.array([position for _, position in found])

    def _is_recent(self, age_ns):
        return abs(age_ns) * 1e-9 <= self.config.image_timeout
