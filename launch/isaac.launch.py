# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start vla_node for a robot in Isaac Sim, which runs by itself.

    ros2 launch sqap_vla_ros isaac.launch.py config:=my_arm.yaml checkpoint:=/path

isaac.yaml lies on top of the robot's file, and topics have the names of Isaac's own graphs;
docs/isaac.md has the graphs that are expected.
"""
from sqap_vla_ros.ros.launching.arguments import vla_arguments
from sqap_vla_ros.ros.launching.nodes import describe, notes, rviz, vla_node
from sqap_vla_ros.ros.launching.robot import robot_of

ARGUMENTS = vla_arguments(
    image='rgb', joint_trajectory='joint_trajectory_controller/joint_trajectory',
    joint_commands='forward_position_controller/commands')


def start(context, given):
    """Return the node, and RViz where it is asked for."""
    robot = robot_of(given, ['isaac'])
    return [vla_node(robot), *rviz(robot, given['rviz']), *notes(__file__, robot)]


def generate_launch_description():
    """Return the launch description."""
    return describe(__file__, ARGUMENTS, start)
