# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What happens where one answer takes over from the one before: jumps, and jerk."""

from __future__ import annotations

import numpy as np

from .held import axes_of
from .percentiles import percentiles
from .row_numbers import Smoothness
from .times import episode_slices
from ...control.action_space import TWIST_NAMES
from ...control.output_modes import CARTESIAN_KINDS


def smoothness(images, answers, slides=()) -> tuple[Smoothness, ...]:
    """Return what is at the seams of answers, a group of axes each; see summary.Smoothness."""
    old, new, row = seams(images, answers)
    names = TWIST_NAMES if answers.kind in CARTESIAN_KINDS else answers.names
    _, units, groups = axes_of(names, 'velocity', slides)
    return tuple(_group(group, set(units[axes]), answers.velocities[..., axes], answers,
                        (old, new, row)) for group, axes in groups.items())


def seams(images, answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return where answers take over, int64 [S] each: the old image, the new one, the old's row.

    The next answer is that to the first image taken when execute_steps rows were executed, as
    the node asks (to a quarter of a row), and takes over where the old one would go on with that
    row.  Where the old one has come to its end before, there is no seam, but a stop.
    """
    known = answers.answered
    chain = [pair for part in episode_slices(images)
             for pair in _chain(images.stamps_ns, answers,
                                np.flatnonzero(known[part]) + part.start)]
    old, new = np.array(chain, np.int64).reshape(-1, 2).T
    row = np.round((images.stamps_ns[new] - images.stamps_ns[old]) / (
        answers.dt_s * 1e9)).astype(np.int64)
    met = (row >= 1) & (row <= answers.velocities.shape[1])
    return old[met], new[met], row[met]


def _chain(stamps_ns: np.ndarray, answers, known: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of an episode's images, of which the second is asked about after the first."""
    known = known[np.argsort(stamps_ns[known], kind='stable')]
    stamps_ns, pairs, at = stamps_ns[known], [], 0
    due_ns = round((answers.execute_steps - 0.25) * answers.dt_s * 1e9)
    next_one = np.searchsorted(stamps_ns, stamps_ns + due_ns)
    while at < len(known) and next_one[at] < len(known):
        after = max(int(next_one[at]), at + 1)
        if after < len(known):
            pairs.append((int(known[at]), int(known[after])))
        at = after
    return pairs


def _group(group: str, units: set[str], velocities: np.ndarray, answers, seam) -> Smoothness:
    old, new, row = seam
    rows, dt_s = velocities.shape[1], answers.dt_s
    inside = velocities[:, :answers.execute_steps]
    last, first = velocities[old, row - 1], velocities[new, 0]
    goes_on = row < rows
    bends = [_bend(velocities[old[row >= 2], row[row >= 2] - 2], last[row >= 2],
                   first[row >= 2])]
    if answers.execute_steps >= 2:
        bends.append(_bend(last, first, velocities[new, 1]))
    return Smoothness(
        group, units.pop() if len(units) == 1 else 'mixed', len(old), _lengths(first - last),
        _lengths(np.diff(inside, axis=1)),
        _lengths(first[goes_on] - velocities[old[goes_on], row[goes_on]]),
        _lengths(np.concatenate(bends) / dt_s ** 2),
        _lengths(np.diff(inside, 2, axis=1) / dt_s ** 2))


def _bend(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """Return the second differences of three velocities in a row."""
    return third - 2.0 * second + first


def _lengths(vectors: np.ndarray):
    return percentiles(np.linalg.norm(vectors, axis=-1))
