# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the arm did, out of the commands that came: when it stopped, how far it went, how hard."""
from dataclasses import dataclass, field

import numpy as np

MOVES = 1e-4  # m/s or rad/s: less is not called motion
STEP_WINDOW_S = 0.05
TICK_S = 0.001  # a command that came so much less than 50 ms ago is of 50 ms ago
AT_REST_S = 0.4  # without motion up to the end of the time watched: it has stopped


@dataclass
class CommandLog:
    """Twists [6] and when they came in, s of a steady clock."""

    times: list = field(default_factory=list)
    twists: list = field(default_factory=list)

    def add(self, time_s, twist):
        """Note a command."""
        self.twists.append(np.asarray(twist, np.float64))
        self.times.append(time_s)

    def window(self, start_s, end_s):
        """Return (times [n], twists [n, 6]) of a time, first what was in force at its start."""
        count = len(self.times)
        times = np.array(self.times[:count])
        twists = np.array(self.twists[:count]).reshape(-1, 6)
        first = int(np.searchsorted(times, start_s, side='right'))
        last = int(np.searchsorted(times, end_s, side='right'))
        before = twists[first - 1:first] if first else np.zeros((1, 6))
        return (np.concatenate([[start_s], times[first:last]]),
                np.concatenate([before, twists[first:last]]))


@dataclass(frozen=True)
class Reaction:
    """
    What the arm did from a moment on.

    stopped_ms: until the first zero command behind the last motion; 0 where it stood already,
    None where it still moved in the end.  way_mm, turn_deg: gone until then, each command held
    until the next.  step_mm_s: greatest change of the linear speed within 50 ms.
    starts: how often it began to move.  silent: whether the last twist is not zero and no
    command came for AT_REST_S.  bad: commands that are not finite.  told: commands to move that
    came in this time.
    """

    stopped_ms: float | None
    way_mm: float
    turn_deg: float
    step_mm_s: float
    starts: int
    silent: bool
    bad: int
    told: int
    watched_s: float


def reaction(log: CommandLog, start_s: float, end_s: float) -> Reaction:
    """Return what the arm did between two times."""
    times, twists = log.window(start_s, end_s)
    bad = int((~np.isfinite(twists)).any(axis=1).sum())
    twists = np.nan_to_num(twists, nan=1e3, posinf=1e3, neginf=-1e3)
    speeds = np.linalg.norm(twists[:, :3], axis=1)
    turns = np.linalg.norm(twists[:, 3:], axis=1)
    moving = (speeds > MOVES) | (turns > MOVES)
    silent = bool(moving[-1] and end_s - times[-1] > AT_REST_S)
    stop = _stop(times, moving, end_s)
    spans = np.diff(np.append(times, end_s))  # behind the stop all speeds are zero
    return Reaction(
        None if stop is None else (stop - start_s) * 1e3, float((speeds * spans).sum() * 1e3),
        float(np.degrees((turns * spans).sum())), step(times, twists) * 1e3,
        int((moving[1:] & ~moving[:-1]).sum()), silent, bad, int(moving[1:].sum()),
        end_s - start_s)


def _stop(times, moving, end_s):
    """Return when the arm came to rest, None if it had not been at rest for AT_REST_S."""
    if not moving.any():
        return times[0]
    last = int(np.flatnonzero(moving)[-1])
    if last + 1 == len(times) or end_s - times[last + 1] < AT_REST_S:
        return None
    return times[last + 1]


def step(times, twists):
    """Return the greatest change of the linear velocity within STEP_WINDOW_S, m/s."""
    greatest = 0.0
    for index in range(1, len(times)):
        since_s = times[index] - STEP_WINDOW_S + TICK_S
        first = int(np.searchsorted(times, since_s, side='right')) - 1
        change = np.linalg.norm(twists[max(first, 0):index, :3] - twists[index, :3], axis=1)
        greatest = max(greatest, float(change.max()))
    return greatest
