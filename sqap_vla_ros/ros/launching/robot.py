# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One vla_node as the arguments of a launch file describe it, checked; no launch in here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.vla.config import check_ros_name, NodeConfig, PARAMETERS

from .arguments import overrides, TOPICS
from .files import checkpoint_directory, robot_file, shipped
from .parameter_files import parameters_of

SERVO_NODE = '/servo_node'
SERVO_TOPICS = {'delta_twist_cmds': 'delta_twist_cmds', 'target_pose': 'pose_target_cmds'}


@dataclass(frozen=True)
class Robot:
    """
    What a node is started with.

    files: of parameters, later ones on top; overrides: on top of those.  config: what they make
    together.  remappings: of topics, [(from, to)].
    """

    name: str
    namespace: str
    files: Sequence[Path]
    overrides: Mapping
    config: NodeConfig
    remappings: Sequence[tuple[str, str]]

    @property
    def full_name(self) -> str:
        """Return the fully qualified name of the node."""
        return full_name(self.name, self.namespace)

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
    files = [robot_file(given['config']), *(shipped()[name] for name in layers)]
    values = overrides(given)
    if servo:
        files.append(shipped()['servo'])
        values = {'servo_node': servo, **values}
    for name in ('name', 'namespace'):
        _check_name(name, given[name])
    merged = _merged(files, values, full_name(given['name'], given['namespace']))
    config = NodeConfig.from_parameters({
        name: tuple(value) if isinstance(value, list) else value
        for name, value in merged.items() if name in PARAMETERS})
    checkpoint_directory(config)
    return Robot(given['name'], given['namespace'], files, values, config,
                 remappings(given, servo))


def full_name(name: str, namespace: str) -> str:
    """Return the fully qualified name of a node."""
    return '/' + '/'.join(part.strip('/') for part in (namespace, name) if part.strip('/'))


def _check_name(argument: str, text: str):
    if '/' in text and argument == 'name':
        raise ConfigError(f'name:={text} has a slash: give the part before it as namespace:=')
    if text.strip('/') or argument == 'name':
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
    return SERVO_NODE if text.lower() == 'true' else text


def remappings(given: Mapping[str, str], servo: str = '') -> list[tuple[str, str]]:
    """Return the remappings: of what was given, of Servo's topics for the others, and of TF."""
    topics = {topic: given[topic] for topic in TOPICS}
    for topic, name in SERVO_TOPICS.items() if servo else ():
        if topics[topic] == topic:
            topics[topic] = f'{servo}/{name}'
    tf = given['tf']
    return [*topics.items(), ('/tf', tf), ('/tf_static', given['tf_static'] or f'{tf}_static')]
