# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A recorder without a GPU: what it captures it calls again."""
from sqap_vla_ros.inference.capture import Recorder
import torch


class Graph:
    """Remembers what was called while it was captured, and calls that again."""

    def __init__(self, functions):
        self._functions = functions
        for function in functions:
            function()

    def replay(self):
        for function in self._functions:
            function()


class PretendRecorder(Recorder):
    """Captures on a CPU; refuses with `problem`."""

    def __init__(self, problem=''):
        super().__init__(torch.device('cpu'))
        self.capture, self.problem, self.captures = True, problem, 0

    def graph_of(self, functions):
        if self.problem:
            try:
                raise RuntimeError(f'{self.problem}\nand a long trace')
            finally:
                raise RuntimeError('the capture was invalidated')
        self.captures += 1
        return Graph(functions)
