# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A node of a command's own, that asks other nodes: it waits, and Ctrl-C is a request to end."""

from __future__ import annotations

from collections.abc import Callable
import os
from secrets import token_hex
import signal
import threading
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor

from ...errors import ConfigError

STEP_S = 0.05
ANSWER_S = 10.0  # for services that answer at once


class Session:
    """
    A context manager; node: this process's node, interrupts: how often Ctrl-C was pressed.

    is_terminated: whether SIGTERM came, which counts as one, too.

    rclpy's own handlers would shut the node down before a goal is cancelled.
    """

    def __init__(self, name: str, arguments: list[str] | None = None):
        """Take part in the graph from __enter__ on; arguments: of ROS, None for the process's."""
        self.interrupts, self.is_terminated = 0, False
        self._arguments = arguments
        # processes of two computers, or containers, may have the same number
        self._name, self._handlers = f'sqap_vla_{name}_{os.getpid()}_{token_hex(4)}', {}

    def __enter__(self) -> Session:
        self._context = rclpy.Context()
        rclpy.init(args=self._arguments, context=self._context)
        self.node = rclpy.create_node(
            self._name, context=self._context, start_parameter_services=False,
            enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._interrupt)
                              for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _interrupt(self, number, _) -> None:
        self.interrupts += 1
        self.is_terminated |= number == signal.SIGTERM

    def until(self, condition: Callable[[], bool], timeout_s: float,
              patient: bool = False) -> bool:
        """
        Serve the node until a condition holds; returns whether it does.

        It ends, too, when the time is over, and unless `patient` with the next Ctrl-C.
        """
        end, interrupts = time.monotonic() + timeout_s, self.interrupts
        while not condition():
            if time.monotonic() > end or (self.interrupts != interrupts and not patient):
                return False
            self._executor.spin_once(timeout_sec=STEP_S)
        return True

    def serve(self, timeout_s: float) -> None:
        """Handle one message, waiting for it at most so long."""
        self._executor.spin_once(timeout_sec=timeout_s)

    def call(self, kind, name: str, request, timeout_s: float = ANSWER_S):
        """Return a service's response; raises ConfigError where nothing answers in time."""
        client = self.node.create_client(kind, name)
        try:
            if not self.until(client.service_is_ready, ANSWER_S):
                raise ConfigError(f'nobody serves {name}: is the node still there? '
                                  '`sqap-vla watch` shows')
            future = client.call_async(request)
            if not self.until(future.done, timeout_s):
                raise ConfigError(f'{name} has not answered for {timeout_s:g} s: the node is '
                                  'busy, hangs, or was interrupted; `sqap-vla watch` shows')
            return future.result()
        finally:
            self.node.destroy_client(client)
