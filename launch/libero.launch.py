# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the LIBERO simulator and vla_node together; the launch ends with the last episode.

    ros2 launch sqap_vla_ros libero.launch.py task:='put the bowl on the stove' episodes:=3

`sqap-vla demo` runs the same two nodes and measures them.
"""
import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from sqap_vla_ros.demo.options import BLANK_IMAGE

SHARE = get_package_share_directory('sqap_vla_ros')
# argument: (type of the simulator's parameter, default, description); `task` is its parameter
# `instruction`, a name that vla.launch.py has for the topic
SIMULATOR = {
    'task': (str, '', 'Instruction to follow; empty: the instructions take turns.'),
    'episodes': (int, '10', 'Number of episodes.'),
    'seed': (int, '0', 'Placement seed of the first episode.'),
    'max_steps': (int, '300', 'Control steps after which an episode has failed.'),
    'control': (str, 'none', 'none, blank-image or other-instruction.'),
    'lockstep': (bool, 'true', 'false: wall clock, physics does not wait for the policy.')}
POLICY = {
    'checkpoint': ('libero_goal', 'A bundled model or a checkpoint directory.'),
    'precision': ('w4a4', 'fp, w4a16, w8a8, w4a8 or w4a4.'),
    'keep_tokens': ('154', 'Visual tokens to keep; 0 keeps all.')}


def vla_node(context):
    """Return the node's launch file; its image checks are off where a blank image is shown."""
    lockstep = LaunchConfiguration('lockstep')
    is_blank = LaunchConfiguration('control').perform(context) == 'blank-image'
    unchecked = {name: str(value) for name, value in BLANK_IMAGE.items()} if is_blank else {}
    return [IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, 'launch', 'vla.launch.py')),
        launch_arguments={
            'config': 'libero_sim',
            'autostart': 'true', 'lockstep': lockstep, 'use_sim_time': lockstep, **unchecked,
            **{name: LaunchConfiguration(name) for name in POLICY}}.items())]


def generate_launch_description():
    """Return the launch description."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=description)
                 for name, (_, default, description) in SIMULATOR.items()]
    arguments += [DeclareLaunchArgument(name, default_value=default, description=description)
                  for name, (default, description) in POLICY.items()]
    policy = OpaqueFunction(function=vla_node)  # first: it also sets Fast DDS's profile for both
    simulator = Node(
        package='sqap_vla_ros', executable='libero_sim_node', name='libero_sim',
        output='screen', on_exit=[Shutdown()],
        parameters=[{'instruction' if name == 'task' else name: ParameterValue(
            LaunchConfiguration(name), value_type=kind)
            for name, (kind, _, _) in SIMULATOR.items()}])
    return LaunchDescription([*arguments, policy, simulator])
