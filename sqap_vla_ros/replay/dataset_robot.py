# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A LeRobot data set as the robot that it was: its columns as the topics of a node.

The state becomes joint_states or TF, the action what a node would have published for it, in the
units that the robot's parameters name; so all that reads bags reads data sets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from heapq import merge
from types import SimpleNamespace

import numpy as np

from .dataset_columns import FLAG, guessed_meaning, Meaning, read_meaning
from .topic_roles import (
    ARRAY, GRIPPER_COMMAND, JOINT_STATE, POSE_STAMPED, TF, TRAJECTORY, TWIST_STAMPED)
from ..control.command import Measured
from ..control.row_positions import pose_of
from ..errors import ConfigError, ObservationError
from ..geometry.quaternions import rotation_vector
from ..geometry.transform_buffer import Pose
from ..recordings.recording import Message, Topic

STATIC, MOVING, JOINTS = '/tf_static', '/tf', '/joint_states'
GRIPPER = '/gripper_command'
HERE = Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


def as_robot(recording, path, settings, space=None):
    """
    Return a recording with the topics of a robot, and notes; bags are returned as they are.

    path: of a file that says what the columns are, see dataset_columns; '' or None for none.
    settings: recorded_commands.CommandSettings.  space: the checkpoint's ActionSpace, which
    stands in for a file.  Raises ConfigError for a file that does not fit.
    """
    if not hasattr(recording, 'columns'):
        if path:
            raise ConfigError(f'{FLAG} {path} says what the columns of a LeRobot data set are, '
                              f'but {recording.name} is a {recording.form}')
        return recording, []
    meaning, notes = (read_meaning(path, recording), []) if path else guessed_meaning(
        recording, space)
    return DescribedRecording(recording, meaning, settings), notes


class DescribedRecording:
    """
    A data set with topics of a robot beside its own; see recordings.Recording.

    meaning: what its columns are taken for, as text, to know it again.
    """

    def __init__(self, recording, meaning: Meaning, settings):
        """Take a LeRobotRecording, what its columns are, and what is known of the robot."""
        self._recording, self._meaning, self._settings = recording, meaning, settings
        self.name, self.form, self.losses = recording.name, recording.form, recording.losses
        self.episodes, self.meaning = recording.episodes, repr((meaning, settings))
        self._derived = dict(self._made())
        count = max((topic.count for topic in recording.topics), default=0)
        own = [Topic(topic, kind, count) for topic, (kind, _, _) in self._derived.items()]
        if meaning.static:
            own.append(Topic(STATIC, TF, len(self.episodes), latched=True))
        bare = [topic for topic in recording.topics if topic.kind != ARRAY]  # mean nothing alone
        self.topics = tuple(sorted((*bare, *own), key=lambda topic: topic.name))

    def close(self):
        """Close the data set."""
        self._recording.close()

    def unreadable(self, numbers: Collection[int], topic: str) -> dict[int, str]:
        """Return why nothing of a data set's own topic can be read, by the episode's number."""
        return self._recording.unreadable(numbers, topic)

    def messages(self, topics: Collection[str], start_ns: int | None = None,
                 end_ns: int | None = None) -> Iterator[Message]:
        """Yield the messages of topics, the robot's own among them."""
        mine = [name for name in self._derived if name in topics]
        sources = {self._derived[name][1].feature for name in mine}
        told = self._recording.messages({*topics, *sources}, start_ns, end_ns)
        static = self._static(start_ns, end_ns) if STATIC in topics else ()
        return merge(static, self._robot(told, topics, mine), key=lambda each: each.time_ns)

    def _robot(self, told, topics, mine):
        """Yield a data set's messages, and behind each what the robot made of it."""
        for message in told:
            if message.topic in topics:
                yield message
            for name in mine:
                kind, columns, made = self._derived[name]
                if columns.feature == message.topic:
                    yield Message(message.time_ns, name, kind, None,
                                  partial(_made_of, made, columns, message))

    def _static(self, start_ns, end_ns):
        for episode in self.episodes:
            if (start_ns or 0) <= episode.start_ns <= (episode.start_ns if end_ns is None
                                                       else end_ns):
                message = SimpleNamespace(transforms=[
                    _transform(episode.start_ns, each.parent, each.child, each.xyz,
                               each.quaternion) for each in self._meaning.static])
                yield Message(episode.start_ns, STATIC, TF, None, partial(_same, message))

    def _made(self):
        """Yield (topic, (type, columns that it is made of, how))."""
        state, action = self._meaning.state, self._meaning.action
        if state is not None and state.space.is_cartesian:
            yield MOVING, (TF, state, self._pose)
        if state is not None and not (state.space.is_cartesian
                                      and 'gripper' not in state.space.names):
            yield JOINTS, (JOINT_STATE, state, self._joint_state)
        if action is None:
            return
        space = action.space
        if space.kind == 'pose' and space.frame == 'base':
            yield '/target_pose', (POSE_STAMPED, action, self._target)
        elif space.kind == 'pose':
            self.losses.append(f'{action.feature} tells poses in the hand as it was when each '
                               'image was taken: they are not compared')
        elif space.is_cartesian:
            yield '/delta_twist_cmds', (TWIST_STAMPED, action, self._twist)
        else:
            yield '/joint_trajectory', (TRAJECTORY, action, self._trajectory)
        if 'gripper' in space.names:
            yield GRIPPER, (GRIPPER_COMMAND, action, self._gripper)

    def _pose(self, command, space, time_ns):
        s, p = self._settings, command.position
        return SimpleNamespace(transforms=[_transform(
            time_ns, s.base_frame, s.end_effector_frames[0], p[:3], p[3:])])

    def _joint_state(self, command, space, time_ns):
        names, values = ([], []) if space.is_cartesian else (
            list(space.arm_names), list(command.position))
        if command.gripper is not None:
            names.append(self._settings.gripper_joint or 'gripper')
            values.append(self._position(command.gripper))
        return SimpleNamespace(header=_header(time_ns), name=names,
                               position=np.array(values), velocity=(), effort=())

    def _target(self, command, space, time_ns):
        return SimpleNamespace(header=_header(time_ns, self._settings.base_frame),
                               pose=SimpleNamespace(position=_xyz(command.position[:3]),
                                                    orientation=_xyzw(command.position[3:])))

    def _twist(self, command, space, time_ns):
        s, unit = self._settings, np.repeat(self._settings.twist_unit, 3)
        frame = s.base_frame if space.frame == 'base' else s.end_effector_frames[0]
        numbers = command.velocity / unit
        return SimpleNamespace(header=_header(time_ns, frame), twist=SimpleNamespace(
            linear=_xyz(numbers[:3]), angular=_xyz(numbers[3:])))

    def _trajectory(self, command, space, time_ns):
        is_position = space.kind == 'joint_position'
        point = SimpleNamespace(
            positions=command.position if is_position else (),
            velocities=() if is_position else command.velocity,
            time_from_start=_time(space.dt_ns))
        return SimpleNamespace(header=_header(0), joint_names=self._joints(space), points=[point])

    def _joints(self, space):
        """Return the robot's names of joints, if the robot has as many as the columns."""
        own = [name for name in self._settings.arm_joints if name != 'gripper']
        return own if len(own) == len(space.arm_names) else list(space.arm_names)

    def _gripper(self, command, space, time_ns):
        return SimpleNamespace(position=self._position(command.gripper), max_effort=0.0)

    def _position(self, opening):
        s = self._settings
        return s.gripper_closed_position + opening * (
            s.gripper_open_position - s.gripper_closed_position)


