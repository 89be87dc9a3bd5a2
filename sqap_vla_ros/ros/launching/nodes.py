# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What launch files start, as actions of launch; the only file here that imports launch."""

from collections.abc import Callable, Mapping
import os
from pathlib import Path
import sys

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterFile
from sqap_vla_ros.control.output_modes import JOINT_OUTPUTS
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.resources import share_directory
from sqap_vla_ros.support.ros_environment import fastdds_profile

from .arguments import Argument, CAMERA_TOPICS, is_of_camera, truth, unknown
from .robot import Robot

SURE = 0.9  # of a name that may be another launch file's, how near it has to be to ours


def describe(file: str, arguments: Mapping[str, Argument], start: Callable) -> LaunchDescription:
    """
    Return a launch description.

    file: __file__ of the launch file.  start(context, given): returns what to start, from the
    texts of all arguments, once their names are known to be right.
    """
    def started(context):
        told = check_names(file, context, arguments)
        given = {name: LaunchConfiguration(name).perform(context) for name in arguments}
        given.update({name: text for name, text in context.launch_configurations.items()
                      if is_of_camera(name)})
        return [*told, *start(context, given)]
    declared = [
        DeclareLaunchArgument(
            name, description=argument.description, default_value=argument.default)
        for name, argument in arguments.items()]
    environment = [SetEnvironmentVariable(name, profile)
                   for name, profile in fastdds_profile(os.environ).items()]
    return LaunchDescription([*declared, *environment, OpaqueFunction(function=started)])


def check_names(file: str, context, known) -> list[LogInfo]:
    """
    Return what to log of arguments that nobody knows.

    Raises ConfigError for one, unless another launch file includes this one: it may be its own.
    """
    name = Path(file).name
    is_included = not any(Path(word).name == name for word in sys.argv)
    told = unknown(context.argv, known, SURE if is_included else 0)
    if told and not is_included:
        raise ConfigError('; '.join(told))
    return [LogInfo(msg=f'{name}: {text}') for text in told]


def notes(file: str, robot: Robot) -> list[LogInfo]:
    """Return what to log of files on top of the robot's."""
    return [LogInfo(msg=f'{Path(file).name}: {text}') for text in robot.notes]


def vla_node(robot: Robot) -> LifecycleNode:
    """Return the node."""
    return LifecycleNode(
        package='sqap_vla_ros', executable='vla_node', output='screen', name=robot.name,
        namespace=robot.namespace,
        parameters=[*(ParameterFile(str(path)) for path in robot.files), robot.overrides],
        remappings=list(robot.remappings))


def rviz(robot: Robot, text: str) -> list[Node]:
    """Return RViz with the node's topics, where rviz:= says true."""
    if not truth('rviz', text):
        return []
    require('rviz2', 'rviz:=true')
    config = share_directory() / 'rviz' / 'vla.rviz'
    poses = 'planned_poses' if robot.config.output in JOINT_OUTPUTS else 'planned_trajectory'
    names = {'/vla_node/overlay': f'{robot.full_name}/overlay',
             '/vla_node/planned_trajectory': f'{robot.full_name}/{poses}'}
    topics = {f'/{topic.lstrip("/")}': name for topic, name in robot.remappings
              if topic in ('image', 'camera_info', 'robot_description', '/tf', '/tf_static')}
    # of the first camera: a checkpoint may name another, which is not opened for a window
    for topic in CAMERA_TOPICS if robot.config.cameras else ():
        topics[f'/{topic}'] = dict(robot.remappings)[f'{robot.config.cameras[0]}/{topic}']
    return [Node(
        package='rviz2', executable='rviz2', name='rviz', namespace=robot.namespace,
        arguments=['-d', str(config), '-f', robot.config.base_frame],
        parameters=[{'use_sim_time': robot.uses_sim_time}],
        remappings=[*names.items(), *topics.items()])]


def require(package: str, what: str) -> None:
    """Raise ConfigError, with the way to install it, where a ROS package is not there."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        distro = os.environ.get('ROS_DISTRO', '$ROS_DISTRO')
        raise ConfigError(
            f'{what} needs the ROS package {package}, which is not there: '
            f'sudo apt install ros-{distro}-{package.replace("_", "-")}, and source it') from None
