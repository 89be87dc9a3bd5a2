# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From TF and joint_states to the values of a policy's state, by their names in control/states.py.

Checkpoints of ours take STATE_NAMES of observation.py, as `end_effector_state` builds them. Others
take what their data set told: raw values, in its frames; nothing is normalised here.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np

from .joints import gripper_opening, gripper_position, position_near
from .robot_poses import pose_at
from ..control.states import (
    check_names, GRIPPER, GRIPPER_POSITION, is_undeclared, joint_of, POSE_NAMES, VOCABULARY)
from ..errors import ConfigError
from ..observation import end_effector_state, STATE_NAMES

_ABOUT_0 = 0.1  # an x of a quaternion that says nothing: 12 degrees from a half turn about y
_FRAMES = ('state_base_frame', 'state_end_effector_frame')
_OF_GRIPPER = frozenset((GRIPPER, GRIPPER_POSITION, f'-{GRIPPER_POSITION}'))


def check_state(names: Sequence[str], gripper_joint: str, frames: Sequence[str]) -> None:
    """
    Raise ConfigError for a state that no robot tells, or not without a parameter.

    gripper_joint: the parameter of that name.  frames: state_base_frame and
    state_end_effector_frame, which have no default for the pose of a data set of others.
    """
    if is_undeclared(names):
        raise ConfigError(
            f'the policy takes a state of {len(names)} values, and nothing says what they are: '
            f'write it into its deployment.json, "state": "libero" or a list of {len(names)} '
            f'names out of {VOCABULARY} (of a converted one: such a list, as "state_names", into '
            'its config.json)')
    check_names(names)
    if not gripper_joint and _OF_GRIPPER.intersection(names):
        raise ConfigError('parameter gripper_joint is empty, but the policy needs to know how '
                          'far the gripper is open: name its joint in joint_states')
    told = [name for name in names if name in POSE_NAMES]
    missing = [parameter for parameter, frame in zip(_FRAMES, frames) if not frame]
    if told and missing and tuple(names) != STATE_NAMES:
        raise ConfigError(
            f'the policy is told {" ".join(told)} of the end effector, in the frames of the data '
            f'set that it was trained on, and {" and ".join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} empty: name the frames in TF that stand as '
            "the data set's do (LIBERO's: its world, and the hand as it is turned there; "
            'docs/inputs.md), or base_frame and the first of end_effector_frames where those do')


def state_of(config) -> tuple[str, ...]:
    """Return the names of the values of the state that a CheckpointConfig takes, () for none."""
    if not config.model.state_dim:
        return ()
    return config.state_names or STATE_NAMES


def joints_of(names: Sequence[str], gripper_joint: str) -> tuple[str, ...]:
    """Return the joints whose positions a state needs, each once."""
    gripper = [gripper_joint] if _OF_GRIPPER.intersection(names) else []
    return tuple(dict.fromkeys([*gripper, *filter(None, map(joint_of, names))]))


class StateObserver:
    """Builds the state of a robot at one time."""

    def __init__(self, names: Sequence[str], heard, transforms):
        """names: of the values, '' for no state.  heard: has joints.  transforms: see pose_at."""
        self._names = tuple(names)
        self._heard, self._transforms = heard, transforms

    def at(self, time_ns: int, options, plausibility, wait) -> np.ndarray | None:
        """
        Return the state [S]: float32 of STATE_NAMES, float64 of others; None where none is needed.

        options: ObserverOptions.  plausibility: judges the pose.  wait: see pose_at.  Raises
        ObservationError for what was not heard near that time, or cannot be.
        """
        def pose(frame, target=''):
            found, _ = pose_at(self._transforms, options, frame, time_ns, wait)
            plausibility.check_frame(found, frame, self._transforms, options, time_ns)
            if target not in ('', options.base_frame):
                found, _ = pose_at(self._transforms, options, frame, time_ns, wait, target)
            return found

        if not self._names:
            return None
        if self._names == STATE_NAMES:
            seen = pose(options.end_effector_frames[0])
            opening = wait(lambda: gripper_opening(self._heard.joints, options, time_ns))
            return end_effector_state(seen.translation, seen.quaternion, opening)
        values = {}
        if set(self._names) & set(POSE_NAMES):
            seen = pose(options.state_end_effector_frame or options.end_effector_frames[0],
                        options.state_base_frame)
            values = pose_values(seen.translation, seen.quaternion)
        values.update(wait(lambda: self._of_joints(options, time_ns)))
        return np.array([values[name] for name in self._names], np.float64)

    def _of_joints(self, options, time_ns) -> dict[str, float]:
        joints, values = self._heard.joints, {}
        for name in set(self._names):
            sign, joint = -1.0 if name.startswith('-') else 1.0, joint_of(name)
            if joint:
                values[name] = sign * position_near(joints, joint, options, time_ns)
            elif name == GRIPPER:
                values[name] = min(max(gripper_opening(joints, options, time_ns), 0.0), 1.0)
            elif name in _OF_GRIPPER:
                values[name] = sign * gripper_position(joints, options, time_ns)
        return values


def pose_values(position, quaternion_xyzw) -> dict[str, float]:
    """
    Return all values of POSE_NAMES of a pose: metres, and a quaternion of any length but 0.

    Of q and -q, which are one rotation, qx .. qw are the one whose largest component is positive,
    as in `end_effector_state`; rx ry rz are of the one that LIBERO's client tells.
    """
    q = np.asarray(quaternion_xyzw, np.float64)
    q = q / np.linalg.norm(q)
    q = -q if q[np.abs(q).argmax()] < 0 else q
    numbers = (*position, *q, *whole_rotation_vector(_of_the_client(q)), *fixed_angles(q))
    return dict(zip(POSE_NAMES, map(float, numbers)))


def _of_the_client(q) -> np.ndarray:
    """
    Return the one of q and -q that MuJoCo has of a hand that points down.

    Its quaternions go on continuously from one of x near 1, so x stays positive while the hand
    turns about the vertical by less than half a turn, also where y is the larger one beyond 90
    degrees: all public data have rx > 0.  Where x is about 0 the largest component decides, so
    that noise of x alone turns nothing round, and w where that is it: a rotation of less than a
    quarter turn is told the shorter way.
    """
    deciding = np.abs(q).argmax()
    if deciding in (1, 2) and abs(q[0]) > _ABOUT_0:
        deciding = 0
    return -q if q[deciding] < 0 else q


def whole_rotation_vector(quaternion) -> np.ndarray:
    """
    Return the rotation vector [3] of a unit quaternion, of length 0 .. 2 pi: beyond pi for w < 0.

    As robosuite's quat2axisangle has it, and with it LIBERO's data: not the shorter way round.
    """
    vector, w = quaternion[:3], min(max(float(quaternion[3]), -1.0), 1.0)
    length = math.sqrt(1.0 - w * w)
    return np.zeros(3) if length == 0 else vector * (2.0 * math.acos(w)) / length


def fixed_angles(quaternion) -> tuple[float, float, float]:
    """
    Return roll, pitch and yaw of a unit quaternion, rad: about the fixed x, then y, then z.

    By half sums and differences (Bernardes and Viollet 2022), which hold at a pitch of pi/2, too.
    """
    x, y, z, w = map(float, quaternion)
    half_sum, half_difference = math.atan2(x + z, w - y), math.atan2(z - x, y + w)
    pitch = 2 * math.atan2(math.hypot(y + w, z - x), math.hypot(w - y, x + z)) - math.pi / 2
    return _wrapped(half_sum - half_difference), pitch, _wrapped(half_sum + half_difference)


def _wrapped(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)
