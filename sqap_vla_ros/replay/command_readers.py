# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From messages that command the end effector or the gripper to rows of numbers in SI units."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np

from .results import Commands
from .topic_roles import (
    GRIPPER_COMMAND, GRIPPER_GOAL, PARALLEL_GOAL, POSE, POSE_STAMPED, TWIST_STAMPED)
from ..control.action_space import TWIST_NAMES
from ..errors import ObservationError
from ..geometry.transform_buffer import QUATERNION_TOLERANCE

POSE_NAMES = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')
BEYOND = 0.05  # an opening may be so far beyond 0..1 before it is doubted
SMALL = 0.5  # what never opens further may be told in metres


class Rows:
    """Rows of numbers with their times, in few bytes."""

    def __init__(self, width: int):
        """Begin without a row of width numbers."""
        self.width, self._times, self._values = width, array('q'), array('d')

    def __len__(self):
        """Return the number of rows."""
        return len(self._times)

    def add(self, time_ns: int, values):
        """Add a row; raise ObservationError for numbers that are not finite."""
        if not np.isfinite(values).all():
            raise ObservationError('numbers that are not finite')
        self._times.append(time_ns)
        self._values.extend(map(float, values))

    def commands(self, source, kind, names, frame='base') -> Commands:
        """Return the rows as Commands."""
        return Commands(source, kind, tuple(names), frame, np.array(self._times, np.int64),
                        np.array(self._values, np.float64).reshape(-1, self.width))


class Reader:
    """
    What all readers have: the topic, and what they had to leave out, counted by its reason.

    shift_ns: what was added to the times of messages, see recording.Episode.
    """

    def __init__(self, topic, settings):
        """Take the topic and what is known of the robot."""
        self.topic, self.settings = topic, settings
        self._refused, self._notes = Counter(), []
        self.shift_ns = 0

    def refuse(self, why: str):
        """Count a message that was left out."""
        self._refused[why] += 1

    def notes(self) -> list[str]:
        """Return what is to be said of the topic."""
        return self._notes + [f'{count} message{"s" * (count > 1)} on {self.topic.name} left '
                              f'out: {why}' for why, count in self._refused.most_common(3)]


class CartesianReader(Reader):
    """Twists and poses, with and without a header."""

    def __init__(self, topic, settings):
        """Take the topic and what is known of the robot."""
        super().__init__(topic, settings)
        self._is_pose = topic.kind in (POSE, POSE_STAMPED)
        self._is_stamped = topic.kind in (POSE_STAMPED, TWIST_STAMPED)
        self._rows = {}  # of each frame_id

    def take(self, time_ns, message):
        """Take a message; raise ObservationError for one that makes no sense."""
        frame = message.header.frame_id.lstrip('/') if self._is_stamped else ''
        rows = self._rows.setdefault(frame, Rows(7 if self._is_pose else 6))
        if self._is_pose:
            rows.add(time_ns, _pose(message.pose if self._is_stamped else message))
        else:
            rows.add(time_ns, self._twist(message.twist if self._is_stamped else message))

    def commands(self) -> list[Commands]:
        """Return those of the frame that most were in, of those that are known."""
        known = {frame: rows for frame, rows in self._rows.items()
                 if len(rows) and self._frame(frame)}
        chosen = max(known, key=lambda frame: len(known[frame]), default=None)
        for frame, rows in self._rows.items():
            if frame != chosen and len(rows):
                self._notes.append(self._left_out(frame, len(rows)))
        if chosen is None:
            return []
        if not chosen:
            self._notes.append(f'{self.topic.name} names no frame: its commands are taken to be '
                               f'in base_frame, {self.settings.base_frame}')
        kind, names = ('pose', POSE_NAMES) if self._is_pose else ('twist', TWIST_NAMES)
        return [known[chosen].commands(self.topic.name, kind, names, self._frame(chosen))]

    def _frame(self, frame) -> str:
        """Return what a frame is to the robot, '' for one that is unknown."""
        if frame in ('', self.settings.base_frame.lstrip('/')):
            return 'base'
        ends = [name.lstrip('/') for name in self.settings.end_effector_frames[:1]]
        return 'end_effector' if frame in ends and not self._is_pose else ''

    def _left_out(self, frame, count):
        expected = f'base_frame {self.settings.base_frame!r}'
        if not self._is_pose and self.settings.end_effector_frames:
            expected += f' or end effector frame {self.settings.end_effector_frames[0]!r}'
        return (f'{count} command{"s" * (count > 1)} on {self.topic.name} left out: their frame '
                f'is {frame!r}, expected {expected}. Set these parameters in --config')

    def _twist(self, twist):
        linear, angular = self.settings.twist_unit
        return [*(linear * value for value in _xyz(twist.linear)),
                *(angular * value for value in _xyz(twist.angular))]


