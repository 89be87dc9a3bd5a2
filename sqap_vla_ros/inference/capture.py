# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Functions on static buffers that are run once and replayed as CUDA graphs from then on.

The first run is an ordinary one: it compiles and tunes kernels where nobody did before, fills
caches of constants and gives a valid answer.  The next run on the same thread is captured; any
thread may replay it.  A run that fails does not count as the first.  Captures of one Recorder
share their memory: none of them keeps anything in it from one run to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
import contextlib
from functools import partial
from itertools import groupby
import logging
import threading
import time

import torch

from ..errors import ConfigError

_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()  # torch captures one graph a process at a time


class Recorder:
    """
    Where recordings run: a stream of their own and a pool of memory; on a CPU neither.

    beside: a second stream, for what may run at the same time.  There are two a recorder and not
    two a recording, since torch keeps a workspace for each stream for good.
    """

    def __init__(self, device: torch.device, capture: bool = True):
        """capture: False never captures, which shows what the graphs gain."""
        self.device, self.capture = device, capture and device.type == 'cuda'
        self._on_cuda = device.type == 'cuda'
        if self._on_cuda:  # else cuDNN computes float32 convolutions with 10 bits
            torch.backends.cudnn.allow_tf32 = False
        self.stream, self.beside = (
            (torch.cuda.Stream(device), torch.cuda.Stream(device)) if self._on_cuda
            else (None, None))
        self._pool = self._anchor = None

    @contextlib.contextmanager
    def active(self):
        """Make the device and the stream this thread's current ones."""
        if not self._on_cuda:
            yield
            return
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            yield

    def wait(self) -> None:
        """Wait until everything in the stream is done."""
        if self._on_cuda:
            self.stream.synchronize()

    def mark(self):
        """Return a point in the stream's time."""
        if not self._on_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(self.stream)
        return event

    def milliseconds(self, first, last) -> float:
        """Return the time between two marks; wait() comes before."""
        return first.elapsed_time(last) if self._on_cuda else (last - first) * 1e3

    def graph_of(self, functions):
        """
        Return a replayable graph of functions called in turn; raise RuntimeError if one cannot.

        thread_local: what other threads do with CUDA meanwhile (another node in this process)
        does not spoil the capture.
        """
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
            self._anchor = self._captured(
                [lambda: torch.zeros(1, device=self.device)])  # a pool ends with its last graph
        return self._captured(functions)

    def drop_pool(self) -> None:
        """Leave the memory to its graphs: a capture that failed may have spoilt it."""
        self._pool = self._anchor = None

    def _captured(self, functions):
        graph = torch.cuda.CUDAGraph()
        with _one_at_a_time, torch.cuda.graph(graph, pool=self._pool, stream=self.stream,
                                              capture_error_mode='thread_local'):
            for function in functions:
                function()
        return graph


class Recording:
    """A sequence of stages, each a function without arguments or result."""

    def __init__(self, recorder: Recorder, name: str, stages: Mapping[str, Callable],
                 forget: Callable = lambda: None, on_host: Collection[str] = ()):
        """
        Take the stages by name.

        name: what to call it in a message.  forget: lets go of all tensors that the stages made,
        after which their memory can be used again.  on_host: stages that wait for the device;
        they stand between graphs and work on tensors that stay.
        """
        self._recorder, self._name, self._on_host = recorder, name, frozenset(on_host)
        self._stages, self._forget = dict(stages), forget
        self._graphs: dict[bool, list[Callable]] = {}
        self._warm_thread, self.problem = 0, ''

    @property
    def is_captured(self) -> bool:
        """Whether runs are replays."""
        return bool(self._graphs)

    @property
    def is_ready(self) -> bool:
        """Whether the next run has nothing to capture."""
        return self.is_captured or bool(self.problem) or not self._recorder.capture

    def run(self, by_stage: bool = False) -> list:
        """
        Run all stages in the recorder's stream, without waiting for them.

        Returns marks: before the first and behind each stage with by_stage, else behind each
        graph.  by_stage captures each stage as a graph of its own.
        """
        thread = threading.get_ident()
        is_warm = self._warm_thread == thread  # a thread's first product makes it a cuBLAS handle
        can_capture = self._recorder.capture and is_warm and not self.problem
        if can_capture and by_stage not in self._graphs:
            self._capture(by_stage)
        steps = self._graphs.get(by_stage) or [call for call, _ in self._calls(by_stage)]
        marks = [self._recorder.mark()]
        try:
            for step in steps:
                step()
                marks.append(self._recorder.mark())
            self._warm_thread = thread
        finally:
            if by_stage not in self._graphs:
                self._forget()
        return marks

    def _calls(self, by_stage: bool) -> list[tuple[Callable, bool]]:
        """Return what is run at a time, and whether it can be captured."""
        if by_stage:
            return [(stage, name not in self._on_host) for name, stage in self._stages.items()]
        groups = groupby(self._stages.items(), lambda item: item[0] not in self._on_host)
        return [(partial(_run, [stage for _, stage in group]), free) for free, group in groups]

    def _capture(self, by_stage: bool) -> None:
        """Capture all stages; where that fails, say why and go on without."""
        started = time.perf_counter()
        try:
            self._graphs[by_stage] = [
                self._recorder.graph_of([call]).replay if free else call
                for call, free in self._calls(by_stage)]
        except (RuntimeError, ConfigError, ValueError) as error:
            self._recorder.drop_pool()
            self.problem = _first_line(error)
            _log.warning('%s cannot be captured in a CUDA graph and runs kernel by kernel, which '
                         'is slower: %s', self._name, self.problem)
        else:
            _log.info('%s: captured in %.0f ms', self._name,
                      (time.perf_counter() - started) * 1e3)
        self._forget()


def _run(stages: list[Callable]) -> None:
    for stage in stages:
        stage()


def _first_line(error: BaseException) -> str:
    """Return what went wrong first: the end of a capture that has failed is an error too."""
    while error.__context__ is not None:
        error = error.__context__
    return (str(error) or type(error).__name__).splitlines()[0]
