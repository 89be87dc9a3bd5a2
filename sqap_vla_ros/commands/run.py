# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`sqap-vla run`: one instruction for a running vla_node, without a `ros2` command.

Exit status by how the goal ended: 0 duration, 4 stopped, 5 estop, 6 fault, 7 client_gone,
8 deactivated, 9 the node is gone, 130 cancelled; 1 if something was refused.
"""
import argparse

from ..support.ros_process import become_ros_process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sqap-vla run`."""
    add = parser.add_argument
    parser.epilog = ('Ctrl-C cancels the goal and waits until the arm was told. ' +
                     __doc__.strip().split('\n\n')[1])
    add('instruction', nargs='?', default='', help='what to do, as a goal of ~/run_policy')
    add('--duration', type=float, default=60.0, metavar='S',
        help='seconds after which the goal ends, at least 0; 0: with Ctrl-C')
    add('--node', default='', metavar='NAME',
        help='which vla_node, such as /left/vla_node: wanted where there are several; without it '
        'others are looked for, for 5 s')
    add('--configure', action='store_true', help='first load the policy, if it is not loaded')
    add('--activate', action='store_true', help='first configure and activate the node, if it is '
        'not active')
    add('--resume', action='store_true', help='first call ~/resume, which clears what is latched: '
        'look at the arm before')
    add('--stop', action='store_true', help='call ~/stop of ALL vla_nodes that are seen, '
        'or of --node: the arms stand until ~/resume')


def run(args: argparse.Namespace) -> int:
    """Run; see ros/tools/run.py."""
    become_ros_process()
    from ..ros.tools.run import run, RunOptions
    return run(RunOptions(args.instruction, args.duration, args.node, args.configure,
                          args.activate, args.resume, args.stop))
