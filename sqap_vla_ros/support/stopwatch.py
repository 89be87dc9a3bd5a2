# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How long the stages of one inference take."""

from __future__ import annotations

import time


class Stopwatch:
    """Milliseconds between laps."""

    def __init__(self):
        """Start now."""
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Close the stage `name`."""
        now = time.perf_counter()
        self._laps[name] = (now - self._last) * 1e3
        self._last = now

    def timings(self) -> dict[str, float]:
        """Return milliseconds by stage, with the total."""
        return {**self._laps, 'total': (self._last - self._start) * 1e3}
