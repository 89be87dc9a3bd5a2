# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One vla_node as the arguments of a launch file describe it, checked; no launch in here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.vla.config import (
    check_ros_name, NodeConfig, of_cameras, PARAMETERS, PER_CAMERA)
from sqap_vla_ros.ros.vla.overrides import parameters_of

from .arguments import CAMERA_TOPICS, is_of_camera, overrides, TOPICS
from .files import checkpoint_directory, existing_file, robot_file, shipped
from .layers import kept, notes

SERVO_NODE = '/servo_node'
SERVO_TOPICS = {'delta_twist_cmds': 'delta_twist_cmds', 'target_pose': 'pose_target_cmds'}


@dataclass(frozen=True)
class Robot:
    """
    What a node is started with.

    files: of parameters, later ones on top; overrides: on top of those.  config: what they make
    together.  remappings: of topics, [(from, to)].  notes: what to tell of files on top of the
    robot's own.
    """

    name: str
    namespace: str
    files: Sequence[Path]
    overrides: Mapping
    config: NodeConfig
    remappings: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()

    @property
    def full_name(self) -> str:
        """Return the fully qualified name of the node."""
        return full_name(self.name, self.namespace)

    @property
    def camera_frames(self) -> dict[str, str]:
        """Return the optical frame of each camera by its name, '' for the only one."""
        return {name: self.config.for_camera(name).camera_frame
                for name in self.config.cameras or ('',)}

    @property
    def uses_sim_time(self) -> bool:
        """Return whether /clock is the node's time."""
        return _merged(self.files, self.overrides, self.full_name).get('use_sim_time', False)


def robot_of(given: Mapping[str, str], layers: Sequence[str] = ()) -> Robot:
    """
    Return the robot that arguments describe.

    given: {argument: text} of vla_arguments().  layers: names of shipped files on top of the
    robot's.  Raises ConfigError or CheckpointError for what the node would refuse when it is
    configured, or would not hear of.
    """
    servo = servo_node(given['servo'])
    own, files = robot_file(given['config']), [shipped()[name] for name in layers]
    values = overrides(given)
    for name in ('name', 'namespace', 'tf', 'tf_static', *TOPICS, *filter(_is_topic, given)):
        _check_name(name, given[name])
    node = full_name(given['name'], given['namespace'])
    mine, layer, told = _merged([own], {}, node), _merged(files, {}, node), []
    if layer:
        told = notes(mine, layer, (own.name, files[-1].name), values)
        values = {**kept(mine, layer), **values}
    if servo:
        files.append(shipped()['servo'])
        values = {'servo_node': servo, **values}
    files = [own, *files]
    merged = _merged(files, values, node)
    config = NodeConfig.from_parameters({
        name: tuple(value) if isinstance(value, list) else value
        for name, value in merged.items()
        if name in PARAMETERS or name.partition('.')[2] in PER_CAMERA})
    topics = {name: text for name, text in given.items() if _is_topic(name)}
    _check_cameras(config.cameras, [*of_cameras(merged), *(
        name.rpartition('/')[0] for name in topics)])
    checkpoint_directory(config)
    if config.urdf_file:
        existing_file('urdf_file', config.urdf_file)
    return Robot(given['name'], given['namespace'], files, values, config,
                 [*remappings(given, servo), *camera_remappings(config.cameras, topics)], told)


def _check_cameras(cameras: Sequence[str], named: Iterable[str]):
    """Raise ConfigError for a camera that something is said of and that is none of cameras."""
    for name in named:
        if name not in cameras:
            near = get_close_matches(name, cameras, 1, 0.5)
            raise ConfigError(
                f'camera {name!r} is none of cameras, {list(cameras)}: '
                + (f'did you mean {near[0]}?' if near else 'add it, as cameras:='
                   + ','.join([*cameras, name])))


def camera_remappings(cameras: Iterable[str], given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the remappings of topics of several cameras, as wrist/image."""
    topics = [f'{camera}/{topic}' for camera in cameras for topic in CAMERA_TOPICS]
    return [(topic, given.get(topic, topic)) for topic in topics]


def full_name(name: str, namespace: str) -> str:
    """Return the fully qualified name of a node."""
    return '/' + '/'.join(part.strip('/') for part in (namespace, name) if part.strip('/'))


def _is_topic(name: str) -> bool:
    return '/' in name and is_of_camera(name)


def _check_name(argument: str, text: str):
    if '/' in text and argument == 'name':
        raise ConfigError(f'name:={text} has a slash: give the part before it as namespace:=')
    if text.strip('/') or argument not in ('namespace', 'tf_static'):
        try:
            check_ros_name(argument, text, may_be_empty=False)
        except ConfigError as error:
            raise ConfigError(str(error).replace('parameter', 'launch argument', 1)) from error


def _merged(files, values: Mapping, node: str) -> dict:
    """Return {parameter: value} of files and what is on top; raises ConfigError, see there."""
    merged = {}
    for path in files:
        merged.update(parameters_of(path, node, PARAMETERS))
    return {**merged, **values}


def servo_node(text: str) -> str:
    """Return the name of Servo's node; '' for none."""
    if text.lower() in ('', 'false'):
        return ''
    if text.lower() == 'true':
        return SERVO_NODE
    near = get_close_matches(text.lower(), ('true', 'false'), 1, 0.6)
    if near:
        raise ConfigError(f'servo:={text}: did you mean {near[0]}? Else the name of a node, with '
                          f'a slash: /{text}')
    return text


def remappings(given: Mapping[str, str], servo: str = '') -> list[tuple[str, str]]:
    """Return the remappings: of what was given, of Servo's topics for the others, and of TF."""
    topics = {topic: given[topic] for topic in TOPICS}
    for topic, name in SERVO_TOPICS.items() if servo else ():
        if topics[topic] == topic:
            topics[topic] = f'{servo}/{name}'
    tf = given['tf']
    return [*topics.items(), ('/tf', tf), ('/tf_static', given['tf_static'] or f'{tf}_static')]
