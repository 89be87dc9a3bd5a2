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
        """Log a record; rclpy wants a line of code for each severity."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def close(self):
        """Leave the package's logger as it was."""
        package = logging.getLogger(_PACKAGE)
        package.removeHandler(self)
        package.setLevel(self._level_before)
        super().close()