def _made_of(made, columns, message):
    """Return a message of the robot, made of a row of numbers; raise ObservationError."""
    row = np.asarray(message.read().data, np.float64)
    if len(row) <= columns.indices.max():
        raise ObservationError(f'{columns.feature} has {len(row)} columns in this row')
    row = row[columns.indices]
    if not np.isfinite(row).all():
        raise ObservationError(f'{columns.feature} has numbers that are not finite in this row')
    if columns.has_quaternion:
        length = np.linalg.norm(row[3:7])
        if not length > 0:
            raise ObservationError(f'{columns.feature} has a quaternion of length 0 in this row')
        row = np.concatenate([row[:3], rotation_vector(row[3:7] / length), row[7:]])
    space = columns.space
    start = Measured(HERE, row[:len(space.arm_names)]) if space.needs else None
    command = space.commands(row[None], start)[0]
    return made(command, space, message.time_ns)


def _transform(time_ns, parent, child, xyz, xyzw):
    return SimpleNamespace(header=_header(time_ns, parent), child_frame_id=child,
                           transform=SimpleNamespace(translation=_xyz(xyz), rotation=_xyzw(xyzw)))


def _same(message):
    return message


def _xyz(values):
    return SimpleNamespace(x=float(values[0]), y=float(values[1]), z=float(values[2]))


def _xyzw(values):
    pose = pose_of(np.concatenate([np.zeros(3), values]))
    x, y, z, w = map(float, pose.quaternion / np.linalg.norm(pose.quaternion))
    return SimpleNamespace(x=x, y=y, z=z, w=w)


def _header(time_ns, frame=''):
    return SimpleNamespace(stamp=_time(time_ns), frame_id=frame)


def _time(time_ns):
    return SimpleNamespace(sec=time_ns // 10**9, nanosec=time_ns % 10**9)
