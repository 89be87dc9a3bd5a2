# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The arguments of launch files: what each is for, and what the texts that were given mean.

Every parameter of the node is one. Launch shares arguments with files that include others, so that
what has another meaning elsewhere (seed, of the simulator) is no argument here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.options import checked, description, from_text
from sqap_vla_ros.ros.vla.config import PARAMETERS, PER_CAMERA

from .files import robots

LEFT_OUT = 'Left out: as configured.'
CONFIG = ('Has to be given: YAML file of parameters, one a robot, or the name of one that is '
          'shipped ({names}; copy example_arm.yaml for your own).')
SERVO = ("true, or the name of MoveIt Servo's node where that is not /servo_node: lays servo.yaml "
         'over the configuration, and remaps twists and poses to Servo. Left out: no Servo.')
TOPICS = {
    'image': 'Image topic; image_transport compressed takes <image>/compressed.',
    'camera_info': 'CameraInfo topic.',
    'joint_states': 'JointState topic.', 'instruction': 'Topic of the instruction.',
    'robot_description': 'Topic of the URDF, for joint outputs.',
    'delta_twist_cmds': 'Twists, for MoveIt Servo.', 'target_pose': 'Poses, of output pose.',
    'joint_trajectory': "Of the joint_trajectory_controller's, of output joint_trajectory.",
    'joint_commands': 'Positions, of output joint_position.',
    'gripper_command': 'Opening, 0 to 1, of gripper_output topic.'}
PARAMETER = {name: item for name, item in PARAMETERS.items() if name != 'seed'}
OVERRIDES = ('use_sim_time', *PARAMETER)
PATHS = ('checkpoint', 'urdf_file', 'tokenizer')
BEFORE_A_NAME = '/~.'  # in remappings, and in no argument: /image, ~/image
CAMERA_TOPICS = ('image', 'camera_info')  # that each of several cameras has: wrist/image


@dataclass(frozen=True)
class Argument:
    """A launch argument."""

    description: str
    default: str = ''


def vla_arguments(**topics: str) -> dict[str, Argument]:
    """Return the arguments of a launch file that starts vla_node; topics: other default names."""
    return {
        'config': Argument(CONFIG.format(names=', '.join(robots()))),
        'servo': Argument(SERVO),
        'name': Argument('Node name.', 'vla_node'),
        'namespace': Argument('Namespace: moves all relative names, such as left/image.'),
        'tf': Argument('Topic of TF, such as /left/tf for one of several robots.', '/tf'),
        'tf_static': Argument('Topic of static TF. Left out: that of tf with _static behind it.'),
        'rviz': Argument('true: starts RViz, too, with the overlay, the robot and its plan.',
                         'false'),
        **{name: Argument(text, topics.get(name, name)) for name, text in TOPICS.items()},
        'use_sim_time': Argument(f'true or false: take the time from /clock. {LEFT_OUT}'),
        **{name: Argument(f'{description(item)}{_range(item)} {LEFT_OUT}')
           for name, item in PARAMETER.items()}}


def _range(item) -> str:
    facts = item.metadata['option']
    return '' if facts.low is None else f' {facts.low:g} to {facts.high:g}.'


def override(name: str, text: str):
    """Return the value of a parameter in its type; raises ConfigError for a text that is none."""
    if name in PATHS:  # no shell turns ~ into a directory behind :=
        text = str(Path(text).expanduser())
    return typed(PARAMETER[name], text) if name in PARAMETER else truth(name, text)


def is_of_camera(name: str) -> bool:
    """Return whether an argument is of one of several cameras: wrist/image, wrist.min_contrast."""
    if name[:1] in BEFORE_A_NAME:
        return False
    return name.rpartition('/')[2] in CAMERA_TOPICS and '/' in name or (
        name.partition('.')[2] in PER_CAMERA)


def typed(item, text: str):
    """Return the value of a field in its type; raises ConfigError, with the range, for none."""
    value = from_text(item, text)
    checked(item, value)
    return list(value) if isinstance(value, tuple) else value


def overrides(given: Mapping[str, str]) -> dict:
    """Return {parameter: value} of the arguments that were given, of all of them."""
    own = {name: override(name, given[name]) for name in OVERRIDES if given.get(name)}
    of_cameras = {name: typed(PARAMETERS[name.partition('.')[2]], text)
                  for name, text in given.items() if '.' in name and is_of_camera(name)}
    return {**own, **of_cameras}


def truth(name: str, text: str) -> bool:
    """Return what true or false says; raises ConfigError for what says neither."""
    if text.lower() not in ('true', 'false'):
        raise ConfigError(f'{name} is {text!r}, expected true or false')
    return text.lower() == 'true'


def unknown(words: Iterable[str], known: Iterable[str], alike: float) -> list[str]:
    """
    Return what to tell of arguments, as name:=text, that launch would pass over without a word.

    alike: how near to a known one, of 1, a name has to be to be told; 0 tells of any.
    """
    known, told = list(known), []
    for name in (word.partition(':=')[0] for word in words if ':=' in word):
        near = _nearest(name, known, alike or 0.6)
        if name not in known and not is_of_camera(name) and (near or not alike):
            told.append(f'launch argument {name} is unknown' + (
                f': did you mean {near}?' if near else '; --show-args lists them'))
    return told


def _nearest(name: str, known: Iterable[str], alike: float) -> str:
    """Return the known name nearest to one that is misspelt, '' for none; wrist/imag has one."""
    name = name.lstrip(BEFORE_A_NAME)
    if name in known or is_of_camera(name):
        return name
    camera, mark, last = name.rpartition('/') if '/' in name else name.partition('.')
    if not mark:
        return ''.join(get_close_matches(name, known, 1, alike))
    near = get_close_matches(last, CAMERA_TOPICS if mark == '/' else PER_CAMERA, 1, alike)
    return f'{camera}{mark}{near[0]}' if near else ''
