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
from sqap_vla_ros.support.ros_environment import fastdds_profile

SHARE = get_package_share_directory('sqap_vla_ros')
TOPICS = {
    'image': 'Image topic.', 'camera_info': 'CameraInfo topic.',
    'joint_states': 'JointState topic.', 'instruction': 'Topic of the instruction.',
    'delta_twist_cmds': 'Twists for MoveIt Servo.', 'gripper_command': 'Opening, 0 to 1.'}
OVERRIDES = {
    'checkpoint': ('', 'Checkpoint directory or bundled model; empty: as configured.'),
    'precision': ('', 'fp, w4a16, w8a8, w4a8 or w4a4; empty: as configured.'),
    'device': ('', 'cpu, cuda, cuda:0 or auto; empty: as configured.'),
    'dtype': ('', 'float32, bfloat16 or float16; empty: as configured.'),
    'int8_parts': ('', "Parts to hold at w8a8, such as 'vision,head'; empty: as configured."),
    'ddim_steps': ('', 'Steps of a diffusion head, 0 for all of DDPM; empty: as configured.'),
    'keep_tokens': ('', 'Visual tokens to keep; empty: as configured.'),
    'prune_layer': ('', 'First layer without the pruned tokens; empty: as configured.'),
    'autostart': ('', 'true: configure and activate at start; empty: as configured.'),
    'use_sim_time': ('', 'true: take the time from /clock; empty: as configured.'),
    'lockstep': ('', 'true: one command a tick of /clock; empty: as configured.')}


def vla_node(context):
    """Return the node, with the arguments that were given laid over the configuration."""
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    overrides = {name: value for name, value in given.items() if value}
    for name in {'ddim_steps', 'keep_tokens', 'prune_layer'} & set(overrides):
        overrides[name] = int(overrides[name])
    if 'int8_parts' in overrides:
        overrides['int8_parts'] = overrides['int8_parts'].replace(',', ' ').split()
    for name in {'autostart', 'use_sim_time', 'lockstep'} & set(overrides):
        overrides[name] = overrides[name].lower() == 'true'
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
    arguments += [DeclareLaunchArgument(name, default_value=default, description=description)
                  for name, (default, description) in OVERRIDES.items()]
    arguments += [DeclareLaunchArgument(name, default_value=name, description=description)
                  for name, description in TOPICS.items()]
    environment = [SetEnvironmentVariable(name, profile)
                   for name, profile in fastdds_profile(os.environ).items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=vla_node)])
