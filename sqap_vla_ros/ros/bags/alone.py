# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a recording would be played among live messages, or into what could act on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import time

from rclpy.action import get_action_client_names_and_types_by_node
from rclpy.node import Node, NodeNameNonExistentError

from ..tools.session import Session
from ...errors import ConfigError
from ...support.progress import Progress

DISCOVERY_S = 4.0  # after which others are known: one that was missed says it again after 3 s
LOOK_S = 0.5  # between looks while a recording is played
UNKNOWN_S = 5.0  # in which the name of a node comes whose topics are known
# what a policy acts on: it is told what to do, or sees
ACTED_ON = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'std_msgs/msg/String'}
QUIET = ('/robot_description',)  # is listened to by half of all nodes, and moves none
COMMANDS = {
    'geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped', 'geometry_msgs/msg/Pose',
    'geometry_msgs/msg/PoseStamped', 'geometry_msgs/msg/PoseArray',
    'trajectory_msgs/msg/JointTrajectory', 'sensor_msgs/msg/JointState',
    'std_msgs/msg/Float64', 'std_msgs/msg/Float32', 'std_msgs/msg/Float64MultiArray',
    'std_msgs/msg/Float32MultiArray', 'control_msgs/msg/JointJog',
    'control_msgs/msg/GripperCommand', 'trajectory_msgs/msg/MultiDOFJointTrajectory'}
# they show and store; that they can also say things at a click is no answer to what they hear
WATCHERS = ('rviz', 'rqt', 'foxglove', 'plotjuggler', 'rosbag2_', '_ros2cli', 'sqap_vla_record_',
            'sqap_vla_watch_')
_UNKNOWN = 'NAME_UNKNOWN'  # in the name of a node that has not come yet
_CURE = 'play it in another ROS_DOMAIN_ID'


def check_alone(session: Session, played: Mapping[str, str], waited_for: str = '',
                others_ways: str = '') -> None:
    """
    Raise ConfigError where a recording would mislead somebody.

    played: {name: type} of what is to be played, of which the session's node may be a publisher.
    Nobody else may publish it, and nobody may listen to images or instructions who could act: a
    node that publishes commands, has clients of actions, or whose name does not come.
    waited_for: full name of the node that the recording is for.  others_ways: what else can be
    done about it.
    """
    passed = {session.node.get_fully_qualified_name(), waited_for}
    with Progress('looking for others'):
        session.until(lambda: _publishing(session.node, played) or any(
            _acting(session.node, played, passed).values()), DISCOVERY_S)
        session.until(lambda: None not in _acting(session.node, played, passed).values(),
                      UNKNOWN_S)
    if session.interrupts:
        raise KeyboardInterrupt
    _refuse(_publishing(session.node, played), 'already', others_ways)
    _refuse_acting([told for told, could in _acting(session.node, played, passed).items()
                    if could is not False], others_ways)


class Watch:
    """
    Looks now and then, while a recording is played, for those whom check_alone would refuse.

    Who has begun meanwhile would take what is played for what is.
    """

    def __init__(self, node: Node, played: Mapping[str, str], waited_for: str, others_ways: str):
        """Begin; see check_alone for the arguments."""
        self._node, self._played, self._others_ways = node, played, others_ways
        self._passed = {node.get_fully_qualified_name(), waited_for}
        self._next_s, self._unknown_s = 0.0, {}  # since when a name does not come

    def look(self) -> None:
        """Raise ConfigError if somebody is there; it takes a look each LOOK_S."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        _refuse(_publishing(self._node, self._played), 'now', self._others_ways)
        acting = _acting(self._node, self._played, self._passed)
        self._unknown_s = {told: self._unknown_s.get(told, now_s)
                           for told, could in acting.items() if could is None}
        _refuse_acting([told for told, could in acting.items() if could or (
            could is None and now_s - self._unknown_s[told] > UNKNOWN_S)], self._others_ways)


def _refuse(others, since, others_ways) -> None:
    if others:
        raise ConfigError(
            f'somebody publishes {since}: {", ".join(others)}. A recording among live messages '
            f'misleads whoever listens: {_CURE}{others_ways}')


def _refuse_acting(acting, others_ways) -> None:
    if acting:
        raise ConfigError(
            f'somebody listens who could act on it: {", ".join(acting)}. A recording is no '
            f'reason to move: end that node, or {_CURE}{others_ways}')


def check_nobody_is_misled(played: Mapping[str, str]) -> None:
    """
    Raise ConfigError as check_alone does, before anything that is to play or listen is there.

    A node of the name that will be waited for counts, too: it is another one, and may move.
    """
    # launch's own arguments would be taken for remappings of the topics that are asked about
    with Session('replay', []) as session:
        check_alone(session, played)


def _publishing(node: Node, played: Iterable[str]) -> list[str]:
    """Return who else publishes what is to be played, as 'topic (node)'."""
    return list(dict.fromkeys(
        f'{name} ({_full_name(info)})' for name in sorted(played)
        for info in node.get_publishers_info_by_topic(name)
        if _full_name(info) != node.get_fully_qualified_name()))


def _acting(node: Node, played: Mapping[str, str], passed) -> dict[str, bool | None]:
    """Return {'topic (node)': see _could_act} of who hears what a policy acts on."""
    topics = sorted(name for name, kind in played.items()
                    if kind in ACTED_ON and name not in QUIET)
    return {f'{name} ({_full_name(info)})': _could_act(node, info) for name in topics
            for info in node.get_subscriptions_info_by_topic(name)
            if _full_name(info) not in passed}


def _could_act(node: Node, info) -> bool | None:
    """Return whether who listens can move something, None where the node is not known yet."""
    name, namespace = info.node_name, info.node_namespace
    if _UNKNOWN in name:
        return None
    if name.startswith(WATCHERS):
        return False
    try:
        said = node.get_publisher_names_and_types_by_node(name, namespace)
        asked = get_action_client_names_and_types_by_node(node, name, namespace)
    except NodeNameNonExistentError:
        return None
    return bool(asked) or any(COMMANDS & set(kinds) for _, kinds in said)


def _full_name(info) -> str:
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'
