# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the LIBERO simulator and vla_node together; the launch ends with the last episode.

    ros2 launch sqap_vla_ros libero.launch.py task:='put the bowl on the stove' episodes:=3

A checkpoint of two cameras names them, such as cameras:=full,wrist; the simulator then shows what
the one on the hand sees, too.

`sqap-vla demo` runs the same two nodes and measures them.
"""
from dataclasses import fields

from launch.actions import Shutdown
from launch_ros.actions import Node
from sqap_vla_ros.demo.options import BLANK_IMAGE, bundled_for
from sqap_vla_ros.evaluate.simulated_robot import is_wrist, parameters_of, topics_of
from sqap_vla_ros.options import description, plain_default
from sqap_vla_ros.ros.launching.arguments import (
    Argument, override, OVERRIDES, typed, vla_arguments)
from sqap_vla_ros.ros.launching.nodes import describe, rviz, vla_node
from sqap_vla_ros.ros.launching.robot import robot_of
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from sqap_vla_ros.sim.options import WRIST_CAMERA
from sqap_vla_ros.sim.units import COMMAND_SCALES

# argument: parameter of the simulator; `task`, because the node has a topic `instruction`
SIMULATOR = {'task': 'instruction', **{name: name for name in (
    'episodes', 'seed', 'max_steps', 'control', 'lockstep', 'faults', 'command_kind')}}
SETTINGS = {item.name: item for item in fields(SimSettings)}
NODE = vla_arguments()
DEFAULTS = {'precision': 'auto', 'keep_tokens': '154'}
FIXED = {'config': 'libero_sim', 'autostart': 'true'}


def arguments():
    """Return the simulator's, and of the node those that concern the simulator in nothing."""
    simulator = {name: Argument(description(SETTINGS[item]), text_of(SETTINGS[item]))
                 for name, item in SIMULATOR.items()}
    node = {name: Argument(NODE[name].description, DEFAULTS.get(name, NODE[name].default))
            for name in ('rviz', *OVERRIDES) if name not in (*FIXED, 'use_sim_time', 'lockstep')}
    return {**simulator, **node}


def text_of(item):
    """Return the default of a setting as an argument's text."""
    value = plain_default(item)
    return ' '.join(value) if isinstance(value, tuple) else (
        str(value).lower() if isinstance(value, bool) else str(value))


def settings(given, cameras):
    """
    Return the simulator's parameters; raises ConfigError for values that make no sense.

    cameras: names of those that the policy sees, none for one of any name.
    """
    values = {item: typed(SETTINGS[item], given[name]) for name, item in SIMULATOR.items()}
    values['wrist_camera'] = WRIST_CAMERA if any(map(is_wrist, cameras)) else ''
    SimSettings(**{name: tuple(value) if isinstance(value, list) else value
                   for name, value in values.items()})
    return {name: value for name, value in values.items() if value != []}  # which has no type


def limits_of(kind, given):
    """Return the limits of a kind of commands that were not given, as texts of arguments."""
    limits = COMMAND_SCALES[kind].limits
    return {name: str(value) for name, value in {
        'max_linear_speed': limits.linear, 'max_angular_speed': limits.angular}.items()
        if not given[name]}


def bundled(given):
    """Return the name of the bundled policy that has the weights which were asked for."""
    int8 = override('int8_parts', given['int8_parts']) if given['int8_parts'] else ()
    return bundled_for(given['precision'], int8)


def start(context, given):
    """Return the node, with image checks off where a blank image is shown, and the simulator."""
    given = {**given, 'checkpoint': given['checkpoint'] or bundled(given)}
    cameras = tuple(given['cameras'].replace(',', ' ').split())
    topics = topics_of(cameras)
    simulator = settings(given, cameras)
    is_blank = given['control'] == 'blank-image'
    unchecked = {name: str(value) for name, value in {
        **parameters_of(cameras), **(BLANK_IMAGE if is_blank else {})}.items()}
    robot = robot_of({
        **{name: argument.default for name, argument in NODE.items()},
        **{name: text for name, text in given.items() if name in NODE},
        **topics, **FIXED, **unchecked, **limits_of(simulator['command_kind'], given),
        'use_sim_time': given['lockstep'], 'lockstep': given['lockstep']})
    return [vla_node(robot), *rviz(robot, given['rviz']), Node(
        package='sqap_vla_ros', executable='libero_sim_node', name='libero_sim',
        output='screen', on_exit=[Shutdown()], parameters=[simulator])]


def generate_launch_description():
    """Return the launch description."""
    return describe(__file__, arguments(), start)
