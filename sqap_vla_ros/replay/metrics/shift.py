# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether answers agree better with what was done a little later, or earlier.

Commands that are recorded late, a camera whose clock is off, a data set whose actions stand one
frame beside their images: all look like a bad policy, and are found by this.
"""

from __future__ import annotations

import numpy as np

from .held import Held, parts

MOST_ROWS, LEAST_IMAGES = 10, 30
CLEARLY = 0.8  # of the error without a shift


def best_shift(held: Held, count: int, rows: int) -> tuple[int, float] | None:
    """
    Return (rows, ratio): the shift of the truth with the least error, and what that leaves of it.

    Row 0 of answers is held against later rows of the truth, and later rows of answers against
    row 0 of it, along the first group of axes.  0 unless it is clearly less; None where fewer
    than 30 images can be judged, or nothing is to be gained.
    """
    most = min(MOST_ROWS, rows - 1)
    shifts = range(-most, most + 1)
    squares, counts = np.zeros((2, len(shifts)))
    axes = next(iter(held.groups.values()))
    for part in parts(count):
        said, truth = held.said(part)[..., axes], held.truth(part)[..., axes]
        both = np.isfinite(said[:, :most + 1]).all((1, 2)) & np.isfinite(
            truth[:, :most + 1]).all((1, 2))
        for index, shift in enumerate(shifts):
            error = said[both, max(-shift, 0)] - truth[both, max(shift, 0)]
            squares[index] += (error ** 2).sum()
            counts[index] += len(error)
    here = squares[most]
    if not most or counts[most] < LEAST_IMAGES or not here > 0:
        return None
    best = int(np.argmin(squares))
    ratio = float(np.sqrt(squares[best] / here))
    return (best - most, ratio) if ratio < CLEARLY else (0, 1.0)
