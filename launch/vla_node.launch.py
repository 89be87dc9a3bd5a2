# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start vla_node with a configuration and a checkpoint.

    ros2 launch sqap_vla_ros vla_node.launch.py config:=my_arm.yaml checkpoint:=/path image:=/cam
"""
import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterFile
from sqap_vla_ros.options import description, from_text, OPTIONS, parameter_name
from sqap_vla_ros.support.ros_environment import fastdds_profile

SHARE = get_package_share_directory('sqap_vla_ros')
TOPICS = {
    'image': 'Image topic.', 'camera_info': 'CameraInfo topic.',
    'joint_states': 'JointState topic.', 'instruction': 'Topic of the instruction.',
    'delta_twist_cmds': 'Twists for MoveIt Servo.', 'gripper_command': 'Opening, 0 to 1.'}
# launch arguments are shared with files that include this one: demo.launch.py has another seed
POLICY = {parameter_name(item): item for item in OPTIONS if item.name != 'seed'}
SWITCHES = {
    'autostart': 'Configure and activate at start.',
    'use_sim_time': 'Take the time from /clock.',
    'lockstep': 'One command a tick of /clock.'}
OVERRIDES = {
    'checkpoint': 'Checkpoint directory or bundled model.',
    **{name: description(item) for name, item in POLICY.items()},
    **{name: f'true or false: {text}' for name, text in SWITCHES.items()}}


def override(name, text):
    """Return the value of a parameter in its type."""
    if name in POLICY:
        value = from_text(POLICY[name], text)
        return list(value) if isinstance(value, tuple) else value
    return text.lower() == 'true' if name in SWITCHES else text


def vla_node(context):
    """Return the node, with the arguments that were given laid over the configuration."""
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {name: override(name, text) for name, text in given.items() if text}
    return [LifecycleNode(
        package='sqap_vla_ros', executable='vla_node', output='screen',
        name=LaunchConfiguration('name'), namespace=LaunchConfiguration('namespace'),
        parameters=[ParameterFile(LaunchConfiguration('config')), overrides],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in TOPICS])]


def generate_launch_description():
    """Return the launch description."""
    arguments = [
        DeclareLaunchArgument(
            'config', default_value=os.path.join(SHARE, 'config', 'libero_sim.yaml'),
            description='YAML file of parameters, one a robot.'),
        DeclareLaunchArgument('name', default_value='vla_node', description='Node name.'),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace.')]
    arguments += [
        DeclareLaunchArgument(
            name, default_value='', description=f'{text} Left out: as configured.')
        for name, text in OVERRIDES.items()]
    arguments += [DeclareLaunchArgument(name, default_value=name, description=text)
                  for name, text in TOPICS.items()]
    environment = [SetEnvironmentVariable(name, profile)
                   for name, profile in fastdds_profile(os.environ).items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=vla_node)])
