# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How a node's process joins ROS: what ROS cannot read of its arguments is told in one line.

ROS refuses `[0.5, -1, 2]`, a list in which a whole number stands beside decimal ones, before there
is a node to ask; so such lists are made decimal on the way in.
"""

from contextlib import contextmanager
import os
from pathlib import Path
import re
import sys
import tempfile

import rclpy
from rclpy.signals import SignalHandlerOptions
from sqap_vla_ros.errors import ConfigError

from .parameter_files import given_files, read_sections
from .yaml_values import with_decimal_lists

IN_ROS = re.compile(r'failed to initialize rcl: |, at /\S+\.c:\d+')


def join_ros(args=None):
    """
    Initialize rclpy without its signal handlers; args: the process's unless told.

    Raises ConfigError for arguments and parameter files that ROS cannot read.
    """
    arguments = list(sys.argv if args is None else args)
    for path in given_files(arguments):
        read_sections(path)
    try:
        with readable(arguments) as taken:
            rclpy.init(args=taken, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rcl's errors are of it, and have no other public name
        told = IN_ROS.sub('', str(error))
        raise ConfigError(f'ROS cannot read the arguments: {told}') from error


@contextmanager
def readable(arguments):
    """Yield arguments in which lists of numbers are of one kind, as ROS wants them."""
    copies = []
    try:
        yield [_readable(before, argument, copies)
               for before, argument in zip(['', *arguments], arguments)]
    finally:
        for copy in copies:
            os.unlink(copy)


def _readable(before, argument, copies):
    """Return an argument, or what stands for it; before: the one before it."""
    if before in ('-p', '--param') and ':=' in argument:
        name, _, value = argument.partition(':=')
        return f'{name}:={with_decimal_lists(value)}'
    if before != '--params-file':
        return argument
    text = Path(argument).read_text(encoding='utf-8')
    decimal = with_decimal_lists(text)
    if decimal == text:
        return argument
    try:
        with tempfile.NamedTemporaryFile(
                'w', suffix='.yaml', encoding='utf-8', delete=False) as copy:
            copies.append(copy.name)
            copy.write(decimal)
    except OSError as error:
        raise ConfigError(
            f'{argument} has 1 beside 0.5 in a list, and a copy that ROS can read cannot be '
            f'written: {error}. Write 1.0 instead of 1, or set TMPDIR to a folder with room'
        ) from error
    return copy.name
