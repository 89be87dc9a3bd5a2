# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The options of commands that look at recordings as the node would."""

from __future__ import annotations


def add_config_arguments(add) -> None:
    """Add the options that name the robot's parameters."""
    add('--config', action='append', default=[], metavar='FILE.yaml',
        help="the node's parameters: frames, cameras, limits; a file or the name of a shipped "
        'one; given again, later files are laid over earlier ones')
    add('--node', default='vla_node', metavar='NAME', help='whose section of --config it is')


def add_part_arguments(group) -> None:
    """Add the options that say what is what in a recording, and which part of it is taken."""
    add = group.add_argument
    add('--topics', nargs='+', action='extend', default=[], metavar='WHAT=TOPIC',
        help='which topic is what, where names and types do not tell: image, camera_info, tf, '
        'tf_static, joint_states, instruction, robot_description, clock; commands to compare '
        'with: twist, pose, joints, gripper; wrist/image of a camera wrist; an empty TOPIC: none')
    add('--dataset', default='', metavar='FILE.yaml',
        help='what the columns of a LeRobot data set are, and in which units: action and state as '
        "an action_space, static_transforms; the checkpoint's own action_space unless given")
    add('--instruction', default='', metavar='TEXT', help='in place of the recorded one')
    add('--camera-info', action='append', default=[], metavar='[CAMERA=]FILE.yaml',
        help='a calibration in place of the recorded camera_info, as camera_calibration writes '
        'it; given again for further cameras')
    add('--episodes', default='', metavar='LIST', help='of a recording of several, such as '
        "0,3-5: a data set's own numbers, of a bag their places from 0; all unless given")
    add('--start', type=float, default=0.0, metavar='S',
        help="from when on, at least 0, in seconds from each episode's first image")
    add('--end', type=float, metavar='S',
        help='until when, above --start and at most 1e9; the end unless given')
