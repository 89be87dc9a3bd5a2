# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla record`: a live graph into a bag, where `ros2 bag record` is not there."""
import argparse
from pathlib import Path

from ..recordings.bag_writer import check_writable, STORAGES
from ..support.ros_process import become_ros_process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sqap-vla record`."""
    parser.epilog = 'Ctrl-C ends it and closes the bag.'
    add = parser.add_argument
    add('topics', nargs='*', metavar='TOPIC',
        help='topics by their full names; default: all but /rosout, /parameter_events and hidden '
        'ones')
    add('-a', '--all', action='store_true', help='all topics, as without TOPIC')
    add('-o', '--out', type=Path, required=True, metavar='BAG',
        help='directory of the bag, which must not exist')
    add('--exclude', nargs='+', default=(), metavar='NAME', help='topics to leave out')
    add('--duration', type=float, default=0.0, metavar='S',
        help='seconds after which it ends, from 0 to 1000000; 0: with Ctrl-C')
    add('-s', '--storage', default='mcap', choices=STORAGES, help='format of the bag')
    add('--sim-time', action='store_true', help='messages are of the time on /clock')


def run(args: argparse.Namespace) -> int:
    """Record; see ros/bags/recorder.py."""
    check_writable()
    become_ros_process()
    from ..ros.bags.recorder import record, RecordOptions
    topics = () if args.all else tuple(args.topics)
    return record(RecordOptions(args.out, topics, tuple(args.exclude), args.duration,
                                args.storage, args.sim_time))
