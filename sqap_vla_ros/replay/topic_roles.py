# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What topics can be besides images, by which types and names, and how one of each is found."""

from __future__ import annotations

from dataclasses import dataclass
import re

from ..calibration.names import nearest_first, those_there
from ..errors import ConfigError
from ..recordings.playlist import COMMANDED, RECORDED

FLAG = '--topics'
HOLDS_NONE = '{} is not taken from {}: the recording holds no message of it'
TF, STRING, CLOCK = 'tf2_msgs/msg/TFMessage', 'std_msgs/msg/String', 'rosgraph_msgs/msg/Clock'
JOINT_STATE, ARRAY = 'sensor_msgs/msg/JointState', 'std_msgs/msg/Float64MultiArray'
ARRAY_32 = 'std_msgs/msg/Float32MultiArray'
TWIST, TWIST_STAMPED = 'geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped'
POSE, POSE_STAMPED = 'geometry_msgs/msg/Pose', 'geometry_msgs/msg/PoseStamped'
TRAJECTORY, JOG = 'trajectory_msgs/msg/JointTrajectory', 'control_msgs/msg/JointJog'
TRAJECTORY_POINT = 'trajectory_msgs/msg/JointTrajectoryPoint'
FLOAT_64, FLOAT_32 = 'std_msgs/msg/Float64', 'std_msgs/msg/Float32'
GRIPPER_COMMAND = 'control_msgs/msg/GripperCommand'
GRIPPER_GOAL = 'control_msgs/action/GripperCommand_SendGoal_Event'
PARALLEL_GOAL = 'control_msgs/action/ParallelGripperCommand_SendGoal_Event'

_COMMANDED = re.compile(r'cmd|command|target|goal|desired|reference|set_?point|leader')
_GRIPPER = re.compile('gripper|hand|finger')
_MEASURED = '^(?!.*leader).*(state|status)|error|measured|actual|feedback|current'
_NOT_OF_ARM = re.compile(f'{_MEASURED}|{_GRIPPER.pattern}')


