# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How `sqap-vla play` plays a bag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math

from ...errors import ConfigError


@dataclass(frozen=True)
class PlayOptions:
    """
    How a bag is played; raises ConfigError for values that make no sense.

    start_s, end_s: from the recording's beginning, end_s None for all of it.  clock_hz: of
    /clock, 0 for none.  topics, own_names: see recordings/playlist.py.  remap: {name under which
    a topic would be played: other name}.  wait_for: node that is to be active before time goes
    on, '' for none.  beside_others: also where somebody else publishes on a topic.  instruction:
    is told, latched, on instruction_topic from the beginning, '' for none.
    """

    path: str
    rate: float = 1.0
    start_s: float = 0.0
    end_s: float | None = None
    loop: bool = False
    clock_hz: float = 0.0
    topics: tuple[str, ...] = ()
    own_names: tuple[str, ...] = ()
    remap: Mapping[str, str] = ()
    wait_for: str = ''
    beside_others: bool = False
    instruction: str = ''
    instruction_topic: str = '/instruction'

    def __post_init__(self):
        """Check the values."""
        if not 0.01 <= self.rate <= 100:
            raise ConfigError(f'--rate is {self.rate:g}, expected 0.01 to 100')
        if self.clock_hz and not 1 <= self.clock_hz <= 1000:
            raise ConfigError(f'--clock is {self.clock_hz:g}, expected 1 to 1000 Hz')
        end_s = self.start_s + 1 if self.end_s is None else self.end_s
        if not (0 <= self.start_s < end_s and math.isfinite(end_s)):
            raise ConfigError(f'--start is {self.start_s:g} and --end {self.end_s}: expected 0 '
                              'or more seconds, and an end behind it')
