# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla play`: a bag into a live graph, where `ros2 bag play` is not there."""
import argparse
from collections.abc import Sequence

from ..errors import ConfigError
from ..support.ros_process import become_ros_process

CLOCK_HZ = 100.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sqap-vla play`."""
    parser.epilog = ('Sensors keep their names; whatever may command a robot is played below '
                     '/recorded, unless --own-names says otherwise. On a terminal Ctrl-C is a '
                     'pause, and a second one the end.')
    add = parser.add_argument
    add('bag', metavar='BAG', help='directory of the bag, or a file of it')
    add('--clock', type=_hertz, nargs='?', const=CLOCK_HZ, metavar='HZ',
        help=f'tell the time of the recording on /clock, from 1 to 1000 Hz; {CLOCK_HZ:g} without '
        'a number; default: not at all')
    add('--rate', type=float, default=1.0, metavar='X',
        help='how fast, in times of real time, from 0.01 to 100')
    add('--loop', action='store_true', help='again and again; time goes back each time')
    add('--start', type=float, default=0.0, metavar='S',
        help='seconds from the beginning, at least 0; what was latched before is there')
    add('--end', type=float, default=None, metavar='S',
        help='seconds from the beginning, above --start; default: to the end')
    add('--topics', nargs='+', default=(), metavar='NAME', help='topics to play; default: all')
    add('--own-names', nargs='+', default=(), metavar='NAME', help='topics that keep their names '
        "although a robot may take them for commands; 'all' for all of them")
    add('--remap', nargs='+', default=(), metavar='FROM:=TO',
        help='play topics under other names')
    add('--wait-for', default='', metavar='NODE', help='lifecycle node, such as /vla_node: time '
        'stands still, with what is latched told, until it is active')
    add('--instruction', default='', metavar='TEXT',
        help='tell this, latched, instead of a recorded instruction')
    add('--instruction-topic', default='/instruction', metavar='NAME',
        help='full name of the topic on which that is told')
    add('--beside-others', action='store_true', help='play also where somebody else publishes the '
        'same topics, or could act on what it hears')


def _hertz(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no number: give the bag before --clock, or --clock={CLOCK_HZ:g}'
        ) from None


def run(args: argparse.Namespace) -> int:
    """Play; see ros/bags/player.py."""
    remap = remapped(args.remap)
    become_ros_process()
    from ..ros.bags.play_options import PlayOptions
    from ..ros.bags.player import play
    return play(PlayOptions(
        args.bag, args.rate, args.start, args.end, args.loop, args.clock or 0.0,
        tuple(args.topics), tuple(args.own_names), remap, args.wait_for, args.beside_others,
        args.instruction, args.instruction_topic))


def remapped(words: Sequence[str]) -> dict[str, str]:
    """Return {from: to} of words such as /cam/image:=/image; raise ConfigError for others."""
    pairs = [word.partition(':=') for word in words]
    for before, sign, after in pairs:
        if not (sign and before.startswith('/') and after.startswith('/')):
            raise ConfigError(f'--remap {before}{sign}{after}: expected /FROM:=/TO')
    return {before: after for before, _, after in pairs}
