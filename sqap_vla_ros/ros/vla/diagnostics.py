# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node tells people: /diagnostics, once a second and at once when something changes.

A message that starts to hold is logged too, so that a terminal shows why the arm stands still.
"""

import logging
import re
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from .. import qos
from ..log import log

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
SEVERITIES = {OK: logging.INFO, WARN: logging.WARNING, ERROR: logging.ERROR}
PERIOD_S = 1.0
LOG_PERIOD_S = 5.0


class Diagnostics:
    """
    Named statuses of one node, `NAMESPACE/NODE: STATUS`, so that several robots keep apart.

    hardware_id: which robot that is; the node's name with its namespace unless set.
    """

    def __init__(self, node, clock):
        """Publish for as long as the node lives; clock: a steady one, for the period."""
        self._node = node
        self.hardware_id = node.get_fully_qualified_name()
        self._prefix = self.hardware_id.lstrip('/')
        self._statuses, self._watched = {}, {}
        self._logged = {}
        self._publisher = node.create_publisher(
            DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS,
            event_callbacks=qos.SILENT_PUBLISHER)
        self._timer = node.create_timer(PERIOD_S, self._look, clock=clock)

    def watch(self, name: str, look):
        """
        Set a status once a period, by what look() returns: (level, message, values).

        It is called on the executor thread, and returns None while there is nothing to say.
        """
        self._watched[name] = look

    def forget(self, names):
        """Watch some statuses no more, and tell them no more."""
        for name in names:
            self._watched.pop(name, None)
            self._statuses.pop(name, None)

    def report(self, name: str, level: bytes, message: str, **values):
        """Set one status; published and logged at once if level or message is new."""
        if self._set(name, level, message, values):
            self._log(name, level, message)
            self.publish()

    def _set(self, name, level, message, values) -> bool:
        """Set one status; return whether it is new."""
        old = self._statuses.get(name)
        status = DiagnosticStatus(
            level=level, name=f'{self._prefix}: {name}', message=message,
            hardware_id=self.hardware_id,
            values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()])
        self._statuses[name] = status
        return (old is None or old.level != level
                or _wording(old.message) != _wording(message))

    def publish(self):
        """Publish all statuses."""
        stamp = self._node.get_clock().now().to_msg()
        array = DiagnosticArray(status=list(self._statuses.values()))
        array.header.stamp = stamp
        self._publisher.publish(array)

    def _look(self):
        """Look at what is watched, and publish all."""
        for name, look in tuple(self._watched.items()):
            found = look()
            if found is None:
                continue
            level, message, values = found
            was_well = name not in self._statuses or self._statuses[name].level == OK
            if self._set(name, level, message, values) and not (was_well and level == OK):
                self._log(name, level, message)
        self.publish()

    def _log(self, name, level, message):
        """Log, unless the same was said a moment ago (states may alternate with every image)."""
        text, now_s = f'{name}: {message}', time.monotonic()
        if now_s - self._logged.get(_wording(text), -LOG_PERIOD_S) < LOG_PERIOD_S:
            return
        self._logged[_wording(text)] = now_s
        log(self._node.get_logger(), SEVERITIES[level], text)


def _wording(message) -> str:
    """Return a message without its numbers, which may change with every image."""
    return re.sub(r'[-+.0-9]+', '#', message)


def _text(value) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
