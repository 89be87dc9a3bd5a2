# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What gazebo.launch.py starts beside the node, as actions of launch."""

import atexit
from pathlib import Path
import tempfile

from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from .files import existing_file, world_of
from .gazebo import Bridge, OPTICAL_RPY, urdf_text
from .nodes import require
from .robot import Robot

TF = ('/tf', '/tf_static')


def gazebo_with_world(world: str, is_headless: bool) -> list:
    """Return Gazebo with a world, playing; nothing for none."""
    if not world:
        return []
    require('ros_gz_sim', 'world:=')
    world = world_of(world)
    options = '-r -s --headless-rendering' if is_headless else '-r'
    launch = Path(get_package_share_directory('ros_gz_sim'), 'launch', 'gz_sim.launch.py')
    return [IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch)),
        launch_arguments={'gz_args': f'{options} {world}', 'on_exit_shutdown': 'true'}.items())]


def spawned(path: str, robot: Robot) -> list:
    """Return a robot_state_publisher with a URDF and what spawns it; nothing for none."""
    if not path:
        return []
    text = urdf_text(existing_file('robot', path))
    for package in ('ros_gz_sim', 'robot_state_publisher'):
        require(package, 'robot:=')
    return [
        Node(package='robot_state_publisher', executable='robot_state_publisher',
             namespace=robot.namespace,
             remappings=_of(robot, *TF, 'robot_description', 'joint_states'), parameters=[{
                 'robot_description': ParameterValue(text, value_type=str),
                 'use_sim_time': True}]),
        Node(package='ros_gz_sim', executable='create', output='screen', arguments=[
            '-file', str(Path(path).expanduser().resolve()),
            '-name', robot.namespace.strip('/').replace('/', '_') or 'robot'])]


def _of(robot: Robot, *topics: str) -> list[tuple[str, str]]:
    return [(topic, name) for topic, name in robot.remappings if topic in topics]


def bridge_node(bridge: Bridge, robot: Robot) -> Node:
    """Return one process of ros_gz_bridge, whose topics are remapped as the node's are."""
    with tempfile.NamedTemporaryFile(
            'w', prefix=f'{bridge.name}_', suffix='.yaml', delete=False) as file:
        file.write(bridge.text)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return Node(
        package='ros_gz_bridge', executable='parameter_bridge', name=bridge.name,
        namespace=robot.namespace, output='screen',
        parameters=[{'config_file': file.name, **bridge.parameters}],
        remappings=list(robot.remappings))


def optical_frame(camera_link: str, robot: Robot) -> list[Node]:
    """Return what publishes the optical frame of a camera's body; nothing for none."""
    if not camera_link:
        return []
    require('tf2_ros', 'camera_link:=')
    angles = [text for name, angle in zip(('--roll', '--pitch', '--yaw'), OPTICAL_RPY)
              for text in (name, repr(angle))]
    return [Node(
        package='tf2_ros', executable='static_transform_publisher', namespace=robot.namespace,
        arguments=['--frame-id', camera_link, '--child-frame-id', robot.config.camera_frame,
                   *angles], remappings=_of(robot, *TF))]
