# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Options of the scene that collecting, training and evaluating share."""

from __future__ import annotations

from ..sim.options import PLACEMENT_M, SceneOptions


def add_scene_arguments(parser, official: bool = False) -> None:
    """
    Add the options, but for the instructions, to an argparse parser.

    official: with --initial-states, which are for tests alone.
    """
    add = parser.add_argument
    add('--suite', default=SceneOptions.suite, metavar='NAME', help='LIBERO suite of the tasks')
    add('--placement-m', type=float, default=PLACEMENT_M, metavar='M',
        help='side of the square each object is placed in, m, at least 0; 0: the places of the '
        'benchmark')
    if official:
        add('--initial-states', action='store_true',
            help="start from the benchmark's official states, in turn for each task; "
            '--placement-m does not apply')
    add('--yaw-rad', type=float, default=0.0, metavar='RAD',
        help='objects are turned by up to this, either way, rad, at least 0')
    add('--distractors', type=int, default=0, metavar='N',
        help='objects added to the scene that belong to no task, at least 0')
    add('--camera-pose', type=float, nargs=6, default=(), metavar='M',
        help='x y z of the camera and of what it looks at, base frame, any six numbers, m; the '
        "scene's own unless given")
    add('--camera-jitter-m', type=float, default=0.0, metavar='M',
        help='the camera is moved by up to this along each axis, each episode anew, m, at least 0')
    add('--camera-jitter-rad', type=float, default=0.0, metavar='RAD',
        help='the camera is turned by up to this about each axis, each episode anew, rad, at '
        'least 0')
    add('--light-jitter', type=float, default=0.0, metavar='0..1',
        help='how much brightness, places and directions of the lights change, from 0 to 1')