@dataclass(frozen=True)
class Role:
    """
    What a topic can be.

    kinds: its types.  names: last parts of its name, the surest first.  hint: what the name of
    one has to have for it to be taken as the only one of its types; None: it is not.  never:
    names with this are of something else.
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    hint: re.Pattern | None = None
    never: re.Pattern | None = None


OTHERS = {
    'tf': Role((TF,), ('tf',)),
    'tf_static': Role((TF,), ('tf_static',)),
    'joint_states': Role((JOINT_STATE,), ('joint_states',), re.compile(''), COMMANDED),
    'instruction': Role((STRING,), (
        'instruction', 'language_instruction', 'task_instruction', 'task_description', 'prompt')),
    'robot_description': Role((STRING,), ('robot_description',)),
    'clock': Role((CLOCK,), ('clock',), re.compile(''))}
COMMANDS = {
    'twist': Role((TWIST_STAMPED, TWIST), ('delta_twist_cmds', 'twist_cmds'), _COMMANDED,
                  _NOT_OF_ARM),
    'pose': Role((POSE_STAMPED, POSE), ('target_pose', 'pose_cmds'), _COMMANDED, _NOT_OF_ARM),
    'joints': Role((TRAJECTORY, ARRAY, JOINT_STATE, JOG, ARRAY_32, TRAJECTORY_POINT),
                   ('joint_trajectory', 'joint_commands', 'joint_command', 'delta_joint_cmds'),
                   _COMMANDED, _NOT_OF_ARM),
    'gripper': Role((FLOAT_64, GRIPPER_COMMAND, GRIPPER_GOAL, PARALLEL_GOAL, FLOAT_32, ARRAY,
                     TRAJECTORY, JOINT_STATE), ('gripper_command', 'gripper_cmd'),
                    re.compile(f'(?=.*({_GRIPPER.pattern}))(?=.*({_COMMANDED.pattern}))'),
                    re.compile(_MEASURED))}
ROLES = {**OTHERS, **COMMANDS}
PREDICTED = '/replay/'  # of a replay.mcap: what policies said, never what was commanded
DOUBTFUL = ('twist', 'pose', 'joints')  # a topic of their types that is not taken is told


def found(role, topics, told, notes, is_missed=False):
    """
    Return the topic of a role, None for none.

    topics: those of the recording; told: {role: name} by the user.  notes: what is guessed, or
    not clear, is added.  is_missed: it is also told where there is none.  Raises ConfigError for
    a told one that is not there or of another type.
    """
    what = ROLES[role]
    if role in told:
        return told_topic(role, told[role], topics, what.kinds) if told[role] else None
    taken = {name.strip('/') for name in told.values()}
    there = [topic for topic in topics
             if topic.kind in what.kinds and topic.name.strip('/') not in taken
             and not (role in COMMANDS and topic.name.startswith(PREDICTED))]
    sure, guessed = _by_name(what, [topic for topic in there if topic.count])
    if not (sure or guessed):  # nobody has counted, or all are empty
        sure, guessed = _by_name(what, there)
    named = _by_name(what, there)[0]
    if named is not None and named != sure:
        notes.append(HOLDS_NONE.format(role, named.name))
    if sure or len(guessed) == 1:
        topic = sure or guessed[0]
        if not sure or last_part(topic.name) != what.names[0]:
            notes.append(f'{role} is taken from {topic.name}, by its name and type: '
                         f'{FLAG} {role}=TOPIC names another, {role}= none')
        return topic
    if len(guessed) > 1:
        notes.append(f'no {role} is taken, for it may be on any of '
                     f'{", ".join(topic.name for topic in guessed)}: name it by '
                     f'{FLAG} {role}=TOPIC')
    elif is_missed or there and role in DOUBTFUL and not _are_of_others(there, what):
        notes.append(_missing(role, what, topics, there))
    return None


def told_topic(role, name, topics, kinds):
    """
    Return the topic that the user names, with or without its first slash.

    Raises ConfigError for one that is not there, or of none of the kinds.
    """
    same = [topic for topic in topics if topic.name.strip('/') == name.strip('/')]
    exact = [topic for topic in same if topic.name == name] or same
    if not exact:
        fit = [topic.name for topic in topics if topic.kind in kinds]
        raise ConfigError(
            f'{FLAG} {role}={name}: the recording has no such topic; ' + (
                those_there(name, fit, f'topics of type {" or ".join(kinds[:3])}') if fit else
                f'it has none of type {" or ".join(kinds[:3])}, but '
                + those_there(name, [topic.name for topic in topics], 'topics')))
    topic = exact[0]
    if topic.kind not in kinds:
        raise ConfigError(f'{FLAG} {role}={name}: it is of type {topic.kind}, expected '
                          f'{" or ".join(kinds)}')
    return topic


def last_part(name: str) -> str:
    """Return what stands behind the last slash of a topic, in small letters."""
    return name.rstrip('/').rpartition('/')[2].lower()


def _by_name(what, there):
    """Return (the topic with the role's very name or None, those that may be meant)."""
    for name in what.names:
        for full in (name, f'{RECORDED}/{name}'.strip('/')):
            named = [topic for topic in there if topic.name.strip('/') == full]
            if named:  # /tf before tf, where both were recorded
                return min(named, key=lambda topic: (
                    not topic.name.startswith('/'), topic.name)), []
    there = [topic for topic in there
             if not (what.never and what.never.search(topic.name.lower()))]
    for name in what.names:
        named = [topic for topic in there if last_part(topic.name) == name]
        if named:
            return None, named
    if what.hint is None:
        return None, []
    return None, [topic for topic in there if what.hint.search(topic.name.lower())]


def _are_of_others(there, what) -> bool:
    """Whether all topics of the types are known to be something else, such as joint_states."""
    others = {name for role in ROLES.values() if role is not what for name in role.names}
    return all(last_part(topic.name) in others or what.never and what.never.search(
        topic.name.lower()) for topic in there)


def _missing(role, what, topics, there):
    if there:
        return (f'no {role} is taken: of its types there {"are" if len(there) > 1 else "is"} '
                f'{", ".join(topic.name for topic in there)}, whose name does not tell it. '
                f'{FLAG} {role}=TOPIC takes it')
    names = nearest_first(role, [topic.name for topic in topics])
    return (f'no topic for {role} ({" or ".join(what.kinds)}) in the recording; its topics are '
            + ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else ''))
