# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the arm is, from TF and joint_states, for what begins or checks motion."""

import numpy as np
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.plausibility import Plausibility
from sqap_vla_ros.ingest.robot_poses import DENSE_S, pose_at
from sqap_vla_ros.ingest.stamps import duration_text

NOTHING = Measured()


class MeasuredArm:
    """
    The arm's pose and joints, as far as they are needed.

    Now means no older than image_timeout; at an image's stamp TF and joint_states have to be as
    near to it as tf_max_age says.  needs: out of 'pose' and 'joints'.  why_not: what is not
    known, and why; '' if all is.
    """

    def __init__(self, config, transforms, inputs, needs=frozenset(), joint_names=()):
        """Keep the sources; needs: out of 'pose' and 'joints', besides what a workspace needs."""
        self._transforms, self._inputs = transforms, inputs
        self._always, self._joint_names = needs, tuple(joint_names)
        self.use(config)
        # apart: an image's stamp is older than what was looked at meanwhile
        self._plausible_now, self._plausible_then = Plausibility(), Plausibility()
        self.why_not = ''

    def use(self, config):
        """Take the parameters, which may have a workspace now, in which a pose has to be."""
        self.config = config
        self.needs = self._always | ({'pose'} if config.limits.has_workspace else frozenset())

    def forget(self):
        """Believe the arm where it is next (~/reset, activation)."""
        self._plausible_now.reset()
        self._plausible_then.reset()

    def now(self, now_ns: int) -> Measured:
        """Return the newest that was heard."""
        return self._measured(self._newest_pose, self._newest_joints, now_ns)

    def at(self, stamp_ns: int) -> Measured:
        """Return where the arm was at an image's stamp."""
        return self._measured(self._pose_at, self._joints_at, stamp_ns)

    def _measured(self, pose, joints, time_ns) -> Measured:
        if not self.needs:
            return NOTHING
        self.why_not = ''
        return Measured(self._known('pose', pose, time_ns), self._known('joints', joints, time_ns))

    def _known(self, need, find, time_ns):
        try:
            return find(time_ns) if need in self.needs else None
        except ObservationError as error:
            self.why_not = '; '.join(filter(None, (self.why_not, str(error))))
            return None

    @property
    def _frames(self):
        return self.config.base_frame, self.config.end_effector_frames[0]

    def _newest_pose(self, now_ns):
        pose = self._transforms.latest(*self._frames)
        self._check_age('the transform {} -> {}'.format(*self._frames), now_ns - pose.stamp_ns)
        return self._believed(pose, self._plausible_now)

    def _pose_at(self, stamp_ns):
        pose, _ = pose_at(
            self._transforms, self.config, self._frames[1], stamp_ns, lambda look: look())
        return self._believed(pose, self._plausible_then)

    def _believed(self, pose, plausibility):
        """Return a pose; raise ObservationError if no such arm can have it."""
        plausibility.check_frame(
            pose, self._frames[1], self._transforms, self.config, pose.stamp_ns)
        return pose

    def _newest_joints(self, now_ns):
        joints = self._inputs.joints
        found = [joints.newest(name) for name in self._joint_names]
        for name, (stamp_ns, _) in zip(self._joint_names, found):
            self._check_age(f'joint_states of {name!r}', now_ns - stamp_ns)
        return np.array([position for _, position in found])

    def _joints_at(self, stamp_ns):
        joints, limit_s = self._inputs.joints, max(self.config.tf_max_age, DENSE_S)
        found = [joints.at(name, stamp_ns) for name in self._joint_names]
        for name, (_, off_s) in zip(self._joint_names, found):
            if off_s > limit_s:
                raise ObservationError(
                    f'joint_states of {name!r} are {duration_text(off_s)} off the image (limit: '
                    f'tf_max_age, {limit_s:g} s): publish them faster, or synchronize the clocks')
        return np.array([position for position, _ in found])

    def _check_age(self, what, age_ns):
        limit_s = self.config.image_timeout
        if abs(age_ns) * 1e-9 > limit_s:
            raise ObservationError(
                f'{what} is {duration_text(age_ns * 1e-9)} '
                f'{"old" if age_ns > 0 else "in the future"} (limit: image_timeout, {limit_s:g} '
                's)')
