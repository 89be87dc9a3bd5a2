# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Many sorted sources as one, each opened when its time has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import heapq
import math
from typing import NamedTuple, TypeVar

Item = TypeVar('Item', bound=tuple)
NEVER = ((math.inf,),)


class Source(NamedTuple):
    """Items that begin with a time, sorted by it, none of them before start_ns."""

    start_ns: int
    opened: Callable[[], Iterator[tuple]]


def merged(sources: Iterable[Source]) -> Iterator[tuple]:
    """
    Yield the items of all sources by their times.

    Of items with one time, those of the source that was named first come first. A source is
    opened when an item of it may be next, so that only those are held which overlap.
    """
    waiting = [(source.start_ns, number, source.opened) for number, source in enumerate(sources)]
    heapq.heapify(waiting)
    heads = []  # (time, number of the source, item, the rest of its items)
    while waiting or heads:
        while waiting and (not heads or waiting[0][0] <= heads[0][0]):
            _, number, opened = heapq.heappop(waiting)
            _push(heads, number, opened())
        if heads:
            _, number, item, rest = heapq.heappop(heads)
            others_ns = min(queue[0][0] for queue in (heads, waiting, NEVER) if queue)
            yield item
            while (item := next(rest, None)) is not None and item[0] < others_ns:
                yield item
            if item is not None:
                heapq.heappush(heads, (item[0], number, item, rest))


def _push(heads, number, items):
    item = next(items, None)
    if item is not None:
        heapq.heappush(heads, (item[0], number, item, items))
