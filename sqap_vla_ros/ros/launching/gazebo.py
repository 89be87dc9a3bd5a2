# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The bridge between Gazebo and ROS: its file, checked, and which of it runs in which process.

Pictures are copied by the thread that carries /clock and joint states, too; so each camera has a
bridge of its own. No launch in here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import pi
from pathlib import Path
import xml.etree.ElementTree as ElementTree

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.parameter_files import content_of
import yaml

CAMERA_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo')
TOPIC_KEYS = ('topic_name', 'ros_topic_name', 'gz_topic_name')
TYPE_KEYS = ('ros_type_name', 'gz_type_name')
# frame_id and qos_profile are known to newer bridges alone, which docs/gazebo.md tells
KEYS = (*TOPIC_KEYS, *TYPE_KEYS, 'direction', 'publisher_queue', 'subscriber_queue', 'lazy',
        'frame_id', 'qos_profile', 'service_name', 'gz_req_type_name', 'gz_rep_type_name')
DIRECTIONS = ('GZ_TO_ROS', 'ROS_TO_GZ', 'BIDIRECTIONAL')
CLOCK = '/clock'
# what a time source asks for: the newest, and no sending again of what is past
CLOCK_QOS = {f'qos_overrides.{CLOCK}.publisher.{policy}': value for policy, value in (
    ('reliability', 'best_effort'), ('history', 'keep_last'), ('depth', 1))}
OPTICAL_RPY = (-pi / 2, 0.0, -pi / 2)  # of x right, y down, z forward in x forward, z up


@dataclass(frozen=True)
class Bridge:
    """One process of ros_gz_bridge: its name, entries of its file, and parameters."""

    name: str
    entries: Sequence[Mapping]
    parameters: Mapping

    @property
    def text(self) -> str:
        """Return its file."""
        return yaml.safe_dump(list(self.entries), sort_keys=False)


def bridge_entries(path: Path) -> list[dict]:
    """Return the entries of a bridge's file; raises ConfigError for what would not be bridged."""
    entries = content_of(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f'{path} is no file of ros_gz_bridge: expected a list of topics, each '
                          f'with {", ".join(TYPE_KEYS)} and a name (see gz_bridge.yaml)')
    for number, entry in enumerate(entries, 1):
        problem = _problem(entry)
        if problem:
            raise ConfigError(f'{path}, entry {number}: {problem}')
    return entries


def _problem(entry: Mapping) -> str:
    for key in entry:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1, 0.6)
            return f'{key} is unknown' + (f': did you mean {near[0]}?' if near else '')
    if 'service_name' in entry:
        return ''
    missing = [key for key in TYPE_KEYS if not entry.get(key)]
    if missing:
        return f'{" and ".join(missing)} missing'
    if not any(entry.get(key) for key in TOPIC_KEYS):
        return f'no topic: one of {", ".join(TOPIC_KEYS)}'
    direction = entry.get('direction', DIRECTIONS[-1])
    return '' if direction in DIRECTIONS else (
        f'direction is {direction}, expected one of {", ".join(DIRECTIONS)}')


def ros_topic(entry: Mapping) -> str:
    """Return the name of an entry's topic in ROS, '' for a service."""
    return next((entry[key] for key in ('ros_topic_name', 'topic_name', 'gz_topic_name')
                 if entry.get(key)), '')


def with_gazebo_names(entries: Iterable[Mapping], names: Mapping[str, str]) -> list[dict]:
    """
    Return entries with other names in Gazebo.

    names: {topic in ROS: in Gazebo}; '' leaves an entry as it is.  Raises ConfigError for a topic
    that no entry has.
    """
    entries, wanted = list(entries), {ros: gz for ros, gz in names.items() if gz}
    missing = set(wanted) - {ros_topic(entry).lstrip('/') for entry in entries}
    if missing:
        raise ConfigError(f'the bridge file has no ROS topic {" and ".join(sorted(missing))}, of '
                          'which a name in Gazebo was given')
    return [_renamed(entry, wanted.get(ros_topic(entry).lstrip('/'))) for entry in entries]


def _renamed(entry: Mapping, gazebo_name: str | None) -> dict:
    if not gazebo_name:
        return dict(entry)
    rest = {key: value for key, value in entry.items() if key not in TOPIC_KEYS}
    return {'ros_topic_name': ros_topic(entry), 'gz_topic_name': gazebo_name, **rest}


def bridges(entries: Iterable[Mapping], frames: Mapping[str, str]) -> list[Bridge]:
    """
    Return the processes: one for all that is small, one for each camera.

    frames: {camera: optical frame}, of the camera whose topics are in that namespace ('' for
    image and camera_info alone); Gazebo's own frame is the camera's body, x forward.
    """
    small, cameras = [], {}
    for entry in entries:
        if entry.get('ros_type_name') in CAMERA_TYPES:
            cameras.setdefault(_camera(entry), []).append(entry)
        else:
            small.append(entry)
    made = [Bridge('gz_bridge', small, CLOCK_QOS)] if small else []
    for camera, topics in cameras.items():
        frame = frames.get(camera, '')
        name = f'gz_{camera.replace("/", "_")}_bridge' if camera else 'gz_camera_bridge'
        made.append(Bridge(name, topics, {'override_frame_id': frame} if frame else {}))
    return made


def _camera(entry: Mapping) -> str:
    return ros_topic(entry).strip('/').rpartition('/')[0]


def urdf_text(path: Path) -> str:
    """Return the URDF of a robot to spawn; raises ConfigError for what is none."""
    text = Path(path).read_text(encoding='utf-8')
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ConfigError(f'robot:={path} is no XML: {error}') from error
    if root.tag != 'robot':
        raise ConfigError(f'robot:={path} is no URDF: it begins with <{root.tag}>, expected '
                          '<robot>. Put an SDF into the world instead')
    if 'http://www.ros.org/wiki/xacro' in ' '.join(item.tag for item in root.iter()):
        raise ConfigError(f'robot:={path} is xacro that was not expanded: '
                          f'xacro {path} > robot.urdf')
    return text
