# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How the hand went in an episode, beside whether that succeeded: length and jerk of its way."""

from __future__ import annotations

import numpy as np


def path_length(positions: np.ndarray) -> float:
    """Return the length (m) of a way through positions [N, 3]."""
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())


def rms_jerk(positions: np.ndarray, dt: float) -> float:
    """Return the root mean square of the jerk (m/s3) of positions [N, 3] every dt seconds."""
    jerk = np.diff(positions, n=3, axis=0) / dt ** 3
    return float(np.sqrt((jerk ** 2).sum(1).mean())) if len(jerk) else 0.0
