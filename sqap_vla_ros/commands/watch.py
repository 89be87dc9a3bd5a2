# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla watch`: what running vla_nodes say of themselves, without a `ros2` command."""
import argparse

from ..errors import ConfigError
from ..support.ros_process import become_ros_process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sqap-vla watch`."""
    add = parser.add_argument
    add('--node', default='', metavar='NAME', help='watch this vla_node alone, such as '
        '/left/vla_node; default: all')
    add('--once', action='store_true', help='show what is known after a moment and end, with '
        'status 3 if something of it is an error')
    add('--topics', action='store_true', help="show the graph's topics and end: types, who "
        'publishes and subscribes, and whose QoS does not fit; with --node those of one node')
    add('--values', action='store_true', help='show the values of each status, too')


def run(args: argparse.Namespace) -> int:
    """Show statuses until Ctrl-C; see ros/tools/watch.py."""
    if args.topics and (args.once or args.values):
        raise ConfigError('--topics goes without --once and --values: it ends by itself')
    become_ros_process()
    from ..ros.tools.watch import watch
    return watch(args.node, args.once, args.topics, args.values)
