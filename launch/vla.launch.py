# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start vla_node with a configuration and a checkpoint.

    ros2 launch sqap_vla_ros vla.launch.py config:=my_arm.yaml checkpoint:=/path image:=/cam

No robot is right by default: `config` has to be given. Every parameter of the node is an argument,
too, and an argument that is given overrules the file.
"""
from difflib import get_close_matches
import os
from pathlib import Path
import sys

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterFile
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.options import description, from_text
from sqap_vla_ros.ros.vla.config import PARAMETERS
from sqap_vla_ros.support.resources import share_directory
from sqap_vla_ros.support.ros_environment import fastdds_profile

DEFAULT = 'Left out: as configured.'
SHIPPED = {path.stem: path for path in sorted((share_directory() / 'config').glob('*.yaml'))}
SERVO_FILE = SHIPPED.pop('servo')  # which goes on top of a robot's
CONFIG = ('YAML file of parameters, one a robot, or the name of one that is shipped '
          f'({", ".join(SHIPPED)}; copy example_arm.yaml for your own).')
TOPICS = {
    'image': 'Image topic.', 'camera_info': 'CameraInfo topic.',
    'joint_states': 'JointState topic.', 'instruction': 'Topic of the instruction.',
    'robot_description': 'Topic of the URDF, for joint outputs.',
    'delta_twist_cmds': 'Twists for MoveIt Servo.', 'target_pose': 'Poses, of output pose.',
    'joint_trajectory': "Of the joint_trajectory_controller's.",
    'joint_commands': 'Positions, of output joint_position.',
    'gripper_command': 'Opening, 0 to 1.'}
SERVO = ("true, or the name of MoveIt Servo's node where that is not /servo_node: lays servo.yaml "
         'over the configuration, and remaps twists and poses to Servo. Left out: no Servo.')
SERVO_TOPICS = {'delta_twist_cmds': 'delta_twist_cmds', 'target_pose': 'pose_target_cmds'}
# launch arguments are shared with files that include this one: libero.launch.py has another seed
PARAMETER = {name: item for name, item in PARAMETERS.items() if name != 'seed'}
OVERRIDES = {**{name: f'{description(item)} {DEFAULT}' for name, item in PARAMETER.items()},
             'use_sim_time': f'true or false: take the time from /clock. {DEFAULT}'}
ARGUMENTS = ('config', 'servo', 'name', 'namespace', *TOPICS, *OVERRIDES)


def override(name, text):
    """Return the value of a parameter in its type; raises ConfigError for a text that is none."""
    value = from_text(PARAMETER[name], text) if name in PARAMETER else sim_time(text)
    return list(value) if isinstance(value, tuple) else value


def sim_time(text):
    """Return use_sim_time, which is ROS's own; raises ConfigError for what says neither."""
    if text.lower() not in ('true', 'false'):
        raise ConfigError(f'use_sim_time is {text!r}, expected true or false')
    return text.lower() == 'true'


def config_path(text):
    """
    Return the parameter file: one's own, or one that is shipped by its name without suffix.

    Raises RuntimeError, with those that are shipped, for none.
    """
    path = Path(text) if Path(text).is_file() else SHIPPED.get(text)
    if text == 'servo' and path is None or path and path.samefile(SERVO_FILE):
        raise RuntimeError(f"config:={text} is no robot's file: it goes on top of one, as "
                           'config:=my_arm.yaml servo:=true')
    if path is None:
        raise RuntimeError(f'config:={text} is no file. It takes a {CONFIG}')
    return str(path)


def check_spelling(context):
    """
    Return what to tell of arguments that launch would pass over without a word.

    Raises RuntimeError for one, unless another launch file includes this one: it may be its own.
    """
    is_included = not any(Path(word).name == Path(__file__).name for word in sys.argv)
    told = []
    for name in (word.partition(':=')[0] for word in context.argv if ':=' in word):
        nearest = get_close_matches(name, ARGUMENTS, 1, 0.9 if is_included else 0.8)
        if nearest and name not in ARGUMENTS:
            told.append(f'launch argument {name} is unknown: did you mean {nearest[0]}?')
    if told and not is_included:
        raise RuntimeError('; '.join(told))
    return [LogInfo(msg=f'vla.launch.py: {text}') for text in told]


def servo_node(text):
    """Return the name of Servo's node; '' for none."""
    if text.lower() in ('', 'false'):
        return ''
    return '/servo_node' if text.lower() == 'true' else text


def remappings(context, servo):
    """Return the remappings: those that were given, and Servo's topics for the others."""
    given = {topic: LaunchConfiguration(topic).perform(context) for topic in TOPICS}
    for topic, name in SERVO_TOPICS.items() if servo else ():
        if given[topic] == topic:
            given[topic] = f'{servo}/{name}'
    return list(given.items())


def vla_node(context):
    """Return the node, with the arguments that were given laid over the configuration."""
    warnings = check_spelling(context)
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {name: override(name, text) for name, text in given.items() if text}
    config = config_path(LaunchConfiguration('config').perform(context))
    servo = servo_node(LaunchConfiguration('servo').perform(context))
    of_servo = [ParameterFile(str(SERVO_FILE)), {'servo_node': servo}] if servo else []
    return [*warnings, LifecycleNode(
        package='sqap_vla_ros', executable='vla_node', output='screen',
        name=LaunchConfiguration('name'), namespace=LaunchConfiguration('namespace'),
        parameters=[ParameterFile(config), *of_servo, overrides],
        remappings=remappings(context, servo))]


def generate_launch_description():
    """Return the launch description."""
    arguments = [
        DeclareLaunchArgument('config', description=CONFIG),
        DeclareLaunchArgument('servo', default_value='', description=SERVO),
        DeclareLaunchArgument('name', default_value='vla_node', description='Node name.'),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace.')]
    arguments += [DeclareLaunchArgument(name, default_value='', description=text)
                  for name, text in OVERRIDES.items()]
    arguments += [DeclareLaunchArgument(name, default_value=name, description=text)
                  for name, text in TOPICS.items()]
    environment = [SetEnvironmentVariable(name, profile)
                   for name, profile in fastdds_profile(os.environ).items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=vla_node)])
