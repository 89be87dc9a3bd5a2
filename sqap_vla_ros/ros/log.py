# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the package logs, such as which kernels were chosen and why, in a node's log."""

import logging

_PACKAGE = 'sqap_vla_ros'


class NodeLogHandler(logging.Handler):
    """Hands messages from INFO on to a node's logger; may be called on any thread."""

    def __init__(self, node):
        """Begin at once; close() ends it."""
        super().__init__(logging.INFO)
        self._logger, package = node.get_logger(), logging.getLogger(_PACKAGE)
        self._level_before = package.level
        package.setLevel(logging.INFO)
        package.addHandler(self)

    def emit(self, record):
        """Log a record."""
        log(self._logger, record.levelno, record.getMessage())

    def close(self):
        """Leave the package's logger as it was."""
        package = logging.getLogger(_PACKAGE)
        package.removeHandler(self)
        package.setLevel(self._level_before)
        super().close()


def log(logger, severity: int, text: str):
    """Log by a node's logger, severity as in `logging`; rclpy wants a line of code for each."""
    if severity >= logging.ERROR:
        logger.error(text)
    elif severity >= logging.WARNING:
        logger.warning(text)
    else:
        logger.info(text)
