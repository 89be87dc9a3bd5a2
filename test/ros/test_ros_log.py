# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the package logs appears in the node's log, at the same severity."""

import logging
from types import SimpleNamespace

from rclpy.logging import get_logger
from sqap_vla_ros.ros.log import NodeLogHandler

PACKAGE = logging.getLogger('sqap_vla_ros.kernels')


class Log:
    """Keeps what is logged."""

    def __init__(self):
        self.lines = []

    def __getattr__(self, severity):
        return lambda text: self.lines.append((severity, text))


def test_choices_and_warnings_reach_the_node_until_it_ends():
    log = Log()
    handler = NodeLogHandler(SimpleNamespace(get_logger=lambda: log))
    PACKAGE.info('%s kernels for %s', 'triton', 'cuda')
    PACKAGE.warning('a slower path')
    PACKAGE.error('no path')
    PACKAGE.debug('every candidate')
    handler.close()
    PACKAGE.error('too late')
    assert log.lines == [('info', 'triton kernels for cuda'), ('warning', 'a slower path'),
                         ('error', 'no path')]
    assert logging.getLogger('sqap_vla_ros').level == logging.NOTSET


def test_the_middlewares_logger_takes_all_severities_in_any_order(capfd):
    handler = NodeLogHandler(SimpleNamespace(get_logger=lambda: get_logger('vla_node')))
    for _ in range(2):  # it refuses another severity from the same line of code
        PACKAGE.info('one')
        PACKAGE.warning('two')
        PACKAGE.error('three')
    handler.close()
    shown = capfd.readouterr()
    assert (shown.out + shown.err).count('three') == 2
