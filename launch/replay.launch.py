# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Play a bag into vla_node, which moves nothing, and record what it answers into a new bag.

    ros2 launch sqap_vla_ros replay.launch.py bag:=my_bag config:=my_arm.yaml checkpoint:=/path

Topics are found by their names and types; those that may command a robot are played below
/recorded. docs/bags.md has the rest.
"""
from launch.actions import LogInfo
from sqap_vla_ros.ros.bags.alone import check_nobody_is_misled
from sqap_vla_ros.ros.launching.arguments import Argument, vla_arguments
from sqap_vla_ros.ros.launching.nodes import describe, rviz
from sqap_vla_ros.ros.launching.replay_nodes import has_rosbag2, replay_actions
from sqap_vla_ros.ros.launching.replaying import DEFAULTS, REPLAY, replay_of

NODE = vla_arguments()
ARGUMENTS = {**REPLAY, **NODE, **{
    name: Argument(NODE[name].description.replace('Left out: as configured.', '').strip(), text)
    for name, text in DEFAULTS.items()}}


def start(context, given):
    """Return recorder, node, player, and RViz where it is asked for."""
    replay = replay_of(given, has_rosbag2())
    check_nobody_is_misled(replay.told)
    told = [LogInfo(msg=f'replay.launch.py: {note}') for note in replay.notes]
    return [*told, *replay_actions(replay), *rviz(replay.robot, given['rviz'])]


def generate_launch_description():
    """Return the launch description."""
    return describe(__file__, ARGUMENTS, start)
