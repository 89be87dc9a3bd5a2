# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Joints as poses of the end effector, where the recording describes the robot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .held import POSE_COLUMNS
from ...control.action_space import TWIST_NAMES
from ...control.kinematics import Kinematics
from ...control.output_modes import CARTESIAN_KINDS
from ...control.row_positions import position_of
from ...control.urdf import read_joints
from ...errors import ConfigError
from ...geometry.quaternion_arrays import steps_between
from ...support.requirements import cure, missing

JOINT_KINDS = ('joints', 'joint_velocity')


def sliding_joints(results) -> frozenset[str]:
    """Return the joints that the recorded robot_description says slide; none without it."""
    if results.robot is None:
        return frozenset()
    try:
        joints = read_joints(results.robot.description)
    except ConfigError:
        return frozenset()  # whoever needs the kinematics tells why
    return frozenset(name for name, joint in joints.items() if joint.kind == 'prismatic')


def with_kinematics(results, answers, arm) -> tuple[list[tuple], list[str]]:
    """
    Return pairs of answers and commands, one of them converted, and why others were left.

    Joints that were commanded become poses or twists in the base frame for Cartesian answers;
    answers in joints become Cartesian for commanded poses and twists.
    """
    cartesian = answers.kind in CARTESIAN_KINDS
    others = [commands for commands in arm if (commands.kind in JOINT_KINDS) == cartesian]
    if not others:
        return [], []
    what = (f'{", ".join(commands.source for commands in others)}: '
            f'{"joints" if cartesian else "poses or twists"}, and the policy answers in '
            f'{"poses or twists" if cartesian else "joints"}; left out, for ')
    why = _unavailable(results)
    if why:
        return [], [what + why]
    try:
        kinematics = Kinematics.from_urdf(results.robot.description, results.robot.base_frame,
                                          results.robot.end_effector_frame)
        if cartesian:
            return [(answers, _as_cartesian(kinematics, commands, results.images))
                    for commands in others], []
        return [(_answers_as_cartesian(kinematics, answers, commands.frame, results.images),
                 commands) for commands in others], []
    except ConfigError as error:
        return [], [what + str(error)]


def _unavailable(results) -> str:
    """Return why there is no kinematics, and what brings it; '' where there is."""
    if results.robot is None:
        return ('no robot_description was recorded: record that topic, too, and replay again '
                'with the extra `kinematics`')
    return cure('pinocchio') if missing(['pinocchio']) else ''


def _as_cartesian(kinematics: Kinematics, commands, images):
    """Return commands of joints as poses, or of their velocities as twists, in the base frame."""
    columns = _columns(kinematics, commands.names, commands.source)
    values = commands.values[:, columns]
    if commands.kind == 'joints':
        return replace(commands, kind='pose', names=POSE_COLUMNS, frame='base',
                       values=_forward(kinematics, values))
    joints = images.joints[:, _columns(kinematics, images.joint_names, 'joint_states')]
    index = np.searchsorted(images.times_ns, commands.times_ns, side='right') - 1
    at = np.where(index[:, None] >= 0, joints[np.maximum(index, 0)], np.nan)
    twists = np.full((len(values), 6), np.nan)
    for row in np.flatnonzero(np.isfinite(at).all(1) & np.isfinite(values).all(1)):
        twists[row] = kinematics.jacobian(at[row]) @ values[row]
    return replace(commands, kind='twist', names=TWIST_NAMES, frame='base', values=twists)


def _answers_as_cartesian(kinematics: Kinematics, answers, frame: str, images):
    """Return answers in joints as poses and twists; frame: of the twists."""
    if answers.positions is None:
        raise ConfigError('the joints that were measured are not known, nor so where the rows of '
                          'an answer end: record joint_states')
    columns = _columns(kinematics, answers.names, 'the policy')
    ends = _forward(kinematics, answers.positions[..., columns])
    starts = np.concatenate([images.poses[:, None], ends[:, :-1]], 1)
    return replace(answers, kind='pose', frame=frame, names=TWIST_NAMES, positions=ends,
                   velocities=steps_between(starts, ends, frame) / answers.dt_s)


def _columns(kinematics: Kinematics, names, source: str) -> list[int]:
    """Return where the joints of the arm are among names; raise ConfigError for missing ones."""
    lacking = [name for name in kinematics.names if name not in names]
    if lacking:
        raise ConfigError(
            f'{source} has not all joints from {kinematics.base_frame} to '
            f'{kinematics.end_effector_frame}: {", ".join(lacking)} missing, found '
            f'{", ".join(names) or "none"}')
    return [list(names).index(name) for name in kinematics.names]


def _forward(kinematics: Kinematics, joints: np.ndarray) -> np.ndarray:
    """Return poses float64 [..., 7] of joints [..., n], NaN where a joint is not known."""
    flat = joints.reshape(-1, joints.shape[-1])
    poses = np.full((len(flat), 7), np.nan)
    for row in np.flatnonzero(np.isfinite(flat).all(1)):
        poses[row] = position_of(kinematics.forward(flat[row]))
    return poses.reshape(*joints.shape[:-1], 7)
