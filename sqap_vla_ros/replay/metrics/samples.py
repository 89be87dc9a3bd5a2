# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What tells two replays apart: the frames that they looked at, and some of their answers."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from .pairs import compared_as, values_of
from .summary import Sample

MOST_ROWS = 800  # of answers that are kept for each row of the table
LEAST_IMAGES = 50


def digest(images) -> str:
    """Return 16 hexadecimal digits of images' numbers, episodes, stamps and instructions."""
    parts = [np.ascontiguousarray(values, np.int64).tobytes()
             for values in (images.numbers, images.episodes, images.stamps_ns)]
    parts.append('\0'.join(images.instructions).encode())
    return sha256(b'|'.join(parts)).hexdigest()[:16]


def sample(images, answers) -> Sample:
    """Return a row's answers to images that are evenly spread, the same ones in every row."""
    steps, count = answers.execute_steps, len(images)
    chosen = np.unique(np.linspace(
        0, count - 1, min(count, max(LEAST_IMAGES, MOST_ROWS // steps))).round().astype(int)) \
        if count else np.zeros(0, int)
    values, names = values_of(answers)
    known = answers.answered
    gripper = answers.gripper[:, :steps]
    return Sample(
        answers.title, compared_as(answers), names, answers.frame,
        tuple(images.numbers[chosen].tolist()),
        tuple(_rounded(values[at, :steps]) if known[at] else None for at in chosen),
        tuple(_rounded(gripper[at]) if known[at] else None for at in chosen)
        if np.isfinite(gripper).any() else None)


def _rounded(values: np.ndarray):
    """Return numbers in tuples, of six significant digits; None for what is not finite."""
    if values.ndim > 1:
        return tuple(map(_rounded, values))
    return tuple(float(f'{value:.6g}') if np.isfinite(value) else None for value in values)
