# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the gripper opens and closes when it did."""

from __future__ import annotations

import numpy as np

from .percentiles import mean_of
from .truth_errors import Gripper
from .truths import gripper_truths


def grippers(results, answers) -> tuple[Gripper, ...]:
    """Return one Gripper for each that was recorded; none of an arm without."""
    steps = answers.execute_steps
    said = answers.gripper[:, :steps]
    if not np.isfinite(said).any():
        return ()
    return tuple(_gripper(source, said, truth[:, :steps])
                 for source, truth in gripper_truths(results, answers))


def _gripper(source: str, said: np.ndarray, truth: np.ndarray) -> Gripper:
    known = np.isfinite(said) & np.isfinite(truth)
    said, truth = said[known], truth[known]
    same, is_open = (said > 0.5) == (truth > 0.5), truth > 0.5
    return Gripper(source, len(said), mean_of(same), mean_of(same[is_open]),
                   mean_of(same[~is_open]), mean_of(np.abs(said - truth)))