class GripperReader(Reader):
    """Openings, positions and goals of the gripper, of any type."""

    def __init__(self, topic, settings):
        """Take the topic and what is known of the robot."""
        super().__init__(topic, settings)
        self._rows = Rows(1)

    def take(self, time_ns, message):
        """Take a message; raise ObservationError for one that does not tell the gripper."""
        value = self._value(message)
        if value is not None:
            self._rows.add(time_ns, [value])

    def _value(self, message):
        if self.topic.kind == GRIPPER_COMMAND:
            return message.position
        if self.topic.kind in (GRIPPER_GOAL, PARALLEL_GOAL):
            if not len(message.request):  # the reply to a goal is an event, too
                return None
            command = message.request[0].goal.command
            return command.position if self.topic.kind == GRIPPER_GOAL else self._joint(
                command.name, command.position)
        if hasattr(message, 'points'):
            return self._joint(message.joint_names,
                               message.points[-1].positions if len(message.points) else ())
        if hasattr(message, 'position'):
            return self._joint(message.name, message.position)
        return self._joint((), [message.data] if np.isscalar(message.data) else message.data)

    def _joint(self, names, values):
        """Return the value of the gripper's joint; without names, or if it is alone, the first."""
        if not len(values):
            raise ObservationError('no number in it')
        names, joint = list(names), self.settings.gripper_joint
        if names and len(names) != len(values):
            raise ObservationError(f'{len(names)} names and {len(values)} numbers')
        if len(names) > 1 and joint not in names:
            raise ObservationError(
                f'it tells {", ".join(names[:3])}{", ..." * (len(names) > 3)}, expected '
                f'gripper_joint {joint!r} among them: set that parameter in --config')
        return float(values[names.index(joint) if joint in names else 0])

    def commands(self) -> list[Commands]:
        """Return the openings, 0 closed .. 1 open."""
        if not len(self._rows):
            return []
        raw = self._rows.commands(self.topic.name, 'gripper', ('gripper',))
        values = self.settings.opening(raw.values) if self._is_position(raw.values) else raw.values
        beyond = int(((values < -BEYOND) | (values > 1 + BEYOND)).sum())
        if beyond:
            self._notes.append(
                f'{beyond} of {len(values)} commands on {self.topic.name} are beyond 0 (closed) '
                f'to 1 (open), up to {np.abs(values).max():g}, and were cut: are '
                'gripper_open_position and gripper_closed_position right?')
        return [Commands(raw.source, raw.kind, raw.names, raw.frame, raw.times_ns,
                         np.clip(values, 0.0, 1.0))]

    def _is_position(self, values) -> bool:
        """Whether numbers are positions of the joint; bare ones are openings if they can be."""
        if self.topic.kind not in ('std_msgs/msg/Float64', 'std_msgs/msg/Float32'):
            return True
        ends = sorted((self.settings.gripper_closed_position, self.settings.gripper_open_position))
        slack = BEYOND * (ends[1] - ends[0])
        fits = ends[0] - slack <= values.min() and values.max() <= ends[1] + slack
        if not fits or values.max() > SMALL or not values.max() > 0:
            return False
        self._notes.append(
            f'{self.topic.name} never tells more than {values.max():g}: taken as positions of the '
            f'gripper, {self.settings.gripper_closed_position:g} closed to '
            f'{self.settings.gripper_open_position:g} open, and not as openings of 0 to 1')
        return True


def _xyz(vector):
    return vector.x, vector.y, vector.z


def _pose(pose):
    """Return x y z qx qy qz qw with a quaternion of length 1; raise ObservationError."""
    turn = np.array([*_xyz(pose.orientation), pose.orientation.w])
    length = np.linalg.norm(turn)
    if not abs(length - 1) <= QUATERNION_TOLERANCE:
        raise ObservationError('a quaternion whose length is not 1')
    return [*_xyz(pose.position), *turn / length]
