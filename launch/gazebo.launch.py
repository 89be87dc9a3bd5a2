# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start vla_node for a robot in Gazebo, with the bridge; and Gazebo, where a world is named.

    ros2 launch sqap_vla_ros gazebo.launch.py config:=my_arm.yaml checkpoint:=/path

gazebo.yaml lies on top of the robot's file; docs/gazebo.md has the way from a simulation to a dry
run, and the optical frame that a camera needs.
"""
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.launching.arguments import Argument, truth, vla_arguments
from sqap_vla_ros.ros.launching.files import existing_file, shipped
from sqap_vla_ros.ros.launching.gazebo import bridge_entries, bridges, with_gazebo_names
from sqap_vla_ros.ros.launching.gazebo_nodes import (
    bridge_node, gazebo_with_world, optical_frame, spawned)
from sqap_vla_ros.ros.launching.nodes import describe, notes, require, rviz, vla_node
from sqap_vla_ros.ros.launching.robot import robot_of

GAZEBO = {
    'world': Argument('World (SDF) to start Gazebo with, a file or a name that Gazebo finds. Left '
                      'out: one runs already.'),
    'headless': Argument('true: Gazebo without a window; cameras render all the same.', 'false'),
    'robot': Argument('URDF to spawn and to tell of (robot_description, TF). Left out: it is '
                      'there already.'),
    'bridge': Argument('File of ros_gz_bridge; false: it is bridged already. Left out: '
                       'gz_bridge.yaml of this package.'),
    'gz_image': Argument("Image topic in Gazebo (gz topic -l). Left out: the bridge file's."),
    'gz_camera_info': Argument("CameraInfo topic in Gazebo. Left out: the bridge file's."),
    'gz_joint_states': Argument('Joint states in Gazebo, to bridge them, too. Left out: the '
                                'joint_state_broadcaster of gz_ros2_control tells them in ROS.'),
    'camera_link': Argument("TF frame of the camera's body, to publish camera_frame, which looks "
                            'along z, in it. Left out: the URDF has the optical frame.')}
ARGUMENTS = {**GAZEBO, **vla_arguments(
    joint_trajectory='joint_trajectory_controller/joint_trajectory',
    joint_commands='forward_position_controller/commands')}


def bridge_nodes(robot, given):
    """Return the bridges, none where bridge:= is false."""
    if given['bridge'].lower() == 'false':
        return []
    require('ros_gz_bridge', 'the bridge to Gazebo')
    path = existing_file('bridge', given['bridge']) if given['bridge'] else shipped()['gz_bridge']
    entries = with_gazebo_names(bridge_entries(path), {
        'image': given['gz_image'], 'camera_info': given['gz_camera_info'],
        'joint_states': given['gz_joint_states']})
    if not given['bridge'] and not given['gz_joint_states']:
        entries = [entry for entry in entries if entry['ros_topic_name'] != 'joint_states']
    return [bridge_node(bridge, robot)
            for bridge in bridges(entries, robot.camera_frames)]


def start(context, given):
    """Return Gazebo and the robot where they are asked for, the bridges, the node, and RViz."""
    robot = robot_of(given, ['gazebo'])
    if given['camera_link'] and not robot.config.camera_frame:
        raise ConfigError('camera_link needs the name of the optical frame: camera_frame is empty')
    return [
        *gazebo_with_world(given['world'], truth('headless', given['headless'])),
        *spawned(given['robot'], robot), *bridge_nodes(robot, given),
        *optical_frame(given['camera_link'], robot),
        vla_node(robot), *rviz(robot, given['rviz']), *notes(__file__, robot)]


def generate_launch_description():
    """Return the launch description."""
    return describe(__file__, ARGUMENTS, start)
