# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The process of vla_node: signals stop the arm before ROS is left."""

import signal
import sys

import rclpy
from rclpy.exceptions import ParameterException
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.thread_waiting import wait_briefly

from .running import spin
from ..log import NodeLogHandler
from ..start import join_ros

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_process(make_node, args=None) -> int:
    """
    Run the node that make_node() returns; 0 after SIGINT, SIGTERM or SIGHUP, 1 without a start.

    rclpy's own signal handlers would shut the context down before the last zero command, so
    ours only raise a flag. SIGHUP stays ignored where it was (nohup).
    """
    wait_briefly()
    try:
        join_ros(args)
        node = make_node()
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda *_: node.interrupted.set())
        log = NodeLogHandler(node)
        try:
            started = spin(node)
        finally:
            log.close()
            for number in STOP_SIGNALS:  # `ros2 launch` sends a second one
                signal.signal(number, signal.SIG_IGN)
            if rclpy.ok():
                node.take_apart()
            node.destroy_node()
    except (ConfigError, ParameterException) as error:
        print(f'vla_node: {error}', file=sys.stderr)
        return 1
    finally:
        if rclpy.ok():
            rclpy.shutdown()
    if not started:
        print(f'vla_node: {node.problem}', file=sys.stderr)
    return 0 if started else 1
