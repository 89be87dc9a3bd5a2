# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How what the policy says is carried out, in numbers and in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

# of the time that rows run, below which the user should hear why
SMOOTH_SHARE, SMOOTH_SHARE_WHOLE = 0.9, 0.5
SHORTENED = 0.02  # of the way, beyond which the user should hear of it


@dataclass(frozen=True)
class Pace:
    """
    How what the policy says is carried out.

    latency_ms: from an image to its chunk, median of the last ones.  rows, dt_s: of a chunk.
    running_share: of the last ten seconds in which rows were executed, 0 .. 1; NaN
    in the first second.  executed_share: how much of their way the limits leave of rows.
    is_whole: whether chunks are executed to their end before the next image is asked about.
    """

    latency_ms: float
    rows: int
    dt_s: float
    running_share: float
    is_whole: bool
    executed_share: float

    @property
    def is_slow(self) -> bool:
        """Whether the arm stands still for much of the time because answers are late."""
        least = SMOOTH_SHARE_WHOLE if self.is_whole else SMOOTH_SHARE
        return self.rows > 0 and self.running_share < least

    def __str__(self) -> str:
        """Say it in a sentence, with what to change where the arm waits."""
        if not self.rows:
            return 'no action chunk yet'
        chunk = f'{self.rows} row{"s" * (self.rows > 1)} of {self.dt_s:.3g} s'
        text = (f'an image is answered after {self.latency_ms:.0f} ms with {chunk}, all of which '
                'is executed' if self.is_whole else
                f'an image is answered after {self.latency_ms:.0f} ms with {chunk}')
        if self.running_share == self.running_share:  # known
            text += f'; the arm is under way {100 * self.running_share:.0f} % of the time'
        if self.executed_share < 1 - SHORTENED:
            text += (f'; the speed limits leave {100 * self.executed_share:.0f} % of what it '
                     'says: raise them if that is safe, or look for a wrong scale or dt')
        if self.is_slow:
            text += (': use a lower precision, fewer tokens or a faster machine'
                     + (', or pipelined, to ask while the arm moves' if self.is_whole else
                        ', or smaller execute_steps, to ask earlier'))
        return text
