# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start vla_node with a configuration and a checkpoint.

    ros2 launch sqap_vla_ros vla.launch.py config:=my_arm.yaml checkpoint:=/path image:=/cam

No robot is right by default: `config` has to be given. Every parameter of the node is an argument,
too, and an argument that is given overrules the file.
"""
from sqap_vla_ros.ros.launching.arguments import vla_arguments
from sqap_vla_ros.ros.launching.nodes import describe, rviz, vla_node
from sqap_vla_ros.ros.launching.robot import robot_of


def start(context, given):
    """Return the node, and RViz where it is asked for."""
    robot = robot_of(given)
    return [vla_node(robot), *rviz(robot, given['rviz'])]


def generate_launch_description():
    """Return the launch description."""
    return describe(__file__, vla_arguments(), start)
