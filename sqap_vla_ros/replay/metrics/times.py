# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which recorded command a row of an answer is held against: by time, and never a later one.

Row i of an answer is meant for its image's stamp + i dt, for dt. What was commanded then is the
last command that had come in by the row's MIDDLE: whoever commanded looked at the image first, so
that the command for it comes a little later; and a command that comes in a row's second half
holds for the next one rather than for this one. A data set whose frames and actions have the same
times is met exactly by it.
"""

from __future__ import annotations

import numpy as np

SAME_CLOCK_NS = 10**9  # no camera takes longer; a clock that was set back is another one
MIDDLE = 0.5
HELD_KINDS = ('pose', 'joints', 'gripper')  # hold until another one comes; velocities expire
SILENCE_S = 10.0  # without an image; the clock was set ahead, or nothing was seen
SILENT_STEPS = 10  # usual steps from image to image that are no silence yet: of a stride
EXPIRY_NS = 200_000_000
EXPIRY_PERIODS = 3


def shares_clock(images) -> np.ndarray:
    """Return bool [N]: where stamps and the times at which images came in are of one clock."""
    shares = np.ones(len(images), bool)
    for part in episode_slices(images):
        off_ns = float(np.median((images.arrived_ns[part] - images.stamps_ns[part]).astype(float)))
        shares[part] = abs(off_ns) < SAME_CLOCK_NS
    return shares


def row_times_ns(images, rows: int, dt_s: float, place: float) -> np.ndarray:
    """
    Return int64 [N, rows]: when rows are, by the recorder's clock.

    place: 0 for where a row begins, 1 for where it ends.  Where cameras have another clock, such
    as a simulation's, an image's row 0 begins when it came in, and rows last as long as the
    recording took for them: the ratio of both clocks in an episode.
    """
    way_ns = np.round((np.arange(rows) + place) * dt_s * 1e9).astype(np.int64)
    paces, begun_ns = _paces(images)[:, None], images.stamps_ns + images.shifts_ns
    return np.where(shares_clock(images)[:, None], begun_ns[:, None] + way_ns,
                    images.times_ns[:, None] + np.round(paces * way_ns).astype(np.int64))


def _paces(images) -> np.ndarray:
    """Return float64 [N]: seconds of the recorder's clock for one of the stamps'."""
    paces = np.ones(len(images))
    for part in episode_slices(images):
        arrived, taken = images.times_ns[part], known_stamps_ns(images)[part]
        took_ns = int(taken[-1] - taken[0])
        if took_ns > 0 and arrived[-1] > arrived[0]:
            paces[part] = int(arrived[-1] - arrived[0]) / took_ns
    return paces


def episode_slices(images) -> list[slice]:
    """Return where each episode's images are; where stamps are set back, another one begins."""
    if not len(images):
        return []
    begins = (np.diff(images.episodes) != 0) | (
        np.diff(known_stamps_ns(images)) < -SAME_CLOCK_NS)
    edges = [0, *(np.flatnonzero(begins) + 1).tolist(), len(images)]
    return [slice(*pair) for pair in zip(edges, edges[1:])]


def known_stamps_ns(images) -> np.ndarray:
    """Return int64 [N]: stamps; of images that could not be read, by when they came in."""
    stamps_ns, times_ns = images.stamps_ns, images.arrived_ns
    unknown = stamps_ns == 0
    if unknown.any():
        unknown &= np.array([bool(text) for text in images.problems])
    known = np.flatnonzero(~unknown)
    if not len(known) or not unknown.any():
        return stamps_ns
    nearest = known[np.maximum(np.searchsorted(known, np.arange(len(unknown)), 'right') - 1, 0)]
    return np.where(unknown, stamps_ns[nearest] + times_ns - times_ns[nearest], stamps_ns)


def silences(images) -> list[tuple[int, float]]:
    """Return (the index of the image before, s) of each long time without an image."""
    found = []
    for part in episode_slices(images):
        steps_s = np.diff(images.times_ns[part]) * 1e-9
        if len(steps_s):
            usual_s = float(np.sort(steps_s)[len(steps_s) // 4])  # without the silences, of few
            if len(steps_s) == 1 and np.diff(images.numbers[part])[0] == 1:
                usual_s = 0.0  # nothing was left out between the only two
            limit_s = max(SILENCE_S, SILENT_STEPS * usual_s)
            found += [(part.start + int(place), float(steps_s[place]))
                      for place in np.flatnonzero(steps_s > limit_s)]
    return found


def as_of(times_ns: np.ndarray, at_ns: np.ndarray, since_ns=None) -> np.ndarray:
    """
    Return int64, shaped as at_ns: the index of the last of times_ns <= each, -1 for none.

    times_ns: int64 [M], in order.  since_ns: nothing before is taken, shaped as at_ns or a
    number.
    """
    index = np.searchsorted(times_ns, at_ns, side='right') - 1
    if since_ns is None or not len(times_ns):
        return index
    return np.where(times_ns[np.maximum(index, 0)] < since_ns, -1, index)


def commands_in_force(images, commands, at_ns: np.ndarray) -> np.ndarray:
    """
    Return int64 [n, T]: the command that was in force at times [n, T] of images, -1 for none.

    A command is in force from when it came in until the next one. It belongs to the episode that
    it came in, or to the time before the first; none is in force behind an episode's end, nor a
    velocity that is older than 0.2 s or three periods, for then the arm is stopped.
    """
    times_ns = commands.times_ns
    if not len(times_ns) or not len(images):
        return np.full(at_ns.shape, -1)
    period_ns = int(np.median(np.diff(times_ns))) if len(times_ns) > 1 else 0
    since_ns, until_ns = _bounds(images, times_ns, period_ns)
    index = as_of(times_ns, at_ns, since_ns[:, None])
    gone = at_ns > until_ns[:, None]
    if commands.kind not in HELD_KINDS:
        age_ns = at_ns - times_ns[np.maximum(index, 0)]
        gone |= age_ns > max(EXPIRY_NS, EXPIRY_PERIODS * period_ns)
    return np.where(gone, -1, index)


def _bounds(images, times_ns: np.ndarray, period_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 [N] twice: the first and last time at which commands of its episode hold."""
    slices, began_ns = episode_slices(images), row_times_ns(images, 1, 0.0, 0.0)[:, 0]
    since_ns, until_ns = np.zeros((2, len(images)), np.int64)
    last_before_ns = np.iinfo(np.int64).min
    for number, part in enumerate(slices):
        last_ns = int(images.times_ns[part].max())
        ended = (as_of(times_ns, began_ns[slices[number + 1]].min() - 1)
                 if number + 1 < len(slices) else len(times_ns) - 1)
        last_command_ns = int(times_ns[ended]) if ended >= 0 else last_ns
        since_ns[part], until_ns[part] = last_before_ns, max(last_ns, last_command_ns) + period_ns
        if number + 1 < len(slices):
            until_ns[part] = np.minimum(until_ns[part], began_ns[slices[number + 1]].min() - 1)
        last_before_ns = last_ns + 1
    return since_ns, until_ns
