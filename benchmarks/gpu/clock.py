# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Time what a device does: events on CUDA, the processor's clock elsewhere; CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
import time

import torch

Call = Callable[[], object]
_WARM_UP = 3


def synchronize(device: torch.device) -> None:
    """Wait for everything that was launched."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def lap_ms(calls: Sequence[Call], device: torch.device) -> list[float]:
    """Return the milliseconds of each call, made one behind the other without waiting."""
    if device.type != 'cuda':
        marks = [time.perf_counter()]
        for call in calls:
            call()
            marks.append(time.perf_counter())
        return [(end - start) * 1e3 for start, end in zip(marks, marks[1:])]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]
    torch.cuda.synchronize(device)
    events[0].record()
    for call, event in zip(calls, events[1:]):
        call()
        event.record()
    torch.cuda.synchronize(device)
    return [start.elapsed_time(end) for start, end in zip(events, events[1:])]


@lru_cache(maxsize=None)
def _side_stream(device: torch.device):
    """Return the stream of all captures and their warm-ups: workspaces belong to streams."""
    return torch.cuda.Stream(device)


def captured(call: Call, device: torch.device, pool=None) -> Call:
    """
    Return what replays a call as a CUDA graph; elsewhere the call itself.

    The call was made before, so that nothing is compiled, tuned or allocated for the first time
    while the graph records it.  pool: of a graph that is always replayed before this one.
    """
    if device.type != 'cuda':
        return call
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, stream=_side_stream(device)):
        call()
    return graph.replay


def graph_pool(device: torch.device):
    """Return memory that several graphs share, which are replayed in the order of capture."""
    return torch.cuda.graph_pool_handle() if device.type == 'cuda' else None


def warm_up(call: Call, device: torch.device, times: int = _WARM_UP) -> None:
    """Make a call on the stream that captures; a CPU needs nothing of it."""
    if device.type != 'cuda':
        return
    stream = _side_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(times):
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    torch.cuda.synchronize(device)


def times_ms(call: Call, device: torch.device, rounds: int, seconds: float) -> list[float]:
    """Return the milliseconds of up to `rounds` calls within so many seconds; at least three."""
    warm_up(call, device, 1)
    found, end = [], time.perf_counter() + seconds
    while len(found) < min(rounds, 3) or (len(found) < rounds and time.perf_counter() < end):
        found += lap_ms([call], device)
    return found


def per_call_ms(calls: Sequence[Call], device: torch.device, rounds: int,
                seconds: float) -> float:
    """
    Return the median milliseconds of one of several calls, replayed as one graph.

    The calls do the same work on memory of their own: together it is more than the caches hold,
    so that each reads from memory, as the layers of a model do.
    """
    def every():
        for call in calls:
            call()
    warm_up(every, device)
    found = sorted(times_ms(captured(every, device), device, rounds, seconds))
    return found[len(found) // 2] / len(calls)
