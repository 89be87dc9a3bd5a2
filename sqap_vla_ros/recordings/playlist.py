# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Under which names the topics of a bag are played: never where a robot would listen to commands.

Sensors keep their names. Whatever else was recorded, commands above all, is played below
/recorded, unless it is asked for by name: an arm that hears a recorded command moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import re

from .recording import Topic
from ..errors import ConfigError
from ..support.validation import nearest

RECORDED = '/recorded'
CLOCK = 'rosgraph_msgs/msg/Clock'
JOINT_STATE, STRING = 'sensor_msgs/msg/JointState', 'std_msgs/msg/String'
TF = 'tf2_msgs/msg/TFMessage'
SENSORS = {
    'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/CameraInfo',
    'sensor_msgs/msg/Imu', 'sensor_msgs/msg/LaserScan', 'sensor_msgs/msg/PointCloud2',
    TF, 'diagnostic_msgs/msg/DiagnosticArray', CLOCK}
# types that are commands as well: what the last part of a name has to hold
TOLD_BY_NAME = {JOINT_STATE: ('joint_state',), STRING: ('instruction', 'robot_description')}
FOLLOWED = {*TOLD_BY_NAME, TF}
# words in a name that say that somebody is told to be so, whatever its last part says
COMMANDED = re.compile(
    r'cmd|command|target|goal|desired|reference|set_?point|leader|gello|master|teleop|operator|'
    r'action|demand|planned')
LEFT_OUT = ('/rosout', '/parameter_events')
ALL = 'all'
LATCHED = ('tf_static', 'robot_description', 'instruction')  # whatever a bag says, or does not


def is_latched(topic: Topic) -> bool:
    """Return whether late subscribers get a topic's last messages, as they expect of it."""
    return topic.latched or topic.name.rpartition('/')[2] in LATCHED


def is_sensor(topic: Topic) -> bool:
    """
    Return whether nothing that moves listens to a topic.

    /arm/joint_states is measured; /gello/joint_states are joints that an arm is to follow, and
    so may be frames that are desired.
    """
    name = topic.name.lower()
    if topic.kind in FOLLOWED and COMMANDED.search(name):
        return False
    return topic.kind in SENSORS or any(
        word in name.rpartition('/')[2] for word in TOLD_BY_NAME.get(topic.kind, ()))


def playlist(topics: Iterable[Topic], wanted: Iterable[str] = (), own_names: Iterable[str] = (),
             with_clock: bool = True) -> dict[str, str]:
    """
    Return {topic: name under which it is played}.

    wanted: the topics to play; empty for all but ROS's own and hidden ones.  own_names: topics
    that keep their names whatever they are, or 'all'.  with_clock: False leaves /clock out.
    Raises ConfigError for a name that is no topic of the bag.
    """
    known = {topic.name: topic for topic in topics}
    wanted, own_names = list(wanted), list(own_names)
    check_topics('--topics', wanted, known)
    check_topics('--own-names', [name for name in own_names if name != ALL], known)
    played = {}
    for name, topic in known.items():
        is_hidden = name in LEFT_OUT or '/_' in name
        if wanted and name not in wanted or not wanted and is_hidden:
            continue
        if topic.kind == CLOCK and not with_clock:
            continue
        keeps = is_sensor(topic) or name in own_names or ALL in own_names
        played[name] = absolute(name) if keeps else f'{RECORDED}{absolute(name)}'
    if not played:
        raise ConfigError(f'nothing is left to play of the topics {", ".join(known)}')
    return played


def check_topics(option: str, names: Iterable[str], known: Mapping[str, Topic]) -> None:
    """Raise ConfigError for a name that is none of the topics."""
    for name in names:
        if name not in known:
            raise ConfigError(f'{option} {name} is no topic of the bag{nearest(name, known)}; '
                              f'there: {", ".join(known)}')


def absolute(name: str) -> str:
    """Return a topic's name with a slash before it."""
    return f'/{name.lstrip("/")}'
