# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What nodes say of themselves in /diagnostics, kept and told as text; knows nothing of rclpy.

A status is named `<node without its first slash>: <item>`, such as `left/vla_node: commands`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import math
import re

LEVELS = ('ok', 'WARN', 'ERROR', 'STALE')
ERROR = 2
SILENT_S = 3.5  # a node tells its statuses once a second
RATE_WINDOW_S = 5.0
COUNTERS = ('images', 'chunks')  # values that count up, told as so many a second
SHOWN = ('latency', 'image_to_chunk_ms_p50', 'inference_ms_p50', 'inference_ms_p95')


@dataclass(frozen=True)
class Status:
    """One item of a node: level 0 ok, 1 warning, 2 error, 3 stale."""

    level: int
    message: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def wording(self) -> tuple:
        """Return what makes a status another one: level and message without its numbers."""
        return self.level, re.sub(r'[-+.0-9]+', '#', self.message)

    @property
    def level_name(self) -> str:
        """Return the level for people."""
        return LEVELS[self.level] if self.level < len(LEVELS) else f'level {self.level}'


def split(name: str) -> tuple[str, str]:
    """Return (fully qualified node, item) of a status's name; the node is '' if it names none."""
    node, colon, item = name.partition(': ')
    return ('/' + node.lstrip('/'), item) if colon else ('', name)


class NodeStatuses:
    """The statuses of one node, as they come in; times are seconds of any steady clock."""

    def __init__(self):
        """Begin with none."""
        self.items: dict[str, Status] = {}
        self.heard_s = -math.inf
        self._counts: dict[str, deque] = {name: deque() for name in COUNTERS}

    def hear(self, now_s: float, statuses: Mapping[str, Status]) -> list[str]:
        """Take an array of statuses by item; returns those whose wording is new."""
        new = [item for item, status in statuses.items()
               if item not in self.items or self.items[item].wording != status.wording]
        self.items.update(statuses)
        self.heard_s = now_s
        for name, counts in self._counts.items():
            values = [status.values[name] for status in statuses.values() if name in status.values]
            if values and values[0].isdigit():
                _count(counts, now_s, int(values[0]))
        return new

    def rates(self) -> dict[str, float]:
        """Return how many a second, by COUNTERS that have been heard twice."""
        return {name: (counts[-1][1] - counts[0][1]) / (counts[-1][0] - counts[0][0])
                for name, counts in self._counts.items() if len(counts) > 1}

    @property
    def worst(self) -> int:
        """Return the highest level, 0 of none."""
        return max((status.level for status in self.items.values()), default=0)

    @property
    def why_still(self) -> str:
        """Return why the arm stands, '' while it moves or where nothing is said of it."""
        said = self.items.get('commands')
        moves = said is None or said.message == 'moving' or said.message.startswith('moving: ')
        return '' if moves else said.message

    def silent_s(self, now_s: float) -> float:
        """Return for how long nothing has been heard, 0 while that is nothing unusual."""
        silent_s = now_s - self.heard_s
        return silent_s if silent_s > SILENT_S else 0.0


def _count(counts: deque, now_s: float, value: int) -> None:
    """Add a counter's value; one that has fallen began anew."""
    if counts and value < counts[-1][1]:
        counts.clear()
    if not counts or now_s > counts[-1][0]:
        counts.append((now_s, value))
    while now_s - counts[0][0] > RATE_WINDOW_S:
        counts.popleft()


def summary(name: str, state: str, statuses: NodeStatuses, now_s: float) -> str:
    """Return one line about a node: state, rates, latency."""
    parts = [name, state or 'state unknown']
    parts += [f'{rate:.1f} {counter}/s' for counter, rate in statuses.rates().items()]
    for status in statuses.items.values():
        parts += [f'{key} {status.values[key]}' for key in SHOWN if key in status.values]
    if statuses.silent_s(now_s):
        parts.append(f'SILENT for {statuses.silent_s(now_s):.0f} s')
    return '  '.join(parts)


def report(statuses: NodeStatuses, with_values: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (level, line) for every item, and why the arm stands last."""
    width = max(map(len, statuses.items), default=0)
    for item, status in statuses.items.items():
        yield status.level, f'  {status.level_name:<5} {item:<{width}}  {status.message}'
        for key, value in status.values.items() if with_values else ():
            yield 0, f'        {key}: {value}'
    if statuses.why_still:
        yield 0, f'  the arm stands: {statuses.why_still}'
